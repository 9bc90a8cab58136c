//! Questions and answers, for people and for programs.

use std::{
    net::SocketAddr,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use proto::{
    node::v1::{GetProcessRequest, GetProcessResponse, Memory, MemoryPart, Notice},
    similarity::v1::{GetIndexRequest, GetIndexResponse},
    store::v1::{
        Demand, Edits, GetPostRequest, GetPostResponse, GetStatsRequest, GetStatsResponse,
        ListModelsRequest, ListModelsResponse, ListNodesRequest, ListNodesResponse,
        ListRootsRequest, ListRootsResponse, ListTasksRequest, ListTasksResponse, Location,
        ModelKind, Node, Post, PostTag, Rating, RequestCapacityRequest, RequestCapacityResponse,
        Root, RootState, ScoredTag, SearchPostsRequest, SearchPostsResponse, SourceRecord,
        TagCategory, TagEdit, Task, TaskState, WatchDemandRequest, WatchDemandResponse,
    },
    tagger::v1::{TagImageRequest, TagImageResponse},
};
use tonic::Status;

use crate::fake::{Fake, ask};

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn post(number: u32) -> Post {
    Post {
        name: format!("posts/{number}"),
        sha256: ABC.to_owned(),
        width: 640,
        height: 480,
        rating: Rating::General.into(),
        tags: vec![PostTag {
            name: "blue_theme".to_owned(),
            category: TagCategory::General.into(),
        }],
        locations: vec![Location {
            display_path: "/pictures/a\u{1b}[2J.png".to_owned(),
            ..Location::default()
        }],
        ..Post::default()
    }
}

fn library() -> Fake {
    Fake::default()
        .on(
            "/kumo.store.v1.PostService/SearchPosts",
            |request: SearchPostsRequest| {
                assert_eq!(request.query, "blue_theme -monochrome");
                let posts: Vec<Post> = (1..=request.page_size.unsigned_abs()).map(post).collect();
                Ok(SearchPostsResponse {
                    posts,
                    next_page_token: "more".to_owned(),
                    total_size: 1234,
                })
            },
        )
        .on(
            "/kumo.store.v1.PostService/GetPost",
            |request: GetPostRequest| {
                if request.name == format!("posts/sha256:{ABC}") {
                    let post = Some(post(7));
                    return Ok(GetPostResponse { post });
                }
                Err(Status::not_found(format!("there is no {}", request.name)))
            },
        )
}

#[test]
fn a_search_is_a_table_for_people_and_objects_for_programs() {
    let store = library().serve();
    let said = ask(
        store,
        &[
            "search",
            "blue_theme",
            "-monochrome",
            "--limit",
            "2",
            "--long",
        ],
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(
        lines[0].starts_with("POST") && lines.len() == 3,
        "{lines:?}"
    );
    assert!(lines[1].contains("640×480") && lines[1].contains("blue_theme"));
    assert!(lines[1].contains("a\\u{1b}[2J.png"), "{lines:?}");
    assert!(said.err.contains("2 of 1,234 posts") && said.err.contains("--page-token more"));

    let said = ask(
        store,
        &[
            "search",
            "blue_theme",
            "-monochrome",
            "--json",
            "--limit",
            "1",
        ],
    );
    let objects = said.objects();
    assert_eq!(objects[0]["name"], "posts/1");
    assert_eq!(objects[0]["tags"][0]["name"], "blue_theme");
    assert_eq!(objects[1]["total"], 1234);
    assert_eq!(said.err, "");

    let said = ask(
        store,
        &["search", "--ids", "blue_theme -monochrome", "--limit", "2"],
    );
    assert_eq!(said.out, "posts/1\nposts/2\n");
}

#[test]
fn a_post_is_found_by_its_file_wherever_that_lies() {
    let store = library().serve();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("7.png");
    std::fs::write(&file, b"abc").expect("writes");
    let file = file.to_str().expect("UTF-8");
    let said = ask(store, &["post", file]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.starts_with("posts/7") && said.out.contains(ABC),
        "{}",
        said.out
    );
    assert!(!said.out.contains('\u{1b}'));
    let object = &ask(store, &["post", ABC, "--json"]).objects()[0];
    assert_eq!(object["locations"][0]["path"], "/pictures/a\u{1b}[2J.png");
}

#[test]
fn a_post_shows_what_people_and_boorus_say_and_that_it_is_in_the_trash() {
    let edited = |_: GetPostRequest| {
        let edit = |name: &str, removed| TagEdit {
            name: name.to_owned(),
            removed,
            editor: "ann".to_owned(),
            time: None,
        };
        let edits = Edits {
            tags: vec![edit("cloud", false), edit("sky", true)],
            rating: Rating::Explicit.into(),
            rating_editor: "bob".to_owned(),
            rating_time: None,
        };
        let record = SourceRecord {
            source: "danbooru".to_owned(),
            external_id: "77".to_owned(),
            ..SourceRecord::default()
        };
        let post = Post {
            trash_time: Some(prost_types::Timestamp::default()),
            edits: Some(edits),
            source_records: vec![record],
            embedding_models: vec!["models/2".to_owned()],
            ..post(7)
        };
        Ok(GetPostResponse { post: Some(post) })
    };
    let store = Fake::default()
        .on("/kumo.store.v1.PostService/GetPost", edited)
        .serve();
    let said = ask(store, &["post", "7"]);
    for text in [
        "+cloud (ann) -sky (ann) rating:explicit (bob)",
        "danbooru 77",
        "models/2",
        "kumo restore",
    ] {
        assert!(said.out.contains(text), "{text}: {}", said.out);
    }
    let object = &ask(store, &["post", "7", "--json"]).objects()[0];
    assert_eq!(object["edits"]["tags"][1]["removed"], true);
    assert_eq!(object["source_records"][0]["external_id"], "77");
    assert_eq!(object["trashed"], "1970-01-01T00:00:00Z");
}

#[test]
fn nodes_are_listed_with_the_proof_of_their_device() {
    let store = cluster().serve();
    let said = ask(store, &["nodes"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("nodes/gpu") && said.out.contains("offline"));
    assert!(said.out.contains("CUDA provider ran 112 of 112 nodes"));
    let object = &ask(store, &["nodes", "--json"]).objects()[0];
    assert_eq!(
        (&object["role"], &object["online"]),
        (&"tagger".into(), &false.into())
    );
}

#[test]
fn what_failed_is_listed_with_its_reason() {
    let list = |request: ListTasksRequest| {
        assert_eq!(request.state(), TaskState::Failed);
        let task = Task {
            name: "ingestFailures/5".to_owned(),
            state: TaskState::Failed.into(),
            display_path: "/pictures/broken.jpg".to_owned(),
            reason: "TRUNCATED".to_owned(),
            message: "the file ends early".to_owned(),
            ..Task::default()
        };
        Ok(ListTasksResponse {
            tasks: vec![task],
            next_page_token: String::new(),
        })
    };
    let store = Fake::default()
        .on("/kumo.store.v1.TaskService/ListTasks", list)
        .serve();
    let said = ask(store, &["tasks", "--failed"]);
    assert!(said.out.contains("TRUNCATED") && said.out.contains("broken.jpg"));
    assert!(said.err.contains("kumo retry"));
    let object = &ask(store, &["tasks", "--failed", "--json"]).objects()[0];
    assert_eq!(object["work"], "ingest");
    assert_eq!(object["reason"], "TRUNCATED");
}

fn cluster() -> Fake {
    let stats = GetStatsResponse {
        posts: 1234,
        tasks_failed: 2,
        tasks_queued: 5,
        posts_trashed: 3,
        ..GetStatsResponse::default()
    };
    let demand = Demand {
        kind: ModelKind::Tag.into(),
        leasable: 5,
        ..Demand::default()
    };
    let root = Root {
        name: "roots/1".to_owned(),
        display_path: "/mnt/disk".to_owned(),
        state: RootState::Offline.into(),
        notice: "the disk is away".to_owned(),
        ..Root::default()
    };
    let process = GetProcessResponse {
        role: "store".to_owned(),
        instance: "den".to_owned(),
        pid: 4242,
        not_ready_reasons: vec!["disk: full".to_owned()],
        memory: Some(Memory {
            rss_bytes: 12_300_000,
            parts: vec![MemoryPart {
                name: "index.postings".to_owned(),
                bytes: 4_560_000,
            }],
            ..Memory::default()
        }),
        notices: vec![Notice {
            code: "LANDLOCK_MISSING".to_owned(),
            message: "this kernel has no landlock".to_owned(),
        }],
        ..GetProcessResponse::default()
    };
    Fake::default()
        .on(
            "/kumo.store.v1.AdminService/GetStats",
            move |_: GetStatsRequest| Ok(stats),
        )
        .on(
            "/kumo.store.v1.CapacityService/WatchDemand",
            move |_: WatchDemandRequest| {
                Ok(WatchDemandResponse {
                    demands: vec![demand.clone()],
                })
            },
        )
        .on(
            "/kumo.similarity.v1.SimilarityService/GetIndex",
            |_: GetIndexRequest| {
                Ok(GetIndexResponse {
                    posts: 1200,
                    vectors: 900,
                    model: "models/2".to_owned(),
                    lag: 34,
                    following: true,
                    ..GetIndexResponse::default()
                })
            },
        )
        .on(
            "/kumo.store.v1.LocationService/ListRoots",
            move |_: ListRootsRequest| {
                Ok(ListRootsResponse {
                    roots: vec![root.clone()],
                })
            },
        )
        .on(
            "/kumo.store.v1.ModelService/ListModels",
            |_: ListModelsRequest| Ok(ListModelsResponse::default()),
        )
        .on(
            "/kumo.store.v1.NodeService/ListNodes",
            |_: ListNodesRequest| {
                let node = Node {
                    name: "nodes/gpu".to_owned(),
                    role: "tagger".to_owned(),
                    device_proof: "CUDA provider ran 112 of 112 nodes".to_owned(),
                    ..Node::default()
                };
                Ok(ListNodesResponse { nodes: vec![node] })
            },
        )
        .on(
            "/kumo.node.v1.ProcessService/GetProcess",
            move |_: GetProcessRequest| Ok(process.clone()),
        )
}

#[test]
fn status_shows_what_is_wrong_and_what_to_type() {
    let store = cluster().serve();
    let said = ask(store, &["status"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for text in [
        "1,234 posts",
        "the disk is away",
        "CUDA provider ran",
        "disk: full",
        "LANDLOCK_MISSING",
        "1,200 posts, 900 vectors of models/2; 34 changes behind",
        "3 posts (`kumo search status:trash`)",
    ] {
        assert!(said.out.contains(text), "{text}: {}", said.out);
    }
    assert!(said.err.contains("kumo tasks --failed") && said.err.contains("no tagger is online"));

    let objects = ask(store, &["status", "--json"]).objects();
    let of = |kind: &str| objects.iter().find(|object| object["type"] == kind);
    assert_eq!(of("library").map(|o| &o["posts"]), Some(&1234.into()));
    assert_eq!(of("similarity").map(|o| &o["lag"]), Some(&34.into()));
    assert_eq!(of("demand").map(|o| &o["leasable"]), Some(&5.into()));
    assert_eq!(of("root").map(|o| &o["state"]), Some(&"offline".into()));
    assert_eq!(of("process").map(|o| &o["pid"]), Some(&4242.into()));
    assert!(of("advice").is_some());
}

#[test]
fn memory_is_told_by_process_and_by_part() {
    let store = cluster().serve();
    let said = ask(store, &["memory"]);
    assert!(said.out.contains("12.3 MB"), "{}", said.out);
    assert!(said.out.contains("index.postings") && said.out.contains("4.56 MB"));
    let object = &ask(store, &["memory", "--json"]).objects()[0];
    assert_eq!(object["rss_bytes"], 12_300_000);
    assert_eq!(object["parts"][0]["name"], "index.postings");
}

#[test]
fn a_prediction_waits_for_a_tagger_and_says_who_made_it() {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    let asked = AtomicU32::new(0);
    let capacity = move |_: RequestCapacityRequest| {
        let node = Node {
            name: "nodes/den".to_owned(),
            online: true,
            address: ADDRESS.get().expect("serves").to_string(),
            ..Node::default()
        };
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        Ok(RequestCapacityResponse {
            nodes: if first { Vec::new() } else { vec![node] },
            ..RequestCapacityResponse::default()
        })
    };
    let tag = |pieces: Vec<TagImageRequest>| {
        assert_eq!(pieces.len(), 3, "600 kB in pieces of at most 256 KiB");
        assert_eq!(
            pieces.iter().map(|piece| piece.data.len()).sum::<usize>(),
            600_000
        );
        let tag = ScoredTag {
            name: "white_background".to_owned(),
            category: TagCategory::General.into(),
            confidence: 0.875,
        };
        Ok(vec![TagImageResponse {
            tags: vec![tag],
            node: "den".to_owned(),
            device: "cpu".to_owned(),
            ..TagImageResponse::default()
        }])
    };
    let store = Fake::default()
        .on("/kumo.store.v1.CapacityService/RequestCapacity", capacity)
        .on_all("/kumo.tagger.v1.TaggerService/TagImage", tag)
        .serve();
    ADDRESS.set(store).expect("once");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("big.png");
    std::fs::write(&file, vec![7; 600_000]).expect("writes");
    let file = file.to_str().expect("UTF-8");
    let said = ask(store, &["predict", file]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("0.875") && said.out.contains("white_background"));
    assert!(said.err.contains("waiting for a tagger") && said.err.contains("on den (cpu)"));
    let object = &ask(store, &["predict", file, "--json"]).objects()[0];
    assert_eq!(object["tags"][0]["name"], "white_background");
    assert_eq!(object["device"], "cpu");
}
