//! Following the store through interruptions, lies, other databases and other models.

use std::fs;
use std::time::{Duration, Instant};

use proto::similarity::v1::Channel;
use proto::similarity::v1::find_similar_request::Subject;
use tonic::Code;

use super::den::{Den, missing, only, posts};
use super::state::State;

fn ten(state: &mut State) {
    for post in 1..=10 {
        state.add(post, post as f32 / 10.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_loaded_and_what_changes_is_followed() {
    let den = Den::new(ten).await;
    den.ready(true).await;
    let index = den.index().await;
    assert_eq!((index.posts, index.vectors, index.dimensions), (10, 10, 8));
    assert_eq!(
        (index.snapshot.as_str(), index.model.as_str()),
        ("ABSENT", "models/1")
    );
    let found = den.like_post(1).await.expect("answers");
    assert_eq!(found.posts.len(), 9, "all others");

    den.store.state().purge(2);
    den.store
        .state()
        .change(3, |picture| picture.trashed = true);
    den.store.state().add(11, 0.1);
    den.abreast().await;
    let embedding = only(Channel::Embedding);
    let found = den
        .like(Subject::Post("posts/1".to_owned()), embedding)
        .await;
    let found = posts(&found.expect("answers"));
    assert_eq!(
        found,
        [11, 4, 5, 6, 7, 8, 9, 10],
        "2 is gone, 3 in the trash, 11 came"
    );
    let gone = den.like_post(2).await.expect_err("is not there");
    assert_eq!(gone.code(), Code::NotFound);

    den.store
        .state()
        .change(3, |picture| picture.trashed = false);
    den.abreast().await;
    assert!(den.like_post(3).await.is_ok(), "it came back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_off_goes_on_and_misses_nothing() {
    let mut den = Den::without_service(ten);
    den.store.state().cut = Some(2);
    // When four posts were read, one of them goes and another is other than it was.
    den.store.state().meanwhile = Some(|state| {
        state.purge(1);
        state.change(2, |picture| picture.vectors.clear());
    });
    den.start().await;
    let index = den.abreast().await;
    assert_eq!((index.posts, index.vectors), (9, 8));
    let bulks = den.store.state().bulks.clone();
    assert!(bulks.len() >= 3, "it broke off again and again: {bulks:?}");
    assert!(
        bulks[1..]
            .iter()
            .all(|(model, after)| model == "models/1" && !after.is_empty()),
        "it goes on where it was, with the same model: {bulks:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_merely_ends_is_not_taken_for_everything() {
    let mut den = Den::without_service(ten);
    den.store.state().end = Some(1);
    den.start().await;
    assert_eq!(den.abreast().await.posts, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_memory_answers_and_says_so() {
    let mut den = Den::new(ten).await;
    den.ready(true).await;
    den.store.go();
    den.until("notices that the store is away", |index| !index.following)
        .await;
    let found = den.like_post(1).await.expect("answers from memory");
    assert_eq!(found.posts.len(), 9);
    assert_eq!(missing(&found, Channel::Tags), "STORE_UNAVAILABLE");
    assert_eq!(missing(&found, Channel::Embedding), "");
    den.ready(true).await;

    den.store.state().add(11, 0.2);
    den.store.come();
    assert_eq!(den.abreast().await.posts, 11);
    let found = den.like_post(1).await.expect("answers");
    assert_eq!(missing(&found, Channel::Tags), "");
    assert_eq!(den.store.state().bulks.len(), 2, "nothing is read twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_is_read_anew() {
    let mut den = Den::new(ten).await;
    den.store.go();
    den.store.state().replace();
    den.store.state().add(5, 0.5);
    den.store.come();
    let index = den.until("has read the other one", |index| {
        index.lag == 0 && index.following && index.cursor.is_some_and(|cursor| cursor.epoch == 8)
    });
    assert_eq!(index.await.posts, 1, "nothing of the old one is left");
    den.ready(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_without_the_model_is_noticed_in_the_middle_of_a_switch() {
    let mut den = Den::new(ten).await;
    den.abreast().await;
    {
        let mut state = den.store.state();
        (state.cut, state.model) = (Some(0), "models/2".to_owned());
    }
    den.until("reads vectors", |index| index.dimensions == 16)
        .await;
    den.store.go();
    {
        let mut state = den.store.state();
        state.replace();
        (state.model, state.models) = ("models/1".to_owned(), vec!["models/1".to_owned()]);
        state.add(5, 0.5);
    }
    den.store.come();
    let index = den.until("has read the other one", |index| {
        index.lag == 0 && index.following && index.cursor.is_some_and(|cursor| cursor.epoch == 8)
    });
    assert_eq!(index.await.posts, 1, "nothing of the old one is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_model_brings_its_vectors_and_none_takes_them_away() {
    let den = Den::new(ten).await;
    den.store.state().change(4, |picture| {
        picture.vectors.remove("models/2");
    });
    den.store.state().model = "models/2".to_owned();
    let index = den.abreast().await;
    assert_eq!((index.posts, index.vectors, index.dimensions), (10, 9, 16));
    let found = den.like_post(4).await.expect("answers");
    assert_eq!(missing(&found, Channel::Embedding), "NOT_EMBEDDED");
    assert_eq!(missing(&found, Channel::PerceptualHash), "");
    assert!(
        den.store.state().asked > 0,
        "somebody is to come and see it"
    );

    den.store.state().model = String::new();
    let index = den.abreast().await;
    assert_eq!(
        (index.posts, index.vectors, index.revision.as_str()),
        (10, 0, "")
    );
    let found = den.like_post(1).await.expect("answers");
    assert_eq!(missing(&found, Channel::Embedding), "NO_MODEL");
    assert_eq!(found.posts.len(), 9, "hashes still answer");

    den.store.state().model = "models/1".to_owned();
    assert_eq!(den.abreast().await.vectors, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_a_quick_start_and_a_bad_one_is_no_harm() {
    let mut den = Den::new(ten).await;
    den.stop().await;
    let bulks = den.store.state().bulks.len();
    den.store.state().purge(1);
    den.start().await;
    let index = den.abreast().await;
    assert_eq!((index.posts, index.snapshot.as_str()), (9, "LOADED"));
    assert_eq!(
        den.store.state().bulks.len(),
        bulks,
        "only changes were read"
    );
    assert!(den.store.state().followed.last() > Some(&0));
    den.stop().await;

    let mut bytes = fs::read(den.snapshot()).expect("was written at the end");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(den.snapshot(), &bytes).expect("can be written");
    den.start().await;
    let index = den.abreast().await;
    assert_eq!((index.posts, index.snapshot.as_str()), (9, "DAMAGED"));
    den.stop().await;

    den.store.state().replace();
    den.store.state().add(7, 0.1);
    den.start().await;
    let index = den.until("follows the other database", |index| {
        index.lag == 0 && index.following && index.snapshot == "STALE"
    });
    assert_eq!(index.await.posts, 1);
    den.stop().await;

    fs::remove_file(den.snapshot()).expect("is there");
    den.start().await;
    assert_eq!(den.abreast().await.snapshot, "ABSENT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_another_model_keeps_its_hashes_and_gets_new_vectors() {
    let mut den = Den::new(ten).await;
    den.stop().await;
    den.store.state().model = "models/2".to_owned();
    {
        // One post an attempt, so that it takes a while.
        let mut state = den.store.state();
        (state.page, state.cut) = (1, Some(1));
    }
    den.start().await;
    den.until("has the snapshot", |index| index.snapshot == "LOADED")
        .await;
    den.ready(true).await;
    den.like_post(1).await.expect("who is ready answers");
    let index = den.abreast().await;
    assert_eq!((index.posts, index.vectors, index.dimensions), (10, 10, 16));
    assert_eq!(index.snapshot, "LOADED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_switch_the_snapshot_is_of_the_new_model_though_no_post_changed() {
    let mut den = Den::new(ten).await;
    den.abreast().await;
    let followed = den.store.state().followed.len();
    den.store.state().model = "models/2".to_owned();
    // It follows again once it has read everything.
    while den.store.state().followed.len() == followed {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    den.stop().await;
    let bulks = den.store.state().bulks.len();
    den.start().await;
    let index = den.abreast().await;
    assert_eq!((index.vectors, index.snapshot.as_str()), (10, "LOADED"));
    assert_eq!(
        den.store.state().bulks.len(),
        bulks,
        "nothing is read again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_ready_only_when_it_is_nearly_abreast() {
    let mut den = Den::without_service(ten);
    den.store.state().silent = true;
    den.store.go();
    den.start().await;
    den.ready(false).await;
    let refused = den.like_post(1).await.expect_err("nothing is loaded");
    assert_eq!(
        kit::code::reason(&refused).as_deref(),
        Some("INDEX_LOADING")
    );

    den.store.come();
    den.ready(true).await;
    den.stop().await;
    for post in 11..1_600 {
        den.store.state().add(post, 0.5);
    }
    den.start().await;
    let behind = den.until("has begun to catch up", |index| {
        index.following && index.snapshot == "LOADED" && index.posts == 12
    });
    assert!(behind.await.lag > 1_000);
    den.ready(false).await;
    let refused = den.like_post(1).await.expect_err("is not caught up");
    assert_eq!(
        kit::code::reason(&refused).as_deref(),
        Some("INDEX_LOADING")
    );
    den.store.state().page = 500;
    den.store.state().silent = false;
    assert_eq!(den.abreast().await.lag, 0);
    den.ready(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_a_store_is_quick() {
    let mut den = Den::without_service(ten);
    den.store.go();
    den.start().await;
    den.until("answers", |index| !index.following).await;
    den.stop().await;
    assert!(!den.snapshot().exists(), "there was nothing to keep");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_snapshot_holds_answers_when_the_store_stays_away() {
    let mut den = Den::new(ten).await;
    den.stop().await;
    den.store.go();
    den.start().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let found = loop {
        match den.like_post(1).await {
            Ok(found) => break found,
            Err(refused) => {
                let reason = kit::code::reason(&refused);
                assert_eq!(reason.as_deref(), Some("INDEX_LOADING"));
            }
        }
        assert!(Instant::now() < deadline, "it never answers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(found.posts.len(), 9);
}
