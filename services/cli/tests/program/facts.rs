//! What people say of posts: edits, the trash, records of boorus; and the contract written out.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use proto::store::v1::{
    AllowRejectedRequest, AllowRejectedResponse, EditPostsRequest, EditPostsResponse, EditedPost,
    ListRejectedRequest, ListRejectedResponse, MatchQueryRequest, MatchQueryResponse, PostEdit,
    PurgePostsRequest, PurgePostsResponse, PutSourceRecordsRequest, PutSourceRecordsResponse,
    Rating, RejectedContent, RestorePostsRequest, RestorePostsResponse, SourceRecord, TagCategory,
    TrashPostsRequest, TrashPostsResponse,
};
use tonic::Status;

use crate::fake::{Fake, Said, ask, data, kumo, tell};

/// Calls and the names in them.
type Named = Vec<(&'static str, Vec<String>)>;

/// What the store was told.
#[derive(Clone, Default)]
struct Told {
    edits: Arc<Mutex<Vec<Vec<PostEdit>>>>,
    names: Arc<Mutex<Named>>,
    queries: Arc<Mutex<Vec<String>>>,
    records: Arc<Mutex<Vec<Vec<SourceRecord>>>>,
}

impl Told {
    fn note(&self, what: &'static str, names: Vec<String>) {
        let mut all = self.names.lock().expect("no test panics in it");
        all.push((what, names));
    }

    fn names(&self) -> Named {
        self.names.lock().expect("no test panics in it").clone()
    }
}

/// A store with 1,200 posts that every query finds.
fn store() -> (SocketAddr, Told) {
    let told = Told::default();
    let note = told.clone();
    let trash = move |request: TrashPostsRequest| {
        note.note("trash", request.names);
        Ok(TrashPostsResponse {
            purge_time: Some(prost_types::Timestamp::default()),
        })
    };
    let note = told.clone();
    let restore = move |request: RestorePostsRequest| {
        note.note("restore", request.names);
        Ok(RestorePostsResponse {})
    };
    let note = told.clone();
    let purge = move |request: PurgePostsRequest| {
        if request.names.contains(&"posts/666".to_owned()) {
            return Err(Status::failed_precondition("posts/666 is not in the trash"));
        }
        note.note("purge", request.names);
        Ok(PurgePostsResponse {})
    };
    let note = told.clone();
    let allow = move |request: AllowRejectedRequest| {
        let allowed = request.sha256s.len() as u64;
        note.note("allow", request.sha256s);
        Ok(AllowRejectedResponse { allowed })
    };
    let note = told.clone();
    let query = move |request: MatchQueryRequest| {
        let mut queries = note.queries.lock().expect("no test panics in it");
        queries.push(request.query);
        let page = |ids: std::ops::RangeInclusive<u32>| MatchQueryResponse { ids: ids.collect() };
        Ok(page(1..=1200))
    };
    let address = Fake::default()
        .on("/kumo.store.v1.TrashService/TrashPosts", trash)
        .on("/kumo.store.v1.TrashService/RestorePosts", restore)
        .on("/kumo.store.v1.TrashService/PurgePosts", purge)
        .on("/kumo.store.v1.TrashService/ListRejected", rejected)
        .on("/kumo.store.v1.TrashService/AllowRejected", allow)
        .on("/kumo.store.v1.MatchService/MatchQuery", query)
        .on("/kumo.store.v1.EditService/EditPosts", edit(told.clone()))
        .on(
            "/kumo.store.v1.SourceRecordService/PutSourceRecords",
            put(told.clone()),
        )
        .serve();
    (address, told)
}

fn edit(told: Told) -> impl Fn(EditPostsRequest) -> Result<EditPostsResponse, Status> {
    move |request| {
        let posts = request.edits.iter().map(|edit| EditedPost {
            post: edit.post.clone(),
            rating: edit.rating,
            tags: edit.add.iter().map(|tag| tag.name.clone()).collect(),
            changed_seq: 5,
        });
        let answer = EditPostsResponse {
            posts: posts.collect(),
        };
        let mut edits = told.edits.lock().expect("no test panics in it");
        edits.push(request.edits);
        Ok(answer)
    }
}

/// The second record of each call is of no post.
fn put(told: Told) -> impl Fn(PutSourceRecordsRequest) -> Result<PutSourceRecordsResponse, Status> {
    move |request| {
        let count = request.records.len() as u64;
        let unmatched = if count > 1 { vec![1] } else { Vec::new() };
        let mut records = told.records.lock().expect("no test panics in it");
        records.push(request.records);
        Ok(PutSourceRecordsResponse {
            stored: count - unmatched.len() as u64,
            unmatched,
        })
    }
}

fn rejected(_: ListRejectedRequest) -> Result<ListRejectedResponse, Status> {
    let content = RejectedContent {
        sha256: "ab".repeat(32),
        reject_time: None,
        display_paths: vec!["/pictures/gone.jpg".to_owned()],
    };
    Ok(ListRejectedResponse {
        contents: vec![content],
        next_page_token: String::new(),
    })
}

#[test]
fn an_edit_takes_signs_that_look_like_flags() {
    let (store, told) = store();
    let said = ask(
        store,
        &[
            "edit",
            "12",
            "posts/13",
            "+artist:foo",
            "+cloud",
            "-sky",
            "-wet",
            "sea?",
            "rating:s",
            "--reset",
            "sand",
        ],
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out.contains("posts/12") && said.out.contains("sensitive"),
        "{}",
        said.out
    );
    assert!(said.out.contains("foo cloud") && said.err.contains("2 posts edited"));
    let edits = told.edits.lock().expect("no test panics in it").remove(0);
    assert_eq!(edits.len(), 2);
    let edit = &edits[1];
    assert_eq!(edit.post, "posts/13");
    assert_eq!(edit.add[0].category(), TagCategory::Artist);
    assert_eq!(edit.remove, ["sky", "wet"]);
    assert_eq!(edit.reset, ["sea", "sand"]);
    assert_eq!(edit.rating(), Rating::Sensitive);
    let said = ask(store, &["edit", "7", "rating:none", "--json"]);
    assert_eq!(said.objects()[0]["post"], "posts/7");
    assert!(told.edits.lock().expect("no test panics in it")[0][0].reset_rating);
}

#[test]
fn an_edit_of_many_posts_goes_in_batches() {
    let (store, told) = store();
    let said = ask(store, &["edit", "--query", "-dark", "+a", "+b"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let sizes = |told: &Told| -> Vec<usize> {
        let edits = told.edits.lock().expect("no test panics in it");
        edits.iter().map(Vec::len).collect()
    };
    assert_eq!(sizes(&told), [100; 12]);
    assert!(
        said.err.contains("1,200 posts edited, of which 100"),
        "{}",
        said.err
    );
    assert_eq!(
        told.queries.lock().expect("no test panics in it")[..],
        ["-dark"]
    );
    let tags: Vec<String> = (0..100).map(|number| format!("+t{number}")).collect();
    let mut arguments = vec!["edit", "--query", "x"];
    arguments.extend(tags.iter().map(String::as_str));
    assert_eq!(ask(store, &arguments).code, Some(0));
    assert_eq!(sizes(&told)[12..], [10; 120], "1,000 tags a call");
}

#[test]
fn an_edit_that_cannot_be_meant_is_64() {
    let (store, told) = store();
    for arguments in [
        &["edit"][..],
        &["edit", "12"],
        &["edit", "+cloud"],
        &["edit", "12", "cloud"],
        &["edit", "12", "rating:x"],
        &["edit", "12", "--query", "x", "+a"],
    ] {
        let said = ask(store, arguments);
        assert_eq!(said.code, Some(64), "{arguments:?}: {}", said.err);
    }
    assert!(told.edits.lock().expect("no test panics in it").is_empty());
}

#[test]
fn posts_go_into_the_trash_by_name_by_query_and_by_pipe() {
    let (store, told) = store();
    let said = ask(store, &["trash", "5", "posts/6", "5"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("2 posts") && said.out.contains("kumo restore"));
    let said = tell(store, &["trash", "-", "--json"], "posts/1\nposts/2\n");
    assert_eq!(said.objects()[0]["trashed"], 2);
    assert_eq!(ask(store, &["trash", "--query", "-dark"]).code, Some(0));
    let said = ask(store, &["restore", "--query", "a or b", "--json"]);
    assert_eq!(said.objects()[0]["restored"], 1200);
    let names = told.names();
    assert_eq!(
        names[0],
        ("trash", vec!["posts/5".to_owned(), "posts/6".to_owned()])
    );
    assert_eq!(names[1].1, ["posts/1", "posts/2"]);
    let sizes: Vec<(&str, usize)> = names[2..].iter().map(|(w, n)| (*w, n.len())).collect();
    let thrice = |what| [(what, 500), (what, 500), (what, 200)];
    assert_eq!(sizes, [thrice("trash"), thrice("restore")].concat());
    let queries = told.queries.lock().expect("no test panics in it").clone();
    assert_eq!(queries, ["-dark", "a or b status:trash"]);
    assert_eq!(ask(store, &["trash"]).code, Some(64));
    assert_eq!(ask(store, &["trash", "no/such/file"]).code, Some(1));
}

#[test]
fn nothing_is_purged_without_yes() {
    let (store, told) = store();
    let said = ask(store, &["purge", "--query", "id:>0"]);
    assert_eq!(said.code, Some(64));
    assert!(
        said.err.contains("1,200 posts") && said.err.contains("--yes"),
        "{}",
        said.err
    );
    assert!(told.names().is_empty());
    let said = ask(store, &["purge", "7", "--yes", "--json"]);
    assert_eq!(said.objects()[0]["purged"], 1);
    // What was done before a batch is refused is told.
    let said = ask(store, &["purge", "--query", "id:>0", "--yes"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(
        said.err.contains("500 posts done before this"),
        "{}",
        said.err
    );
}

#[test]
fn rejected_contents_are_listed_and_allowed_again() {
    let (store, told) = store();
    let said = ask(store, &["rejected"]);
    assert!(said.out.contains("/pictures/gone.jpg") && said.err.contains("--allow"));
    let sha256 = &ask(store, &["rejected", "--json"]).objects()[0]["sha256"];
    let sha256 = sha256.as_str().expect("a text").to_owned();
    let said = ask(
        store,
        &["rejected", "--allow", &sha256, &sha256.to_uppercase()],
    );
    assert!(
        said.out.contains("2 contents allowed"),
        "{}{}",
        said.out,
        said.err
    );
    assert_eq!(told.names()[0].1, [sha256.clone(), sha256]);
    assert_eq!(ask(store, &["rejected", "--allow", "12"]).code, Some(64));
}

#[test]
fn records_are_streamed_in_batches_and_those_of_no_post_are_named() {
    let (store, told) = store();
    let line = |number: u32| format!("{{\"post\":{number},\"source\":\"x\",\"id\":{number}}}\n");
    let lines: String = (1..=600).map(line).collect();
    let said = tell(store, &["records", "put", "-", "--json"], &lines);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let objects = said.objects();
    assert_eq!(objects[0]["line"], 2);
    assert_eq!(objects[0]["unmatched"], "posts/2");
    assert_eq!(objects[2]["stored"], 598);
    let sizes: Vec<usize> = {
        let records = told.records.lock().expect("no test panics in it");
        records.iter().map(Vec::len).collect()
    };
    assert_eq!(sizes, [500, 100]);

    let said = tell(
        store,
        &["records", "put", "-"],
        &format!("{}oops\n", line(1)),
    );
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("line 2: "), "{}", said.err);
    assert_eq!(ask(store, &["records", "put", "/no/such"]).code, Some(1));
    assert_eq!(
        ask(store, &["records", "sources", "--priority", "x=1001"]).code,
        Some(64)
    );
}

#[test]
fn a_record_that_the_store_refuses_is_named_by_its_lines() {
    let refuse = |_: PutSourceRecordsRequest| -> Result<PutSourceRecordsResponse, Status> {
        Err(Status::invalid_argument("source \"x y\" is not valid"))
    };
    let store = Fake::default()
        .on(
            "/kumo.store.v1.SourceRecordService/PutSourceRecords",
            refuse,
        )
        .serve();
    let line = r#"{"post":1,"source":"x y","id":1}"#;
    for (input, lines) in [
        (format!("\n{line}\n"), "line 2: source \"x y\""),
        (
            format!("{line}\n\n{line}\n"),
            "in lines 1 to 3: source \"x y\"",
        ),
    ] {
        let said = tell(store, &["records", "put", "-"], &input);
        assert_eq!(said.code, Some(64));
        assert!(said.err.contains(lines), "{}", said.err);
    }
}

#[test]
fn a_line_of_stdin_is_one_post_however_long_it_is() {
    let (store, told) = store();
    // Cut in two, this would be posts 1 and 2.
    let long = format!("1{:16383}2\n", "");
    let said = tell(store, &["trash", "-"], &long);
    assert_eq!(said.code, Some(64), "{}", said.err);
    assert!(said.err.contains("16 KiB"), "{}", said.err);
    assert_eq!(told.names(), []);
    let said = tell(store, &["trash", "-"], "");
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert!(said.err.contains("nothing was put"), "{}", said.err);
}

#[test]
fn the_contract_is_written_out_and_nothing_else_is_overwritten() {
    let folder = data();
    let out = folder.path().join("protos");
    let run = |flags: &[&str]| -> Said {
        let mut command = kumo(folder.path());
        command.arg("proto").arg("--out").arg(&out).args(flags);
        command.output().expect("runs").into()
    };
    let said = run(&[]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("grpc_tools.protoc"), "{}", said.err);
    let file = out.join("kumo/store/v1/post_service.proto");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/kumo/store/v1");
    let read = |path: &Path| std::fs::read_to_string(path).expect("is there");
    assert_eq!(read(&file), read(&here.join("post_service.proto")));
    assert!(run(&[]).out.contains("0 files written"));

    std::fs::write(&file, "mine").expect("writes");
    std::fs::remove_file(out.join("kumo/store/v1/rating.proto")).expect("was there");
    let said = run(&[]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("post_service.proto") && said.err.contains("--force"));
    assert_eq!(read(&file), "mine");
    assert!(
        !out.join("kumo/store/v1/rating.proto").exists(),
        "nothing was written"
    );
    let said = run(&["--force", "--json"]);
    let written = said
        .objects()
        .into_iter()
        .filter(|object| object["state"] == "written");
    assert_eq!(written.count(), 2);
    assert_ne!(read(&file), "mine");
}
