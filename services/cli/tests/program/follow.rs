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

/// Posts 1 and 2 match already; of those that change the even ones match, and 6 is gone.
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
        6 => vec![
            page(
                (4..=12).map(|number| change(number, number == 6)).collect(),
                12,
            ),
            page(vec![change(100, false)], 100),
        ],
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
        // One post a page, as if they were large. A token belongs to its set.
        let ids = request.within.expect("a set").ids;
        let mut even = ids.iter().filter(|id| *id % 2 == 0).copied();
        let token = |after: u32| format!("{ids:?} after {after}");
        let id = match request.page_token.as_str() {
            "" => even.next(),
            sent => {
                let found = even.find(|id| token(*id) == sent);
                assert!(found.is_some(), "a token of another set: {sent} {ids:?}");
                even.next()
            }
        };
        let post = |id| Post {
            name: format!("posts/{id}"),
            ..Post::default()
        };
        Ok(SearchPostsResponse {
            posts: id.into_iter().map(post).collect(),
            next_page_token: id
                .filter(|_| even.next().is_some())
                .map(token)
                .unwrap_or_default(),
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
    let mut names = Vec::new();
    for line in lines {
        let line = line.expect("is written at once");
        let post: serde_json::Value = serde_json::from_str(&line).expect("is JSON");
        names.push(post["name"].as_str().expect("a name").to_owned());
        if names.last().is_some_and(|name| name == "posts/100") {
            break;
        }
    }
    child.kill().expect("our own child can be killed");
    child.wait().expect("our own child can be waited for");
    assert_eq!(
        names,
        ["posts/4", "posts/8", "posts/10", "posts/12", "posts/100"]
    );
}
