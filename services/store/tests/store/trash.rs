//! The trash and what is rejected, through the door; and searches within sets of posts.

use std::collections::BTreeMap;

use proto::store::v1::{
    AllowRejectedRequest, AllowRejectedResponse, BatchGetPostsRequest, Change, GetPostRequest,
    HeartbeatWatcherRequest, ListRejectedRequest, ListRejectedResponse, PostSet, PostView,
    PurgePostsRequest, RegisterPostsRequest, RestorePostsRequest, SearchPostsRequest,
    SearchPostsResponse, TrashPostsRequest, WatchChangesRequest,
};
use tonic::{Code, Status};

use crate::harness::{Clients, Scene, picture, refused};

async fn trash(to: &mut Clients, names: &[String]) -> Result<Option<i64>, Status> {
    let names = names.to_vec();
    let answer = to.trash.trash_posts(TrashPostsRequest { names }).await?;
    Ok(answer.into_inner().purge_time.map(|time| time.seconds))
}

async fn restore(to: &mut Clients, names: &[String]) -> Result<(), Status> {
    let names = names.to_vec();
    to.trash
        .restore_posts(RestorePostsRequest { names })
        .await?;
    Ok(())
}

async fn purge(to: &mut Clients, names: &[String]) -> Result<(), Status> {
    let names = names.to_vec();
    to.trash.purge_posts(PurgePostsRequest { names }).await?;
    Ok(())
}

async fn allow(to: &mut Clients, sha256s: &[&str]) -> Result<AllowRejectedResponse, Status> {
    let sha256s = sha256s.iter().map(|text| (*text).to_owned()).collect();
    let answer = to
        .trash
        .allow_rejected(AllowRejectedRequest { sha256s })
        .await?;
    Ok(answer.into_inner())
}

async fn rejected(to: &mut Clients, page_token: &str) -> ListRejectedResponse {
    let request = ListRejectedRequest {
        page_size: 2,
        page_token: page_token.to_owned(),
    };
    let answer = to.trash.list_rejected(request).await;
    answer.expect("lists").into_inner()
}

async fn search(
    to: &mut Clients,
    query: &str,
    within: Option<PostSet>,
    page_token: &str,
) -> Result<SearchPostsResponse, Status> {
    let request = SearchPostsRequest {
        query: query.to_owned(),
        page_size: 3,
        page_token: page_token.to_owned(),
        within,
        ..SearchPostsRequest::default()
    };
    Ok(to.posts.search_posts(request).await?.into_inner())
}

fn names(answer: &SearchPostsResponse) -> Vec<&str> {
    answer.posts.iter().map(|post| post.name.as_str()).collect()
}

fn set(ids: &[u32], keep_order: bool) -> Option<PostSet> {
    Some(PostSet {
        ids: ids.to_vec(),
        keep_order,
    })
}

/// The last change of every post.
async fn changes(to: &mut Clients) -> BTreeMap<String, Change> {
    let request = WatchChangesRequest {
        cursor: None,
        until_now: true,
    };
    let mut pages = to
        .feed
        .watch_changes(request)
        .await
        .expect("follows")
        .into_inner();
    let mut last = BTreeMap::new();
    while let Some(page) = pages.message().await.expect("goes on") {
        for change in page.changes {
            last.insert(change.post.clone(), change);
        }
    }
    last
}

#[tokio::test]
async fn the_trash_hides_a_post_from_everybody_who_searches_or_follows() {
    let mut scene = Scene::new().await;
    let posts = scene.to.register(1..=3).await;
    let until = trash(&mut scene.to, &posts[1..2]).await.expect("trashes");
    for restarted in [false, true] {
        if restarted {
            scene = scene.restart().await;
        }
        let to = &mut scene.to;
        let found = search(to, "order:oldest", None, "").await.expect("finds");
        assert_eq!(names(&found), [&posts[0], &posts[2]]);
        let found = search(to, "status:trash", None, "").await.expect("finds");
        assert_eq!((names(&found), found.total_size), (vec![&*posts[1]], 1));
        let change = changes(to).await.remove(&posts[1]).expect("is told");
        assert!(change.deleted && change.trashed);
        let stats = to.stats().await;
        assert_eq!((stats.posts, stats.posts_trashed), (2, 1));
    }
    let to = &mut scene.to;
    let request = BatchGetPostsRequest {
        names: posts.clone(),
        view: PostView::Full.into(),
    };
    let shown = to
        .posts
        .batch_get_posts(request)
        .await
        .expect("shows")
        .into_inner();
    let trashed = shown.posts[1].trash_time.expect("is in the trash");
    assert_eq!(until, Some(trashed.seconds + 30 * 86_400));
    assert!(shown.posts[1].edits.is_none(), "nobody said anything");
    assert!(shown.posts[0].trash_time.is_none());

    restore(to, &posts[1..2]).await.expect("restores");
    let found = search(to, "", None, "").await.expect("finds");
    assert_eq!(found.total_size, 3);
    let change = changes(to).await.remove(&posts[1]).expect("is told");
    assert!(!change.deleted && !change.trashed);
}

#[tokio::test]
async fn what_was_purged_is_rejected_until_it_is_allowed() {
    let Scene { mut to, .. } = Scene::new().await;
    let posts = to.register(1..=3).await;
    trash(&mut to, &posts).await.expect("trashes");
    for name in &posts {
        purge(&mut to, std::slice::from_ref(name))
            .await
            .expect("purges");
    }
    let request = GetPostRequest {
        name: posts[0].clone(),
        view: 0,
    };
    refused(
        to.posts.get_post(request).await,
        Code::NotFound,
        "NO_SUCH_POST",
    );
    let change = changes(&mut to).await.remove(&posts[0]).expect("is told");
    assert!(change.deleted && !change.trashed);

    let first = rejected(&mut to, "").await;
    let hashes: Vec<&str> = first.contents.iter().map(|c| &*c.sha256).collect();
    assert_eq!(
        hashes,
        [picture(3).sha256, picture(2).sha256],
        "newest first"
    );
    assert_eq!(first.contents[0].display_paths, ["/pictures/den/3.png"]);
    let second = rejected(&mut to, &first.next_page_token).await;
    assert_eq!((second.contents.len(), &*second.next_page_token), (1, ""));

    let again = RegisterPostsRequest {
        posts: vec![picture(1)],
    };
    let told = to
        .posts
        .register_posts(again.clone())
        .await
        .expect("answers");
    let told = told.into_inner().posts.remove(0);
    assert!(told.rejected && !told.created && told.name.is_empty());
    let stats = to.stats().await;
    assert_eq!(
        (stats.posts, stats.rejected, stats.locations_present),
        (0, 3, 3)
    );
    assert_eq!(stats.tasks_queued, 0);

    let sha256 = picture(1).sha256;
    assert_eq!(allow(&mut to, &[&sha256]).await.expect("allows").allowed, 1);
    let beat = HeartbeatWatcherRequest {
        watcher: "den".to_owned(),
        incarnation: 1,
        roots: Vec::new(),
        progress: None,
    };
    let answer = to.nodes.heartbeat_watcher(beat).await.expect("answers");
    let retry = answer.into_inner().retry;
    assert_eq!(
        (&*retry[0].root, &retry[0].path[..]),
        ("roots/1", &b"1.png"[..])
    );
    let told = to.posts.register_posts(again).await.expect("answers");
    let told = told.into_inner().posts.remove(0);
    assert_eq!(
        (&*told.name, told.created, told.rejected),
        ("posts/4", true, false)
    );
}

#[tokio::test]
async fn what_cannot_be_done_to_all_is_done_to_none() {
    let Scene { mut to, .. } = Scene::new().await;
    let posts = to.register(1..=3).await;
    trash(&mut to, &posts[..1]).await.expect("trashes");
    let before = to.stats().await.seq;
    let nobody = [posts[1].clone(), "posts/9".to_owned()];
    refused(
        trash(&mut to, &nobody).await,
        Code::NotFound,
        "NO_SUCH_POST",
    );
    let both = &posts[..2];
    let outside = Code::FailedPrecondition;
    let message = refused(restore(&mut to, both).await, outside, "NOT_TRASHED");
    assert!(message.contains(&posts[1]), "{message}");
    refused(purge(&mut to, both).await, outside, "NOT_TRASHED");
    let twice = [posts[0].clone(), posts[0].clone()];
    refused(
        purge(&mut to, &twice).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
    );
    let many = vec!["posts/1".to_owned(); 501];
    refused(
        trash(&mut to, &many).await,
        Code::InvalidArgument,
        "TOO_MANY",
    );
    let odd = ["posts/x".to_owned()];
    refused(
        restore(&mut to, &odd).await,
        Code::InvalidArgument,
        "BAD_RESOURCE_NAME",
    );
    refused(
        allow(&mut to, &["ABC"]).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
    );
    let unknown = "0".repeat(64);
    assert_eq!(
        allow(&mut to, &[&unknown]).await.expect("answers").allowed,
        0
    );
    assert_eq!(to.stats().await.seq, before);
    let token = ListRejectedRequest {
        page_size: 0,
        page_token: "AAAA".to_owned(),
    };
    let answer = to.trash.list_rejected(token).await;
    refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn a_search_within_a_set_keeps_its_order_if_asked() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=9).await;
    let ids = [7, 2, 99, 9, 4, 1];
    let first = search(&mut to, "id:2..", set(&ids, true), "")
        .await
        .expect("finds");
    assert_eq!(names(&first), ["posts/7", "posts/2", "posts/9"]);
    assert_eq!(first.total_size, 4);
    let token = &first.next_page_token;
    let second = search(&mut to, "id:2..", set(&ids, true), token)
        .await
        .expect("finds");
    assert_eq!(
        (names(&second), &*second.next_page_token),
        (vec!["posts/4"], "")
    );
    let plain = search(&mut to, "", set(&ids, false), "")
        .await
        .expect("finds");
    assert_eq!(names(&plain), ["posts/9", "posts/7", "posts/4"]);
    let none = search(&mut to, "", set(&[], false), "")
        .await
        .expect("finds");
    assert_eq!(none.total_size, 0, "an empty set is not no set");

    let invalid = Code::InvalidArgument;
    for other in [None, set(&ids, false), set(&ids[1..], true)] {
        let answer = search(&mut to, "id:2..", other, token).await;
        refused(answer, invalid, "PAGE_TOKEN_INVALID");
    }
    let ordered = search(&mut to, "order:newest", set(&ids, true), "").await;
    refused(ordered, invalid, "QUERY_SYNTAX");
    let twice = search(&mut to, "", set(&[1, 2, 1], true), "").await;
    refused(twice, invalid, "INVALID_VALUE");
    let many: Vec<u32> = (0..=100_000).collect();
    refused(
        search(&mut to, "", set(&many, true), "").await,
        invalid,
        "TOO_MANY",
    );
    let full = search(&mut to, "", set(&many[..100_000], true), "").await;
    assert_eq!(full.expect("fits").total_size, 9);
}
