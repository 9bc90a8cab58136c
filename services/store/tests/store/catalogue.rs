//! Posts, locations, roots and models: registering and reading them.

use proto::store::v1::{
    ActivateModelRequest, BatchGetPostsRequest, DeactivateModelRequest, GetPostRequest,
    HeartbeatWatcherRequest, IngestFailure, ListLocationsRequest, ListModelsRequest,
    ListRootsRequest, ListTagsRequest, LocationChange, LocationState, NewLocation, PostView,
    RegisterPostsRequest, ReportIngestFailuresRequest, Root, RootState, TagCategory, Threshold,
    UpdateLocationsRequest, WatcherProgress,
};
use tonic::Code;

use crate::harness::{Scene, eventually, model, node, picture, refused, watcher};

#[tokio::test]
async fn registering_twice_changes_nothing_and_all_names_of_a_post_find_it() {
    let Scene { mut to, .. } = Scene::new().await;
    let request = RegisterPostsRequest {
        posts: (1..=150).map(picture).collect(),
    };
    let first = to
        .posts
        .register_posts(request.clone())
        .await
        .expect("registers");
    let first = first.into_inner().posts;
    assert!(first.iter().all(|post| post.created) && first.len() == 150);
    let seq = to.stats().await.seq;
    let again = to.posts.register_posts(request).await.expect("registers");
    let again = again.into_inner().posts;
    assert!(again.iter().all(|post| !post.created));
    let names = |posts: &[proto::store::v1::RegisteredPost]| -> Vec<String> {
        posts.iter().map(|post| post.name.clone()).collect()
    };
    assert_eq!(names(&first), names(&again));
    let now = to.stats().await;
    assert_eq!((now.posts, now.tasks_queued, now.seq), (150, 150, seq));

    let new = picture(7);
    for name in [
        first[6].name.clone(),
        format!("posts/sha256:{}", new.sha256),
        format!("posts/md5:{}", new.md5),
    ] {
        let request = GetPostRequest { name, view: 0 };
        let post = to.posts.get_post(request).await.expect("is there");
        let post = post.into_inner().post.expect("has a post");
        assert_eq!(post.name, first[6].name);
        assert_eq!(post.byte_size, new.byte_size);
        assert_eq!(post.sample, new.sample);
        assert_eq!(post.locations[0].display_path, "/pictures/den/7.png");
        assert_eq!(post.locations[0].state(), LocationState::Present);
    }
}

#[tokio::test]
async fn bad_pictures_are_refused_with_the_field_and_none_of_the_call_is_taken() {
    let Scene { mut to, .. } = Scene::new().await;
    let mut bad = picture(2);
    bad.sha256 = "ABC".to_owned();
    let request = RegisterPostsRequest {
        posts: vec![picture(1), bad],
    };
    let message = refused(
        to.posts.register_posts(request).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
    );
    assert!(message.contains("posts[1].sha256"), "{message}");
    for spoil in [
        |p: &mut proto::store::v1::NewPost| p.location = None,
        |p: &mut proto::store::v1::NewPost| p.sample = None,
        |p: &mut proto::store::v1::NewPost| p.traceparent = "00-zz".to_owned(),
        |p: &mut proto::store::v1::NewPost| p.md5.push('0'),
    ] {
        let mut bad = picture(3);
        spoil(&mut bad);
        let request = RegisterPostsRequest { posts: vec![bad] };
        let answer = to.posts.register_posts(request).await;
        refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    }
    let mut wide = picture(3);
    wide.width = 70_000;
    let request = RegisterPostsRequest { posts: vec![wide] };
    let answer = to.posts.register_posts(request).await;
    refused(answer, Code::InvalidArgument, "INVALID_VALUE");
    let request = RegisterPostsRequest {
        posts: (0..501).map(picture).collect(),
    };
    let answer = to.posts.register_posts(request).await;
    refused(answer, Code::InvalidArgument, "TOO_MANY");
    let mut stray = picture(3);
    stray.location.as_mut().expect("has one").root = "roots/9".to_owned();
    let request = RegisterPostsRequest { posts: vec![stray] };
    refused(
        to.posts.register_posts(request).await,
        Code::NotFound,
        "NO_SUCH_ROOT",
    );
    assert_eq!(to.stats().await.posts, 0);
}

#[tokio::test]
async fn a_batch_comes_in_the_order_asked_and_says_what_is_missing() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=3).await;
    let names = ["posts/3", "posts/99", "posts/1"]
        .map(str::to_owned)
        .to_vec();
    let request = BatchGetPostsRequest {
        names,
        view: PostView::Full.into(),
    };
    let answer = to
        .posts
        .batch_get_posts(request)
        .await
        .expect("reads")
        .into_inner();
    let found: Vec<_> = answer.posts.iter().map(|post| post.name.as_str()).collect();
    assert_eq!(found, ["posts/3", "posts/1"]);
    assert_eq!(answer.missing, ["posts/99"]);
    assert_eq!(answer.posts[0].locations.len(), 1);

    let get = |name: &str| GetPostRequest {
        name: name.to_owned(),
        view: 0,
    };
    let missing = to.posts.get_post(get("posts/99")).await;
    refused(missing, Code::NotFound, "NO_SUCH_POST");
    let missing = to
        .posts
        .get_post(get(&format!("posts/sha256:{}", "0".repeat(64))))
        .await;
    refused(missing, Code::NotFound, "NO_SUCH_POST");
    let odd = to.posts.get_post(get("post/1")).await;
    refused(odd, Code::InvalidArgument, "BAD_RESOURCE_NAME");
    let odd = to.posts.get_post(get("posts/md5:xyz")).await;
    refused(odd, Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn files_move_and_go_missing_while_posts_stay() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register([1]).await;
    let change = |path: &str, sha256: String, state: LocationState| LocationChange {
        location: Some(NewLocation {
            root: "roots/1".to_owned(),
            path: path.as_bytes().to_vec().into(),
            byte_size: 5,
            mtime_ns: 6,
        }),
        sha256,
        state: state.into(),
    };
    let mut changes = vec![
        change("1.png", String::new(), LocationState::Missing),
        change("moved/1.png", picture(1).sha256, LocationState::Present),
    ];
    // The unknown one lies in a later slice, and its index counts from the beginning.
    changes.extend((0..300).map(|n| {
        let path = format!("copy/{n}.png");
        change(&path, picture(1).sha256, LocationState::Present)
    }));
    changes.push(change("new.png", picture(2).sha256, LocationState::Present));
    changes.push(change("copy/0.png", String::new(), LocationState::Moved));
    let request = UpdateLocationsRequest { changes };
    let answer = to
        .locations
        .update_locations(request)
        .await
        .expect("updates");
    assert_eq!(answer.into_inner().unknown, [302]);
    let now = to.stats().await;
    assert_eq!(
        (now.posts, now.locations_present, now.locations_missing),
        (1, 300, 1),
        "what was left for another place leaves no trace"
    );

    let bad = change("x", String::new(), LocationState::Unspecified);
    let request = UpdateLocationsRequest { changes: vec![bad] };
    let answer = to.locations.update_locations(request).await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    let bad = change("../x", picture(1).sha256, LocationState::Present);
    let request = UpdateLocationsRequest { changes: vec![bad] };
    let answer = to.locations.update_locations(request).await;
    refused(answer, Code::InvalidArgument, "INVALID_VALUE");
}

#[tokio::test]
async fn all_locations_of_a_root_come_in_pages() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=25).await;
    let mut token = String::new();
    let mut seen = Vec::new();
    loop {
        let request = ListLocationsRequest {
            root: "roots/1".to_owned(),
            page_size: 10,
            page_token: token,
        };
        let page = to
            .locations
            .list_locations(request)
            .await
            .expect("lists")
            .into_inner();
        seen.extend(page.locations.into_iter().map(|known| known.sha256));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let all: Vec<String> = (1..=25).map(|n| picture(n).sha256).collect();
    assert_eq!(seen, all);
    let request = |root: &str, token: &str| ListLocationsRequest {
        root: root.to_owned(),
        page_size: 10,
        page_token: token.to_owned(),
    };
    let answer = to.locations.list_locations(request("roots/9", "")).await;
    refused(answer, Code::NotFound, "NO_SUCH_ROOT");
    let answer = to
        .locations
        .list_locations(request("roots/1", "bm9uc2Vuc2U"))
        .await;
    refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn roots_keep_their_numbers_and_are_offline_with_their_watcher() {
    let Scene { mut to, store, .. } = Scene::new().await;
    let mut request = watcher("den");
    request.roots.insert(0, request.roots[0].clone());
    request.roots[0].path = b"/more".to_vec().into();
    let answer = to.nodes.register_watcher(request).await.expect("registers");
    let answer = answer.into_inner();
    let names: Vec<_> = answer.roots.iter().map(|root| root.name.as_str()).collect();
    assert_eq!(names, ["roots/2", "roots/1"]);
    assert_eq!(answer.every.map(|every| every.seconds), Some(10));

    store.clock.advance(std::time::Duration::from_secs(36));
    let roots = to
        .locations
        .list_roots(ListRootsRequest {})
        .await
        .expect("lists");
    for root in roots.into_inner().roots {
        assert_eq!(root.state(), RootState::Offline, "{root:?}");
        assert!(root.notice.contains("den"), "{}", root.notice);
    }
    let beat = |incarnation| HeartbeatWatcherRequest {
        watcher: "den".to_owned(),
        incarnation,
        roots: watcher("den").roots,
        progress: Some(WatcherProgress {
            pending: 4,
            scanning: true,
            scanned: 9,
        }),
    };
    to.nodes.heartbeat_watcher(beat(1)).await.expect("is known");
    let roots = to
        .locations
        .list_roots(ListRootsRequest {})
        .await
        .expect("lists");
    let states: Vec<_> = roots.into_inner().roots.iter().map(Root::state).collect();
    assert_eq!(states, [RootState::Online, RootState::Online]);
    let stale = to.nodes.heartbeat_watcher(beat(2)).await;
    refused(stale, Code::FailedPrecondition, "STALE_INCARNATION");
    let mut bad = watcher("a b");
    refused(
        to.nodes.register_watcher(bad.clone()).await,
        Code::InvalidArgument,
        "INVALID_VALUE",
    );
    bad.watcher = "den".to_owned();
    bad.roots[0].state = 0;
    let answer = to.nodes.register_watcher(bad).await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn a_model_is_registered_once_and_switched_off_and_on() {
    let Scene { mut to, .. } = Scene::new().await;
    let again = to.models.register_model(model()).await.expect("is known");
    let again = again.into_inner().model.expect("has a model");
    assert_eq!(
        (again.name.as_str(), again.active, again.label_count),
        ("models/1", true, 60)
    );
    to.register(1..=5).await;

    let name = "models/1".to_owned();
    let request = DeactivateModelRequest { name: name.clone() };
    let off = to.models.deactivate_model(request).await.expect("is known");
    assert!(!off.into_inner().model.expect("has a model").active);
    eventually(
        async || to.stats().await.tasks_queued,
        |queued| *queued == 0,
    )
    .await;
    to.register(6..=7).await;
    assert_eq!(to.stats().await.tasks_queued, 0);
    let request = ActivateModelRequest { name };
    to.models.activate_model(request).await.expect("is known");
    eventually(
        async || to.stats().await.tasks_queued,
        |queued| *queued == 7,
    )
    .await;

    let unknown = ActivateModelRequest {
        name: "models/9".to_owned(),
    };
    let answer = to.models.activate_model(unknown).await;
    let message = refused(answer, Code::NotFound, "NO_SUCH_MODEL");
    assert!(message.contains("models/9"), "{message}");
    let mut bad = model();
    bad.revision = "5f".repeat(32);
    bad.thresholds = vec![Threshold {
        category: TagCategory::General.into(),
        confidence: f32::NAN,
    }];
    let answer = to.models.register_model(bad.clone()).await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    bad.thresholds.clear();
    bad.labels[0].category = 0;
    let answer = to.models.register_model(bad).await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    let listed = to
        .models
        .list_models(ListModelsRequest {})
        .await
        .expect("lists");
    assert_eq!(listed.into_inner().models.len(), 1);
}

#[tokio::test]
async fn a_model_with_more_labels_than_one_step_holds_is_registered() {
    let Scene { mut to, .. } = Scene::new().await;
    let mut big = model();
    big.revision = "aa".repeat(32);
    let label = big.labels[0].clone();
    big.labels
        .extend((0..9_000).map(|n| proto::store::v1::Label {
            name: format!("rare tag {n}"),
            ..label.clone()
        }));
    let answer = to.models.register_model(big).await.expect("registers");
    let registered = answer.into_inner().model.expect("has a model");
    assert_eq!((registered.label_count, registered.active), (9_060, false));
    let request = ListTagsRequest {
        prefix: "Rare Tag 8".to_owned(),
        page_size: 2_000,
    };
    let tags = to
        .tags
        .list_tags(request)
        .await
        .expect("lists")
        .into_inner()
        .tags;
    assert_eq!(tags.len(), 1_000, "at most a thousand");
    assert!(
        tags.iter()
            .all(|tag| tag.name.starts_with("tags/rare_tag_8"))
    );
    let request = ListTagsRequest {
        prefix: String::new(),
        page_size: -1,
    };
    refused(
        to.tags.list_tags(request).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
    );
}

#[tokio::test]
async fn a_node_must_name_what_it_is_and_what_it_serves() {
    let Scene { mut to, .. } = Scene::new().await;
    for (spoil, code, reason) in [
        (
            (|n| n.kind = 0) as fn(&mut proto::store::v1::RegisterNodeRequest),
            Code::InvalidArgument,
            "INVALID_FIELD",
        ),
        (
            |n| n.device_class = 0,
            Code::InvalidArgument,
            "INVALID_FIELD",
        ),
        (
            |n| n.models[0] = "models/9".to_owned(),
            Code::NotFound,
            "NO_SUCH_MODEL",
        ),
        (
            |n| n.models[0] = "x".to_owned(),
            Code::InvalidArgument,
            "BAD_RESOURCE_NAME",
        ),
        (
            |n| n.node = String::new(),
            Code::InvalidArgument,
            "INVALID_VALUE",
        ),
    ] {
        let mut bad = node("two", 1);
        spoil(&mut bad);
        refused(to.nodes.register_node(bad).await, code, reason);
    }
}

#[tokio::test]
async fn a_file_that_failed_is_reported_and_cleared_by_its_success() {
    let Scene { mut to, .. } = Scene::new().await;
    let failure = |reason: &str| IngestFailure {
        location: picture(1).location,
        reason: reason.to_owned(),
        message: "it ends in the middle".to_owned(),
        sha256: String::new(),
    };
    let request = ReportIngestFailuresRequest {
        failures: vec![failure("TRUNCATED")],
    };
    to.locations
        .report_ingest_failures(request)
        .await
        .expect("reports");
    assert_eq!(to.stats().await.ingest_failures, 1);
    let request = ReportIngestFailuresRequest {
        failures: vec![failure("not a code")],
    };
    let answer = to.locations.report_ingest_failures(request).await;
    refused(answer, Code::InvalidArgument, "INVALID_VALUE");
    to.register([1]).await;
    assert_eq!(to.stats().await.ingest_failures, 0);
}
