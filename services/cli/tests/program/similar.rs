//! Look-alikes and duplicates, asked for by post and by file.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use proto::{
    similarity::v1::{
        Channel, ChannelReport, ChannelScore, DuplicateGroup, DuplicatePost, FindSimilarRequest,
        FindSimilarResponse, FindSimilarToImageRequest, FindSimilarToImageResponse,
        ListDuplicatesRequest, ListDuplicatesResponse, SimilarOptions, SimilarPost, SimilarPosts,
        find_similar_request::Subject,
    },
    store::v1::{
        BatchGetPostsRequest, BatchGetPostsResponse, GetPostRequest, GetPostResponse, Location,
        Post, SearchPostsRequest, SearchPostsResponse,
    },
};
use tonic::Status;

use crate::fake::{Fake, ask};

const MD5: &str = "9e107d9d372bb6826bd81d3542a419d6";

fn post(name: &str) -> Post {
    Post {
        name: name.to_owned(),
        width: 640,
        height: 480,
        byte_size: 12_345,
        locations: vec![Location {
            display_path: format!("/pictures/{}.png", name.trim_start_matches("posts/")),
            ..Location::default()
        }],
        ..Post::default()
    }
}

/// Two posts; the second has no vector, and no embedder runs.
fn found() -> SimilarPosts {
    let score = |channel: Channel, score| ChannelScore {
        channel: channel.into(),
        score,
    };
    let similar = |post: &str, blended, scores| SimilarPost {
        post: post.to_owned(),
        score: blended,
        scores,
    };
    let left_out = ChannelReport {
        channel: Channel::Embedding.into(),
        reason: "NO_EMBEDDER".to_owned(),
        message: "no embedding node is online".to_owned(),
        ..ChannelReport::default()
    };
    let tagless = ChannelReport {
        channel: Channel::Tags.into(),
        reason: "NOT_IN_SUBJECT".to_owned(),
        message: "a picture has no tags".to_owned(),
        ..ChannelReport::default()
    };
    let used = ChannelReport {
        channel: Channel::PerceptualHash.into(),
        weight: 1.0,
        used: true,
        ..ChannelReport::default()
    };
    SimilarPosts {
        posts: vec![
            similar(
                "posts/9",
                0.75,
                vec![
                    score(Channel::PerceptualHash, 0.75),
                    score(Channel::Embedding, 0.5),
                ],
            ),
            similar("posts/4", 0.25, vec![score(Channel::PerceptualHash, 0.25)]),
        ],
        channels: vec![left_out, tagless, used],
        lag: 3,
        ..SimilarPosts::default()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Asked {
    options: Arc<Mutex<Vec<SimilarOptions>>>,
    subjects: Arc<Mutex<Vec<String>>>,
    pub(crate) searches: Arc<Mutex<Vec<SearchPostsRequest>>>,
}

impl Asked {
    pub(crate) fn last_options(&self) -> SimilarOptions {
        let options = self.options.lock().expect("no test panics in it");
        options.last().cloned().expect("was asked")
    }

    fn times(&self, subject: &str) -> usize {
        let subjects = self.subjects.lock().expect("no test panics in it");
        subjects.iter().filter(|asked| *asked == subject).count()
    }

    pub(crate) fn last_subject(&self) -> String {
        let subjects = self.subjects.lock().expect("no test panics in it");
        subjects.last().cloned().expect("was asked")
    }
}

pub(crate) fn cluster() -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let note = |asked: &Asked, subject: String, options: Option<SimilarOptions>| {
        let mut subjects = asked.subjects.lock().expect("no test panics in it");
        subjects.push(subject);
        let mut all = asked.options.lock().expect("no test panics in it");
        all.push(options.expect("options in the first message"));
    };
    let to_post = {
        let asked = asked.clone();
        move |request: FindSimilarRequest| {
            let Some(Subject::Post(name)) = request.subject else {
                return Err(Status::invalid_argument("no post"));
            };
            if name == "posts/999" {
                return Err(Status::not_found("there is no posts/999"));
            }
            let failing = name == "posts/77";
            note(&asked, name, request.options);
            if failing {
                let gone = ChannelReport {
                    channel: Channel::Embedding.into(),
                    reason: "EMBEDDER_FAILED".to_owned(),
                    ..ChannelReport::default()
                };
                let found = SimilarPosts {
                    channels: vec![gone],
                    ..SimilarPosts::default()
                };
                return Ok(FindSimilarResponse { found: Some(found) });
            }
            Ok(FindSimilarResponse {
                found: Some(found()),
            })
        }
    };
    let to_image = {
        let asked = asked.clone();
        move |pieces: Vec<FindSimilarToImageRequest>| {
            assert!(pieces.iter().all(|piece| piece.data.len() <= 256 << 10));
            assert!(pieces[1..].iter().all(|piece| piece.options.is_none()));
            let length: usize = pieces.iter().map(|piece| piece.data.len()).sum();
            note(&asked, length.to_string(), pieces[0].options.clone());
            Ok(vec![FindSimilarToImageResponse {
                found: Some(found()),
            }])
        }
    };
    let search = {
        let asked = asked.clone();
        // One post a page, as if they were large.
        move |request: SearchPostsRequest| {
            let ids = request.within.clone().unwrap_or_default().ids;
            let place: usize = request.page_token.parse().unwrap_or(0);
            let next = (place + 1 < ids.len()).then(|| (place + 1).to_string());
            let mut searches = asked.searches.lock().expect("no test panics in it");
            searches.push(request);
            Ok(SearchPostsResponse {
                posts: vec![post(&format!("posts/{}", ids[place]))],
                next_page_token: next.unwrap_or_default(),
                total_size: ids.len() as u64,
            })
        }
    };
    let get = |request: GetPostRequest| {
        assert_eq!(request.name, format!("posts/md5:{MD5}"));
        Ok(GetPostResponse {
            post: Some(post("posts/33")),
        })
    };
    let batch = |request: BatchGetPostsRequest| {
        Ok(BatchGetPostsResponse {
            posts: request.names.iter().map(|name| post(name)).collect(),
            missing: Vec::new(),
        })
    };
    let address = Fake::default()
        .on("/kumo.similarity.v1.SimilarityService/FindSimilar", to_post)
        .on_all(
            "/kumo.similarity.v1.SimilarityService/FindSimilarToImage",
            to_image,
        )
        .on(
            "/kumo.similarity.v1.SimilarityService/ListDuplicates",
            |request: ListDuplicatesRequest| duplicates(&request),
        )
        .on("/kumo.store.v1.PostService/SearchPosts", search)
        .on("/kumo.store.v1.PostService/GetPost", get)
        .on("/kumo.store.v1.PostService/BatchGetPosts", batch)
        .serve();
    (address, asked)
}

fn duplicates(request: &ListDuplicatesRequest) -> Result<ListDuplicatesResponse, Status> {
    let member = |post: &str, distance, cosine| DuplicatePost {
        post: post.to_owned(),
        distance,
        cosine,
        verified: cosine.is_some(),
    };
    let group = |keeper: &str, other: &str| DuplicateGroup {
        posts: vec![member(keeper, 0, None), member(other, 4, Some(0.5))],
        keeper: keeper.to_owned(),
        keeper_reason: "largest".to_owned(),
    };
    let (groups, next) = match request.page_token.as_str() {
        "" => (vec![group("posts/2", "posts/1")], "second"),
        _ => (vec![group("posts/7", "posts/8")], ""),
    };
    assert!(request.max_distance.is_none_or(|bits| bits == 6));
    Ok(ListDuplicatesResponse {
        groups,
        next_page_token: next.to_owned(),
        total_size: 2,
        near_blank_posts: 5,
    })
}

#[test]
fn look_alikes_of_a_post_come_with_the_score_of_each_channel_and_what_was_left_out() {
    let (cluster, asked) = cluster();
    let said = ask(
        cluster,
        &[
            "similar",
            "posts/12",
            "--query",
            "-dark",
            "--channel",
            "hash=0.5",
            "--limit",
            "7",
            "--min-score",
            "0.25",
            "--wait",
        ],
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(
        lines[0].starts_with("SCORE") && lines.len() == 3,
        "{lines:?}"
    );
    assert!(
        lines[1].contains("0.750") && lines[1].contains("0.500"),
        "{lines:?}"
    );
    assert!(lines[1].contains("/pictures/9.png") && lines[1].contains("12.3 kB"));
    assert!(lines[2].contains('–'), "it has no vector: {lines:?}");
    for text in [
        "without embedding: no embedding node is online",
        "3 changes behind",
    ] {
        assert!(said.err.contains(text), "{text}: {}", said.err);
    }
    assert_eq!(asked.last_subject(), "posts/12");
    let options = asked.last_options();
    assert_eq!((options.query.as_str(), options.page_size), ("-dark", 7));
    assert_eq!(options.weights.len(), 1);
    assert_eq!(options.weights[0].channel(), Channel::PerceptualHash);
    assert_eq!(options.wait.map(|wait| wait.seconds), Some(60));

    let said = ask(cluster, &["similar", MD5, "--wait=2.5", "--json"]);
    let objects = said.objects();
    assert_eq!(objects[0]["name"], "posts/9");
    assert_eq!(objects[0]["channels"]["embedding"], 0.5);
    assert!(objects[1]["channels"].get("embedding").is_none());
    assert_eq!(objects[2]["channels"][0]["reason"], "NO_EMBEDDER");
    assert_eq!(said.err, "");
    assert_eq!(asked.last_subject(), "posts/33", "looked up by its MD5");
    assert_eq!(
        asked.last_options().wait.map(|wait| wait.nanos),
        Some(500_000_000)
    );

    let said = ask(cluster, &["similar", "12", "--ids"]);
    assert_eq!(said.out, "posts/9\nposts/4\n");
    assert!(said.err.contains("NO_EMBEDDER"), "{}", said.err);
    assert!(
        !said.err.contains("NOT_IN_SUBJECT"),
        "nobody asked for tags"
    );
    let said = ask(cluster, &["similar", "12", "--channel", "tags"]);
    assert!(said.err.contains("NOT_IN_SUBJECT"), "{}", said.err);
}

#[test]
fn waiting_for_an_embedder_is_the_service_s_business() {
    let (cluster, asked) = cluster();
    let said = ask(cluster, &["similar", "77", "--wait", "--ids"]);
    assert_eq!((said.code, asked.times("posts/77")), (Some(0), 1));
    assert_eq!(said.out, "");
    assert_eq!(asked.last_options().wait.map(|wait| wait.seconds), Some(60));
    assert!(said.err.contains("embedding"), "{}", said.err);
}

#[test]
fn a_file_is_sent_in_pieces_and_a_number_may_be_a_file() {
    let (cluster, asked) = cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("12");
    std::fs::write(&file, vec![7; 600_000]).expect("writes");
    let path = file.to_str().expect("UTF-8");
    let said = ask(cluster, &["similar", path]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(asked.last_subject(), "600000");
    std::fs::write(&file, b"").expect("writes");
    let said = ask(cluster, &["similar", path]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("1 byte to 256 MiB"), "{}", said.err);
}

#[test]
fn what_cannot_be_like_anything_is_refused() {
    let (cluster, _) = cluster();
    assert_eq!(ask(cluster, &["similar", "999"]).code, Some(1));
    assert_eq!(ask(cluster, &["similar", "no/such/file"]).code, Some(1));
    for arguments in [
        &["similar"][..],
        &["similar", "1", "--channel", "smell"],
        &["similar", "1", "--channel", "tags=-1"],
        &["similar", "1", "--limit", "0"],
        &["similar", "1", "--limit", "10000000"],
        &["similar", "1", "--min-score", "nan"],
        &["similar", "1", "--wait=61"],
        &["duplicates", "--distance", "33"],
        &["duplicates", "--min-cosine", "1.5"],
        &["search", "similar:1", "order:size"],
        &["search", "-similar:1"],
        &["search", "similar:1", "--page-token", "x"],
        &["search", "similar:1", "--watch"],
    ] {
        assert_eq!(ask(cluster, arguments).code, Some(64), "{arguments:?}");
    }
    let nobody = crate::fake::data();
    let mut command = crate::fake::kumo(nobody.path());
    command.args(["similar", "1", "--similarity", "127.0.0.1:1"]);
    let said: crate::fake::Said = command.output().expect("runs").into();
    assert_eq!(said.code, Some(69));
    assert!(
        said.err.contains("kumo up") && said.err.contains("similarity.log"),
        "{}",
        said.err
    );
}

#[test]
fn duplicates_are_groups_with_a_keeper_and_nothing_is_deleted() {
    let (cluster, _) = cluster();
    let said = ask(cluster, &["duplicates", "--distance", "6"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for text in ["keep", "posts/2", "640×480", "/pictures/2.png", "largest"] {
        assert!(lines[1].contains(text), "{text}: {lines:?}");
    }
    assert!(lines[2].contains("posts/1") && lines[2].contains("0.500"));
    for text in [
        "1 of 2 groups",
        "5 nearly blank",
        "nothing was deleted",
        "--page-token second",
    ] {
        assert!(said.err.contains(text), "{text}: {}", said.err);
    }
    let objects = ask(cluster, &["duplicates", "--all", "--json"]).objects();
    assert_eq!(objects.len(), 3, "two groups and the last line");
    assert_eq!(objects[1]["keeper"], "posts/7");
    assert_eq!(objects[1]["posts"][1]["paths"][0], "/pictures/8.png");
    assert_eq!(objects[2]["near_blank"], 5);
}
