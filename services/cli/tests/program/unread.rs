//! Output that nobody takes: no failure if the reader has seen enough, and never a reason to leave
//! work half done.

use std::{
    fs::File,
    io::Write,
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
};

use proto::store::v1::{
    EditPostsRequest, EditPostsResponse, EditedPost, MatchQueryRequest, MatchQueryResponse, Post,
    PutSourceRecordsRequest, PutSourceRecordsResponse, SearchPostsRequest, SearchPostsResponse,
};

use crate::fake::{Fake, Said, data, kumo};

/// Posts or records of each call that changes something.
type Calls = Arc<Mutex<Vec<usize>>>;

/// A store that finds 250 posts, and to which no record belongs.
fn store() -> (SocketAddr, Calls) {
    let calls = Calls::default();
    let search = |request: SearchPostsRequest| {
        let post = |number| Post {
            name: format!("posts/{number}"),
            ..Post::default()
        };
        Ok(SearchPostsResponse {
            posts: (1..=request.page_size).map(post).collect(),
            ..SearchPostsResponse::default()
        })
    };
    let query = |_: MatchQueryRequest| {
        let ids = (1..=250).collect();
        Ok(MatchQueryResponse { ids })
    };
    let note = calls.clone();
    let edit = move |request: EditPostsRequest| {
        let mut calls = note.lock().expect("no test panics in it");
        calls.push(request.edits.len());
        let posts = request.edits.into_iter().map(|edit| EditedPost {
            post: edit.post,
            ..EditedPost::default()
        });
        Ok(EditPostsResponse {
            posts: posts.collect(),
        })
    };
    let note = calls.clone();
    let put = move |request: PutSourceRecordsRequest| {
        let mut calls = note.lock().expect("no test panics in it");
        calls.push(request.records.len());
        Ok(PutSourceRecordsResponse {
            stored: 0,
            unmatched: (0..)
                .zip(&request.records)
                .map(|(place, _)| place)
                .collect(),
        })
    };
    let address = Fake::default()
        .on("/kumo.store.v1.PostService/SearchPosts", search)
        .on("/kumo.store.v1.MatchService/MatchQuery", query)
        .on("/kumo.store.v1.EditService/EditPosts", edit)
        .on("/kumo.store.v1.SourceRecordService/PutSourceRecords", put)
        .serve();
    (address, calls)
}

/// Runs a command whose stdout is gone when it writes.
fn unread(store: SocketAddr, arguments: &[&str], input: &str, stdout: Stdio) -> Said {
    let data = data();
    let mut command = kumo(data.path());
    command
        .args(arguments)
        .args(["--store", &store.to_string()]);
    command
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("is piped");
    // A command that reads nothing may have ended.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("ends").into()
}

/// A disk without room.
fn full() -> Stdio {
    let full = File::options().write(true).open("/dev/full");
    full.expect("every Linux has it").into()
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (store, _) = store();
    let search = ["search", "blue_theme", "--limit", "1000", "--json"];
    let said = unread(store, &search, "", Stdio::piped());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

#[test]
fn edits_go_on_to_the_end_when_nobody_reads_what_is_done() {
    let edit = ["edit", "--query", "x", "+a", "--json"];
    let (address, calls) = store();
    let said = unread(address, &edit, "", Stdio::piped());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(
        calls.lock().expect("no test panics in it")[..],
        [100, 100, 50]
    );

    let (address, calls) = store();
    let said = unread(address, &edit, "", full());
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("cannot write the output"), "{}", said.err);
    assert_eq!(
        calls.lock().expect("no test panics in it")[..],
        [100, 100, 50]
    );
}

#[test]
fn records_go_on_to_the_end_when_nobody_reads_which_of_them_are_of_no_post() {
    let line = |number: u32| format!("{{\"post\":{number},\"source\":\"x\",\"id\":{number}}}\n");
    let lines: String = (1..=1100).map(line).collect();
    let put = ["records", "put", "-", "--json"];
    let (address, calls) = store();
    let said = unread(address, &put, &lines, Stdio::piped());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(
        calls.lock().expect("no test panics in it")[..],
        [500, 500, 100]
    );

    let (address, calls) = store();
    let said = unread(address, &put, &lines, full());
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("cannot write the output"), "{}", said.err);
    assert_eq!(
        calls.lock().expect("no test panics in it")[..],
        [500, 500, 100]
    );
}
