//! `kumo search --watch`: new posts as the feed brings them.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use proto::store::v1::{
    Change, Cursor, GetStatsRequest, GetStatsResponse, MatchQueryRequest, MatchQueryResponse, Post,
    SearchPostsRequest, SearchPostsResponse, WatchChangesRequest, WatchChangesResponse,
};

use crate::fake::{Fake, data, kumo};

fn change(number: u64, deleted: bool) -> Change {
    Change {
        post: format!("posts/{number}"),
        seq: number,
        deleted,
        trashed: false,
    }
}

/// Posts 1 and 2 match already; 3 to 6 change in pairs, of which the even ones match and 6 is gone.
fn feed(requests: &[WatchChangesRequest]) -> Result<Vec<WatchChangesResponse>, tonic::Status> {
    let cursor = requests[0].cursor.expect("from a position");
    assert_eq!(cursor.epoch, 9);
    let page = |changes: Vec<Change>, seq| WatchChangesResponse {
        changes,
        cursor: Some(Cursor { epoch: 9, seq }),
        embed_model: String::new(),
    };
    Ok(match cursor.seq {
        2 => vec![
            page(vec![change(2, false), change(3, false)], 3),
            page(vec![change(4, false), change(6, true)], 6),
        ],
        6 => vec![page(vec![change(4, false), change(8, false)], 8)],
        _ => Vec::new(),
    })
}

#[test]
fn a_watched_search_prints_each_post_that_begins_to_match_once() {
    let stats = |_: GetStatsRequest| {
        Ok(GetStatsResponse {
            epoch: 9,
            seq: 2,
            ..GetStatsResponse::default()
        })
    };
    let matching = |_: MatchQueryRequest| Ok(MatchQueryResponse { ids: vec![1, 2] });
    let search = |request: SearchPostsRequest| {
        assert_eq!(request.query, "blue_theme -dark");
        let ids = request.within.expect("a set").ids;
        let even = ids.into_iter().filter(|id| id % 2 == 0);
        let post = |id| Post {
            name: format!("posts/{id}"),
            ..Post::default()
        };
        Ok(SearchPostsResponse {
            posts: even.map(post).collect(),
            ..SearchPostsResponse::default()
        })
    };
    let store = Fake::default()
        .on("/kumo.store.v1.AdminService/GetStats", stats)
        .on("/kumo.store.v1.MatchService/MatchQuery", matching)
        .on_all(
            "/kumo.store.v1.FeedService/WatchChanges",
            |requests: Vec<WatchChangesRequest>| feed(&requests),
        )
        .on("/kumo.store.v1.PostService/SearchPosts", search)
        .serve();
    let data = data();
    let mut command = kumo(data.path());
    command.args(["search", "blue_theme", "-dark", "--watch", "--json"]);
    command.args(["--store", &store.to_string()]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
    let names: Vec<String> = lines
        .take(2)
        .map(|line| {
            let line = line.expect("is written at once");
            let post: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
            post["name"].as_str().expect("a name").to_owned()
        })
        .collect();
    child.kill().expect("our own child can be killed");
    child.wait().expect("our own child can be waited for");
    assert_eq!(names, ["posts/4", "posts/8"]);
}
