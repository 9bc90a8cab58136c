//! Searching and paging.

use std::{collections::HashSet, time::Duration};

use proto::store::v1::{
    ListTagsRequest, PostView, Rating, SearchPostsRequest, SearchPostsResponse, TagCategory,
};
use tonic::{Code, Status};

use crate::harness::{Clients, Scene, refused};

#[tokio::test]
async fn what_a_model_said_is_found_at_once() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=10).await;
    let tasks = to.lease("one", 10, Duration::ZERO).await.tasks;
    to.complete("one", &tasks[..4], &[0, 7]).await;
    to.complete("one", &tasks[4..6], &[7]).await;

    let found = search(&mut to, "tag_07 -tag_00", 0, "")
        .await
        .expect("finds");
    let names: Vec<_> = found.posts.iter().map(|post| post.name.as_str()).collect();
    assert_eq!((names, found.total_size), (vec!["posts/6", "posts/5"], 2));
    let post = &found.posts[0];
    assert_eq!(post.rating(), Rating::General);
    let tags: Vec<_> = post
        .tags
        .iter()
        .map(|tag| (&*tag.name, tag.category()))
        .collect();
    assert_eq!(tags, [("tag_07", TagCategory::General)]);
    assert!(post.predictions.is_empty(), "not in the basic view");
    let rated = search(&mut to, "rating:g order:oldest", 2, "")
        .await
        .expect("finds");
    assert_eq!(
        (rated.posts[0].name.as_str(), rated.total_size),
        ("posts/1", 6)
    );
    assert_eq!(
        search(&mut to, "", 0, "").await.expect("finds").total_size,
        10
    );
    assert_eq!(
        search(&mut to, "nobody_knows", 0, "")
            .await
            .expect("finds")
            .total_size,
        0
    );

    let full = SearchPostsRequest {
        within: None,
        query: "tag_00".to_owned(),
        page_size: 1,
        page_token: String::new(),
        view: PostView::Full.into(),
    };
    let full = to
        .posts
        .search_posts(full)
        .await
        .expect("finds")
        .into_inner();
    let said = &full.posts[0].predictions[0];
    assert_eq!(
        (said.model.as_str(), said.model_name.as_str()),
        ("models/1", "palette-tagger")
    );
    assert_eq!((said.node.as_str(), said.device.as_str()), ("one", "cpu"));
    let labels: HashSet<&str> = said.tags.iter().map(|tag| tag.name.as_str()).collect();
    // Not the ratings of which it said nothing.
    assert_eq!(labels, ["tag_00", "tag_07", "general"].into());

    let tags = ListTagsRequest {
        prefix: "tag_".to_owned(),
        page_size: 2,
    };
    let tags = to
        .tags
        .list_tags(tags)
        .await
        .expect("lists")
        .into_inner()
        .tags;
    let counts: Vec<_> = tags
        .iter()
        .map(|tag| (&*tag.name, tag.post_count))
        .collect();
    assert_eq!(counts, [("tags/tag_07", 6), ("tags/tag_00", 4)]);
}

#[tokio::test]
async fn pages_are_stable_while_posts_are_added() {
    for order in ["newest", "oldest", "size", "size_asc"] {
        let Scene { mut to, .. } = Scene::new().await;
        let before: HashSet<String> = to.register(1..=100).await.into_iter().collect();
        let query = format!("order:{order}");
        let (mut seen, mut token, mut next) = (Vec::new(), String::new(), 101);
        loop {
            let page = search(&mut to, &query, 7, &token).await.expect("finds");
            seen.extend(page.posts.into_iter().map(|post| post.name));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
            if next < 200 {
                to.register(next..next + 5).await;
                next += 5;
            }
        }
        let distinct: HashSet<String> = seen.iter().cloned().collect();
        assert_eq!(distinct.len(), seen.len(), "{order}: none twice");
        assert!(distinct.is_superset(&before), "{order}: none left out");
    }
}

#[tokio::test]
async fn a_page_of_a_thousand_is_read_whole() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=500).await;
    to.register(501..=1_000).await;
    to.register(1_001..=1_100).await;
    let page = search(&mut to, "", 5_000, "").await.expect("finds");
    assert_eq!((page.posts.len(), page.total_size), (1_000, 1_100));
    let rest = search(&mut to, "", 5_000, &page.next_page_token)
        .await
        .expect("finds");
    assert_eq!((rest.posts.len(), rest.next_page_token.as_str()), (100, ""));
}

#[tokio::test]
async fn bad_queries_and_tokens_are_refused_with_their_reason() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=3).await;
    let message = refused(
        search(&mut to, "blue (red", 0, "").await,
        Code::InvalidArgument,
        "QUERY_SYNTAX",
    );
    assert!(message.contains("byte 5"), "{message}");
    let page = search(&mut to, "id:>0", 1, "").await.expect("finds");
    let token = page.next_page_token;
    for (query, token) in [
        ("id:>1", token.as_str()),
        ("id:>0 order:size", &token),
        ("id:>0", "AAAA"),
        ("id:>0", "not base64!"),
        ("id:>0", &"A".repeat(10_000)),
    ] {
        let answer = search(&mut to, query, 1, token).await;
        refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    }
    let answer = search(&mut to, "", -1, "").await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELD");
}

async fn search(
    to: &mut Clients,
    query: &str,
    page_size: i32,
    page_token: &str,
) -> Result<SearchPostsResponse, Status> {
    let request = SearchPostsRequest {
        within: None,
        query: query.to_owned(),
        page_size,
        page_token: page_token.to_owned(),
        view: 0,
    };
    let answer = to.posts.search_posts(request).await?;
    Ok(answer.into_inner())
}
