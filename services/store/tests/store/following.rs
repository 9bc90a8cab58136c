//! The feed: whoever follows ends with the store's state.

use std::{collections::BTreeMap, time::Duration};

use proto::store::v1::{
    Cursor, PostView, SearchPostsRequest, WatchChangesRequest, WatchChangesResponse,
};
use tonic::{Code, Streaming};

use crate::harness::{Clients, Scene, refused};

#[tokio::test]
async fn a_follower_that_comes_and_goes_ends_with_the_stores_state() {
    let Scene { mut to, .. } = Scene::new().await;
    let mut writing = to.clone();
    let write = async {
        for round in 0..40u32 {
            writing.register(round * 10..round * 10 + 10).await;
            let tasks = writing
                .lease("one", round % 13 + 1, Duration::ZERO)
                .await
                .tasks;
            writing.complete("one", &tasks, &[round % 50]).await;
        }
    };
    let mut following = to.clone();
    let follow = async {
        let mut follower = Follower::default();
        let mut reconnects = 0;
        // Comes back after every few messages until everything has been seen.
        while follower.posts.len() < 400 || reconnects < 10 {
            let mut stream = follower.connect(&mut following, false).await;
            for _ in 0..=reconnects % 4 {
                let message = tokio::time::timeout(Duration::from_secs(15), stream.message());
                let message = message.await.expect("comes in time").expect("is no error");
                follower.apply(message.expect("goes on"));
                if follower.posts.len() == 400 {
                    break;
                }
            }
            reconnects += 1;
        }
        (follower, reconnects)
    };
    let ((), (mut follower, reconnects)) = tokio::join!(write, follow);
    let mut stream = follower.connect(&mut to, true).await;
    while let Some(message) = stream.message().await.expect("is no error") {
        follower.apply(message);
    }
    println!(
        "{} messages over {reconnects} connections",
        follower.messages
    );
    let state = state(&mut to).await;
    assert_eq!(state.len(), 400);
    assert_eq!(follower.posts, state);
    assert_eq!(follower.cursor.map(|c| c.seq), Some(to.stats().await.seq));
}

#[tokio::test]
async fn until_now_ends_and_a_live_stream_tells_the_next_change_at_once() {
    let Scene { mut to, .. } = Scene::new().await;
    for start in [0, 500, 1_000] {
        to.register(start..start + 500).await;
    }
    let mut follower = Follower::default();
    let mut stream = follower.connect(&mut to, true).await;
    while let Some(message) = stream.message().await.expect("is no error") {
        assert!(message.changes.len() <= 500);
        follower.apply(message);
    }
    assert_eq!((follower.posts.len(), follower.messages), (1_500, 3));

    let mut live = follower.connect(&mut to, false).await;
    let empty = live.message().await.expect("is no error").expect("comes");
    assert!(
        empty.changes.is_empty(),
        "the first page says where it stands"
    );
    to.register([9_999]).await;
    let next = tokio::time::timeout(Duration::from_secs(2), live.message());
    let next = next.await.expect("comes at once").expect("is no error");
    assert_eq!(next.expect("goes on").changes[0].post, "posts/1501");
}

#[tokio::test]
async fn silence_is_broken_every_ten_seconds_and_the_shutdown_ends_the_stream() {
    let Scene { mut to, store, .. } = Scene::new().await;
    let mut stream = Follower::default().connect(&mut to, false).await;
    stream
        .message()
        .await
        .expect("is no error")
        .expect("the first page");
    let sign = tokio::time::timeout(Duration::from_secs(13), stream.message());
    let sign = sign.await.expect("a sign of life").expect("is no error");
    assert!(sign.expect("goes on").changes.is_empty());
    let end = async { stream.message().await.expect("is no error") };
    let (end, ()) = tokio::join!(end, store.stop());
    assert_eq!(end, None);
}

#[tokio::test]
async fn a_cursor_of_another_epoch_or_of_the_future_must_start_again() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register([1]).await;
    let stats = to.stats().await;
    for cursor in [
        Cursor {
            epoch: stats.epoch ^ 1,
            seq: 0,
        },
        Cursor {
            epoch: stats.epoch,
            seq: stats.seq + 1,
        },
    ] {
        let request = WatchChangesRequest {
            cursor: Some(cursor),
            until_now: true,
        };
        let answer = to.feed.watch_changes(request).await;
        refused(answer, Code::OutOfRange, "RESYNC_REQUIRED");
    }
}

/// One who follows, and what he knows.
#[derive(Default)]
struct Follower {
    cursor: Option<Cursor>,
    posts: BTreeMap<String, u64>,
    messages: usize,
}

impl Follower {
    async fn connect(&self, to: &mut Clients, until_now: bool) -> Streaming<WatchChangesResponse> {
        let request = WatchChangesRequest {
            cursor: self.cursor,
            until_now,
        };
        let answer = to.feed.watch_changes(request).await;
        answer.expect("streams").into_inner()
    }

    fn apply(&mut self, message: WatchChangesResponse) {
        let mut last = self.cursor.map_or(0, |cursor| cursor.seq);
        for change in message.changes {
            assert!(change.seq > last, "positions ascend");
            last = change.seq;
            if change.deleted {
                self.posts.remove(&change.post);
            } else {
                self.posts.insert(change.post, change.seq);
            }
        }
        self.cursor = message.cursor;
        self.messages += 1;
    }
}

/// What the store has: every post and the position of its last change.
async fn state(to: &mut Clients) -> BTreeMap<String, u64> {
    let request = SearchPostsRequest {
        within: None,
        query: String::new(),
        page_size: 1_000,
        page_token: String::new(),
        view: PostView::Basic.into(),
    };
    let answer = to.posts.search_posts(request).await.expect("finds");
    let posts = answer.into_inner().posts.into_iter();
    posts.map(|post| (post.name, post.changed_seq)).collect()
}
