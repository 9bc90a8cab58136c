//! Who follows vectors: from the bulk on, through changes of posts and of the model.

use std::{collections::BTreeMap, time::Duration};

use proto::store::v1::{
    ActivateModelRequest, Cursor, DeactivateModelRequest, PostEmbedding, TrashPostsRequest,
    WatchChangesRequest, WatchChangesResponse,
};
use tonic::Streaming;

use super::{DIMENSIONS, batch, embed, embedder, everything, scene, stream};
use crate::harness::{Clients, Scene};

/// The next message of a live feed, which must come soon.
async fn soon(live: &mut Streaming<WatchChangesResponse>) -> WatchChangesResponse {
    let next = tokio::time::timeout(Duration::from_secs(2), live.message());
    let next = next.await.expect("comes at once").expect("is no error");
    next.expect("goes on")
}

#[tokio::test]
async fn another_embedding_model_is_announced_though_no_post_changed() {
    let Scene { mut to, .. } = Scene::new().await;
    let request = WatchChangesRequest::default();
    let live = to.feed.watch_changes(request).await.expect("streams");
    let mut live = live.into_inner();
    assert_eq!(soon(&mut live).await.embed_model, "");
    for revision in ["e1", "e2"] {
        let answer = to.models.register_model(embedder(revision, 16)).await;
        answer.expect("registers");
    }
    let told = soon(&mut live).await;
    assert_eq!(
        (told.embed_model.as_str(), told.changes.len()),
        ("models/2", 0)
    );
    let activate = |name: &str| ActivateModelRequest {
        name: name.to_owned(),
    };
    let deactivate = |name: &str| DeactivateModelRequest {
        name: name.to_owned(),
    };
    let answer = to.models.activate_model(activate("models/3")).await;
    let second = answer
        .expect("activates")
        .into_inner()
        .model
        .expect("is told");
    assert!(second.active && !second.preferred);
    let answer = to.models.deactivate_model(deactivate("models/2")).await;
    answer.expect("deactivates");
    assert_eq!(soon(&mut live).await.embed_model, "models/3");
    let answer = to.models.deactivate_model(deactivate("models/3")).await;
    answer.expect("deactivates");
    assert_eq!(soon(&mut live).await.embed_model, "");
    to.register([1]).await;
    let told = soon(&mut live).await;
    assert_eq!((told.embed_model.as_str(), told.changes.len()), ("", 1));
}

/// One who starts from the bulk and follows the feed, as look-alike search does.
struct Follower {
    known: BTreeMap<String, PostEmbedding>,
    cursor: Cursor,
}

impl Follower {
    /// Reads the bulk, slowly.
    async fn start(to: &mut Clients) -> Self {
        let mut known = BTreeMap::new();
        let mut cursor = None;
        let mut stream = stream(to, "", "").await.expect("streams");
        while let Some(page) = stream.message().await.expect("is no error") {
            let at = page.cursor.expect("is told");
            assert_eq!(*cursor.get_or_insert(at), at, "the same in every message");
            known.extend(page.embeddings.into_iter().map(|e| (e.post.clone(), e)));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let cursor = cursor.expect("there is one message at least");
        Self { known, cursor }
    }

    /// Takes in what changed up to now.
    async fn follow(&mut self, to: &mut Clients) {
        let request = WatchChangesRequest {
            cursor: Some(self.cursor),
            until_now: true,
        };
        let answer = to.feed.watch_changes(request).await.expect("streams");
        let mut changes = answer.into_inner();
        while let Some(page) = changes.message().await.expect("is no error") {
            for change in &page.changes {
                self.known.remove(&change.post);
            }
            let left = page.changes.iter().filter(|change| !change.deleted);
            let names: Vec<&str> = left.map(|change| change.post.as_str()).collect();
            let got = batch(to, &names, "").await.expect("answers").embeddings;
            self.known
                .extend(got.into_iter().map(|e| (e.post.clone(), e)));
            self.cursor = page.cursor.expect("is told");
        }
    }
}

#[tokio::test]
async fn a_follower_of_ten_thousand_posts_ends_with_the_stores_state() {
    let Scene { mut to, .. } = scene(DIMENSIONS).await;
    for start in (0..10_000).step_by(500) {
        to.register(start..start + 500).await;
    }
    while embed(&mut to, "models/2", DIMENSIONS, 256).await == 256 {
        if to.stats().await.embeddings > 7_000 {
            break;
        }
    }
    let mut changing = to.clone();
    let change = async {
        for round in 0..20_u32 {
            let names = (0..20).map(|n| format!("posts/{}", 1 + round * 487 + n * 7));
            let request = TrashPostsRequest {
                names: names.collect(),
            };
            changing.trash.trash_posts(request).await.expect("trashes");
            embed(&mut changing, "models/2", DIMENSIONS, 50).await;
            changing
                .register(20_000 + round * 5..20_003 + round * 5)
                .await;
        }
    };
    let mut reading = to.clone();
    let (mut follower, ()) = tokio::join!(Follower::start(&mut reading), change);
    assert!(follower.known.len() > 9_000);
    follower.follow(&mut to).await;
    let truth = everything(&mut to).await;
    assert_eq!(truth.len() as u64, to.stats().await.posts);
    assert_eq!(truth.len(), 10_000 - 400 + 60);
    assert_eq!(follower.known, truth);
    let embedded = truth.values().filter(|post| !post.vector.is_empty());
    assert!(embedded.count() > 7_000);
}

#[tokio::test]
async fn what_a_slow_reader_has_not_taken_is_not_read_yet() {
    let Scene { mut to, .. } = scene(4_096).await;
    to.register(1..=500).await;
    while embed(&mut to, "models/2", 4_096, 250).await > 0 {}
    let mut slow = stream(&mut to, "", "").await.expect("streams");
    let first = slow.message().await.expect("is no error").expect("comes");
    assert!(first.embeddings.len() < 100);
    let request = TrashPostsRequest {
        names: vec!["posts/500".to_owned()],
    };
    to.trash.trash_posts(request).await.expect("trashes");
    let mut last = first;
    while let Some(page) = slow.message().await.expect("is no error") {
        last = page;
    }
    let last = last.embeddings.last().expect("is not empty");
    assert_eq!(last.post, "posts/499");
}
