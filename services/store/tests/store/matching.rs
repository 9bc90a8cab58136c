//! Numbers of a query, and posts that share tags, over the whole library.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::store::v1::{
    CompleteTasksRequest, MatchQueryRequest, MatchQueryResponse, MatchTagsRequest,
    MatchTagsResponse, PostView, SearchPostsRequest, TrashPostsRequest,
};
use tonic::{Code, Status};

use crate::harness::{Clients, Scene, refused, result};

async fn query(to: &mut Clients, text: &str) -> Result<Vec<MatchQueryResponse>, Status> {
    let request = MatchQueryRequest {
        query: text.to_owned(),
    };
    let mut pages = Vec::new();
    let mut stream = to.matching.match_query(request).await?.into_inner();
    while let Some(page) = stream.message().await? {
        pages.push(page);
    }
    Ok(pages)
}

async fn tags(to: &mut Clients, request: MatchTagsRequest) -> Result<MatchTagsResponse, Status> {
    Ok(to.matching.match_tags(request).await?.into_inner())
}

/// Tags post `n` with every label below 56 that divides it, and with label 0 if it is even.
async fn tag_all(to: &mut Clients) {
    loop {
        let tasks = to.lease("one", 256, Duration::ZERO).await.tasks;
        if tasks.is_empty() {
            return;
        }
        let results = tasks.iter().map(|task| {
            let number: u32 = task.post["posts/".len()..].parse().expect("a number");
            let labels: Vec<u32> = (1..56).filter(|n| number.is_multiple_of(*n)).collect();
            result(task, &labels)
        });
        let request = CompleteTasksRequest {
            node: "one".to_owned(),
            incarnation: 1,
            results: results.collect(),
        };
        to.tasks.complete_tasks(request).await.expect("completes");
    }
}

async fn trash(to: &mut Clients, numbers: &[u32]) {
    let names = numbers.iter().map(|n| format!("posts/{n}")).collect();
    let request = TrashPostsRequest { names };
    to.trash.trash_posts(request).await.expect("trashes");
}

/// Every post outside the trash and its tags.
async fn library(to: &mut Clients) -> BTreeMap<u32, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    let mut page_token = String::new();
    loop {
        let request = SearchPostsRequest {
            page_size: 1_000,
            page_token,
            view: PostView::Basic.into(),
            ..SearchPostsRequest::default()
        };
        let answer = to
            .posts
            .search_posts(request)
            .await
            .expect("finds")
            .into_inner();
        for post in answer.posts {
            let number = post.name["posts/".len()..].parse().expect("a number");
            all.insert(number, post.tags.into_iter().map(|tag| tag.name).collect());
        }
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return all;
        }
    }
}

/// The score of a post by the formula; all tags are of the category general.
fn score(
    tags: &BTreeSet<String>,
    subject: &BTreeSet<String>,
    library: &BTreeMap<u32, BTreeSet<String>>,
) -> f64 {
    let weight = |tag: &&String| {
        let with = library.values().filter(|tags| tags.contains(*tag)).count();
        (1.0 + library.len() as f64 / with as f64).ln()
    };
    let shared: f64 = subject
        .intersection(tags)
        .collect::<Vec<_>>()
        .iter()
        .map(weight)
        .sum();
    shared
        / subject
            .iter()
            .collect::<Vec<_>>()
            .iter()
            .map(weight)
            .sum::<f64>()
}

#[tokio::test]
async fn the_numbers_of_a_query_come_in_pages_ascending_and_complete() {
    let Scene { mut to, .. } = Scene::new().await;
    for start in (0..40_000).step_by(500) {
        to.register(start..start + 500).await;
    }
    let pages = query(&mut to, "").await.expect("finds");
    assert_eq!(pages.len(), 2);
    let ids: Vec<u32> = pages.into_iter().flat_map(|page| page.ids).collect();
    assert_eq!(ids, (1..=40_000).collect::<Vec<_>>());
    trash(&mut to, &[4, 8, 15]).await;
    let few = query(&mut to, "id:3..16 -id:10").await.expect("finds");
    assert_eq!(few.len(), 1);
    assert_eq!(few[0].ids, [3, 5, 6, 7, 9, 11, 12, 13, 14, 16]);
    let trashed = query(&mut to, "status:trash").await.expect("finds");
    assert_eq!(trashed[0].ids, [4, 8, 15]);
    let nothing = query(&mut to, "no_such_tag").await.expect("finds");
    assert_eq!(nothing, [MatchQueryResponse::default()]);
}

#[tokio::test]
async fn queries_that_cannot_be_understood_or_are_in_an_order_are_refused() {
    let Scene { mut to, .. } = Scene::new().await;
    for text in ["ratign:g", "(", "order:newest", "a order:size"] {
        let answer = query(&mut to, text).await;
        refused(answer, Code::InvalidArgument, "QUERY_SYNTAX");
        let request = MatchTagsRequest {
            tags: vec!["a".to_owned()],
            query: text.to_owned(),
            ..MatchTagsRequest::default()
        };
        let answer = tags(&mut to, request).await;
        refused(answer, Code::InvalidArgument, "QUERY_SYNTAX");
    }
}

#[tokio::test]
async fn posts_that_share_tags_are_those_that_the_formula_names() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=500).await;
    to.register(501..=1_000).await;
    tag_all(&mut to).await;
    let library = library(&mut to).await;
    assert_eq!(library.len(), 1_000);
    for (subject, text) in [
        (360, ""),
        (97, ""),
        (720, "tag_09 -tag_10"),
        (480, "id:..50"),
    ] {
        let also: Vec<u32> = vec![1, subject, 999, 5_000];
        let request = MatchTagsRequest {
            post: format!("posts/{subject}"),
            page_size: 40,
            also: also.clone(),
            query: text.to_owned(),
            ..MatchTagsRequest::default()
        };
        let found = tags(&mut to, request).await.expect("answers");
        let wanted = &library[&subject];
        assert_eq!(found.tags as usize, wanted.len());
        let expected_also = also.iter().map(|post| match library.get(post) {
            Some(tags) => score(tags, wanted, &library),
            None => 0.0,
        });
        for (score, expected) in found.also.iter().zip(expected_also) {
            assert!((f64::from(*score) - expected).abs() < 1e-6);
        }
        assert!(
            (found.also[1] - 1.0).abs() < 1e-6,
            "a post has all of its own"
        );

        let within = query(&mut to, text).await.expect("finds");
        let within: BTreeSet<u32> = within.into_iter().flat_map(|page| page.ids).collect();
        let mut naive: Vec<(i64, u32)> = library
            .iter()
            .filter(|(post, _)| **post != subject && within.contains(post))
            .map(|(post, tags)| ((score(tags, wanted, &library) * 1e7).round() as i64, *post))
            .filter(|(score, _)| *score > 0)
            .collect();
        naive.sort_by_key(|&(score, post)| (-score, post));
        naive.truncate(40);
        let best = found.matches.iter().map(|found| {
            let post = found.post["posts/".len()..].parse().expect("a number");
            ((f64::from(found.score) * 1e7).round() as i64, post)
        });
        let best: Vec<(i64, u32)> = best.collect();
        assert_eq!(best.len(), naive.len());
        for (best, naive) in best.iter().zip(&naive) {
            assert!((best.0 - naive.0).abs() <= 2, "{best:?} {naive:?}");
        }
        assert_eq!(best[0].1, naive[0].1);
    }
}

#[tokio::test]
async fn a_list_of_tags_is_matched_by_what_is_known_of_it_and_the_trash_never() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=200).await;
    tag_all(&mut to).await;
    let request = |names: &[&str]| MatchTagsRequest {
        tags: names.iter().map(|name| (*name).to_owned()).collect(),
        also: vec![55, 110, 5],
        ..MatchTagsRequest::default()
    };
    let names = ["Tag 55", "tag_55", "tag_11", "nobody_knows"];
    let found = tags(&mut to, request(&names)).await.expect("answers");
    assert_eq!(found.tags, 2);
    let best: Vec<_> = found.matches.iter().map(|m| m.post.as_str()).collect();
    assert_eq!(best[..3], ["posts/55", "posts/110", "posts/165"]);
    assert_eq!(best[3..].len(), 15, "and the other multiples of eleven");
    assert_eq!((found.also[0], found.also[2]), (1.0, 0.0));
    trash(&mut to, &[55]).await;
    let found = tags(&mut to, request(&names)).await.expect("answers");
    assert_eq!(found.matches[0].post, "posts/110");
    assert_eq!((found.also[0], found.also[1]), (0.0, 1.0));

    for nothing in [&["nobody_knows"][..], &[]] {
        let found = tags(&mut to, request(nothing)).await.expect("answers");
        assert_eq!((found.tags, found.matches.len()), (0, 0));
        assert_eq!(found.also, [0.0; 3]);
    }
}

#[tokio::test]
async fn questions_that_are_too_long_or_about_nobody_are_refused() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register([1]).await;
    let fine = MatchTagsRequest {
        post: "posts/1".to_owned(),
        page_size: i32::MAX,
        ..MatchTagsRequest::default()
    };
    let answer = tags(&mut to, fine.clone()).await.expect("is capped");
    assert_eq!(answer, MatchTagsResponse::default());
    let mut bad = vec![(fine.clone(), Code::NotFound, "NO_SUCH_POST")];
    bad[0].0.post = "posts/2".to_owned();
    let mut add = |change: fn(&mut MatchTagsRequest), reason| {
        let mut request = fine.clone();
        change(&mut request);
        bad.push((request, Code::InvalidArgument, reason));
    };
    add(|r| r.post = "posts/x".to_owned(), "BAD_RESOURCE_NAME");
    add(|r| r.page_size = -1, "INVALID_FIELD");
    add(|r| r.tags = vec!["a".to_owned()], "INVALID_FIELD");
    add(|r| r.tags = vec![String::new(); 1_001], "TOO_MANY");
    add(|r| r.also = vec![1; 10_001], "TOO_MANY");
    for (request, code, reason) in bad {
        refused(tags(&mut to, request).await, code, reason);
    }
}
