//! Each way of failing has its exit code and says what to do.

use proto::store::v1::{
    GetPostRequest, GetPostResponse, RetryTasksRequest, RetryTasksResponse, SearchPostsRequest,
    SearchPostsResponse,
};
use tonic::Status;

use crate::fake::{Fake, Said, ask, data, kumo};

fn run(data: &std::path::Path, arguments: &[&str]) -> Said {
    kumo(data).args(arguments).output().expect("runs").into()
}

#[test]
fn nobody_at_the_address_is_69_and_says_how_to_start_one() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let address = free.local_addr().expect("is bound");
    drop(free);
    let said = ask(address, &["status"]);
    assert_eq!((said.code, said.out.as_str()), (Some(69), ""));
    assert!(said.err.contains(&address.to_string()) && said.err.contains("kumo up DIR"));
}

#[test]
fn a_data_folder_where_nothing_ever_ran_is_69() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = run(folder.path(), &["status"]);
    assert_eq!(said.code, Some(69));
    assert!(said.err.contains("kumo up DIR"), "{}", said.err);
}

#[test]
fn a_wrong_token_is_77() {
    let store = Fake::default().serve();
    let data = data();
    let token = data.path().join("local.token");
    std::fs::write(&token, "another token altogether\n".replace(' ', "-")).expect("writes");
    let said = run(data.path(), &["status", "--store", &store.to_string()]);
    assert_eq!(said.code, Some(77), "{}", said.err);
    assert!(said.err.contains("--token-file"), "{}", said.err);
}

#[test]
fn a_command_that_cannot_be_meant_is_64() {
    let refuse = |_: SearchPostsRequest| -> Result<SearchPostsResponse, Status> {
        Err(Status::invalid_argument("there is no order \"nonsense\""))
    };
    let store = Fake::default()
        .on("/kumo.store.v1.PostService/SearchPosts", refuse)
        .serve();
    let said = ask(store, &["search", "order:nonsense"]);
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("nonsense"));
    for arguments in [
        &["no-such-command"][..],
        &["retry"],
        &["tasks", "--failed", "--queued"],
        &["search", "--limit", "0"],
        &["trash", "--query", ""],
        &["edit", "--query", " ", "+tag"],
        &["predict", "x.png", "--min", "7"],
        &["up", "/", "--store", "http://127.0.0.1:1"],
    ] {
        assert_eq!(ask(store, arguments).code, Some(64), "{arguments:?}");
    }
    let data = data();
    assert_eq!(
        run(data.path(), &["post", "1", "--store", "nonsense"]).code,
        Some(64)
    );
}

#[test]
fn a_name_that_is_no_flag_does_not_reach_the_terminal_as_it_is() {
    let data = data();
    for arguments in [
        &["trash", "--\u{1b}[31mevil"][..],
        &["search", "--limit", "\u{1b}[31mevil"],
        &["\u{1b}[31mevil"],
    ] {
        // As on a terminal, where nothing is left out for being an escape code.
        let mut command = kumo(data.path());
        let said: Said = command
            .args(arguments)
            .env("CLICOLOR_FORCE", "1")
            .output()
            .expect("runs")
            .into();
        assert_eq!(said.code, Some(64));
        let is_told = said.err.contains("evil") && said.err.contains("--help");
        assert!(is_told && !said.err.contains('\u{1b}'), "{:?}", said.err);
    }
}

#[test]
fn what_does_not_exist_is_1() {
    let missing = |request: GetPostRequest| -> Result<GetPostResponse, Status> {
        Err(Status::not_found(format!("there is no {}", request.name)))
    };
    let retry = |request: RetryTasksRequest| {
        Ok(RetryTasksResponse {
            retried: 0,
            skipped: request.names,
        })
    };
    let store = Fake::default()
        .on("/kumo.store.v1.PostService/GetPost", missing)
        .on("/kumo.store.v1.TaskService/RetryTasks", retry)
        .serve();
    let said = ask(store, &["post", "999"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
    assert!(said.err.contains("posts/999"));
    assert_eq!(ask(store, &["post", "/no/such/file"]).code, Some(1));
    let said = ask(store, &["retry", "tasks/5"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("tasks/5"));
}

#[test]
fn help_and_completions_need_no_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = run(folder.path(), &["--help"]);
    assert_eq!(said.code, Some(0));
    assert!(said.out.contains("kumo up ~/Pictures") && said.out.contains("77 denied"));
    let said = run(folder.path(), &["completions", "bash"]);
    assert!(said.code == Some(0) && said.out.contains("_kumo()"));
    assert!(said.out.contains("duplicates") && said.out.contains("--similarity"));
}
