//! What is asked for, and every way to ask wrongly.

use std::time::{Duration, Instant};

use proto::similarity::v1::{
    Channel, ChannelWeight, QueryVector, SimilarOptions, find_similar_request::Subject,
};
use proto::store::v1::PostSet;
use tonic::{Code, Status};

use super::den::{Den, missing, only, posts};
use super::state::{State, revision, towards};

fn ten(state: &mut State) {
    for post in 1..=10 {
        state.add(post, post as f32 / 10.0);
    }
}

fn one() -> Subject {
    Subject::Post("posts/1".to_owned())
}

fn vector(values: Vec<f32>) -> Subject {
    Subject::Vector(QueryVector {
        revision: revision("models/1"),
        values,
    })
}

#[track_caller]
fn refused<T>(answer: Result<T, Status>, code: Code, reason: &str) -> String {
    let status = answer.err().expect("is refused");
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(
        kit::code::reason(&status).as_deref(),
        Some(reason),
        "{status:?}"
    );
    status.message().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_channel_shows_its_score_and_shares_add_up() {
    let den = Den::new(ten).await;
    let found = den.like_post(1).await.expect("answers");
    let used: f32 = found.channels.iter().map(|report| report.weight).sum();
    assert!((used - 1.0).abs() < 1e-6, "{:?}", found.channels);
    assert_eq!(missing(&found, Channel::Colour), "NOT_IN_SUBJECT");
    for post in &found.posts {
        assert_eq!(post.scores.len(), 3, "no post has colours: {post:?}");
    }
    let tags = den.like(one(), only(Channel::Tags)).await.expect("answers");
    assert_eq!(posts(&tags), [4, 7, 10], "they share its tag");
    assert_eq!(found.lag, 0);
    assert_eq!(found.cursor, Some(den.store.state().cursor()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_restrict_and_are_needed() {
    let mut den = Den::new(ten).await;
    den.store
        .state()
        .queries
        .insert("sky".to_owned(), vec![2, 3, 4, 5, 6]);
    let within = |ids: Vec<u32>| {
        Some(PostSet {
            ids,
            keep_order: false,
        })
    };
    let both = SimilarOptions {
        query: "sky".to_owned(),
        within: within(vec![9, 5, 4, 77]),
        ..SimilarOptions::default()
    };
    let found = den.like(one(), both.clone()).await.expect("answers");
    let mut found = posts(&found);
    found.sort_unstable();
    assert_eq!(found, [4, 5]);
    let few = SimilarOptions {
        within: within(vec![10, 8]),
        ..only(Channel::Tags)
    };
    let found = den.like(one(), few).await.expect("answers");
    assert_eq!(
        posts(&found),
        [10],
        "the best of the set, though 4 and 7 are as good"
    );
    let none = SimilarOptions {
        within: within(vec![]),
        ..SimilarOptions::default()
    };
    let found = den.like(one(), none).await.expect("answers");
    assert!(found.posts.is_empty(), "{found:?}");

    let wrong = SimilarOptions {
        query: "sky (".to_owned(),
        ..SimilarOptions::default()
    };
    let told = refused(
        den.like(one(), wrong).await,
        Code::InvalidArgument,
        "QUERY_SYNTAX",
    );
    assert!(told.contains("unknown word at 1"), "{told}");
    den.store.go();
    let told = den.like(one(), both).await;
    refused(told, Code::Unavailable, "STORE_UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vector_is_compared_if_it_is_one_of_the_model() {
    let den = Den::new(ten).await;
    let towards = towards("models/1", 0.72);
    let found = den.like(vector(towards.clone()), SimilarOptions::default());
    let found = found.await.expect("answers");
    assert_eq!(posts(&found)[..2], [7, 8]);
    for channel in [Channel::PerceptualHash, Channel::Colour, Channel::Tags] {
        assert_eq!(missing(&found, channel), "NOT_IN_SUBJECT");
    }
    let long: Vec<f32> = towards.iter().map(|value| value * 1e30).collect();
    let same = den.like(vector(long), SimilarOptions::default()).await;
    assert_eq!(
        posts(&same.expect("answers")),
        posts(&found),
        "its length is nothing"
    );

    for (values, what) in [
        (vec![], "vector.values"),
        (vec![1.0; 7], "vector.values"),
        (vec![0.0; 8], "not all 0"),
        (vec![f32::NAN; 8], "finite"),
        ([vec![1.0; 7], vec![f32::INFINITY]].concat(), "at place 7"),
    ] {
        let told = den.like(vector(values), SimilarOptions::default()).await;
        let told = refused(told, Code::InvalidArgument, "INVALID_FIELD");
        assert!(told.contains(what), "{told}");
    }
    let other = Subject::Vector(QueryVector {
        revision: revision("models/2"),
        values: vec![1.0; 16],
    });
    let told = den.like(other.clone(), SimilarOptions::default()).await;
    refused(told, Code::InvalidArgument, "WRONG_REVISION");
    den.store.state().model = String::new();
    den.abreast().await;
    let told = den.like(other, SimilarOptions::default()).await;
    refused(told, Code::FailedPrecondition, "NO_MODEL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let den = Den::new(ten).await;
    let weight = |channel: Channel, weight| ChannelWeight {
        channel: channel.into(),
        weight,
    };
    let weights = |weights: Vec<ChannelWeight>| SimilarOptions {
        weights,
        ..SimilarOptions::default()
    };
    let twice = vec![weight(Channel::Tags, 1.0), weight(Channel::Tags, 1.0)];
    for (options, field) in [
        (
            weights(vec![weight(Channel::Tags, f32::NAN)]),
            "options.weights",
        ),
        (weights(vec![weight(Channel::Tags, 0.0)]), "options.weights"),
        (weights(twice), "options.weights"),
        (
            SimilarOptions {
                page_size: -1,
                ..SimilarOptions::default()
            },
            "options.page_size",
        ),
        (
            SimilarOptions {
                min_score: f32::NAN,
                ..SimilarOptions::default()
            },
            "options.min_score",
        ),
    ] {
        let told = refused(
            den.like(one(), options).await,
            Code::InvalidArgument,
            "INVALID_FIELD",
        );
        assert!(told.starts_with(field), "{told}");
    }
    let name = den.like(
        Subject::Post("posts/01".to_owned()),
        SimilarOptions::default(),
    );
    refused(name.await, Code::InvalidArgument, "BAD_RESOURCE_NAME");
    let many = SimilarOptions {
        page_size: 10_000_000,
        ..SimilarOptions::default()
    };
    assert_eq!(den.like(one(), many).await.expect("answers").posts.len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_store_costs_the_tags_and_some_seconds() {
    let den = Den::new(ten).await;
    den.store.state().frozen = true;
    let begun = Instant::now();
    let found = den.like_post(1).await.expect("answers from the rest");
    assert_eq!(missing(&found, Channel::Tags), "STORE_UNAVAILABLE");
    assert_eq!(found.posts.len(), 9);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    den.store.state().frozen = false;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vector_that_comes_while_it_is_waited_for_is_used() {
    let den = Den::new(ten).await;
    den.store
        .state()
        .change(1, |picture| picture.vectors.clear());
    den.abreast().await;
    let waits = SimilarOptions {
        wait: Some(prost_types::Duration {
            seconds: 10,
            nanos: 0,
        }),
        ..SimilarOptions::default()
    };
    let comes = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let seen = [("models/1".to_owned(), towards("models/1", 0.1))];
        den.store
            .state()
            .change(1, |picture| picture.vectors = seen.into());
    };
    let (found, ()) = tokio::join!(den.like(one(), waits), comes);
    assert_eq!(missing(&found.expect("answers"), Channel::Embedding), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nearly_blank_picture_and_one_without_tags_say_so() {
    let den = Den::new(ten).await;
    den.store.state().change(1, |picture| {
        picture.detail = 199;
        picture.tags.clear();
    });
    den.abreast().await;
    let found = den.like_post(1).await.expect("answers");
    assert_eq!(missing(&found, Channel::PerceptualHash), "NEAR_BLANK");
    assert_eq!(missing(&found, Channel::Tags), "NO_TAGS");
    assert!(
        found
            .channels
            .iter()
            .all(|one| one.used == one.message.is_empty())
    );
}
