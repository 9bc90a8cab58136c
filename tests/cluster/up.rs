//! The whole cluster by one command.

use std::{
    fs,
    path::Path,
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

use kumo_tests::{
    cluster::Machine,
    pictures::{disc, jpeg, photo, png},
    wait,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn last_object(output: &Output) -> Value {
    let said = text(&output.stdout);
    let line = said.lines().last().unwrap_or_default();
    let object = serde_json::from_str(line).ok();
    object.expect("`--json` ends with one line of JSON")
}

fn up(machine: &Machine, flags: &[&str]) -> Output {
    let library = machine.library();
    let library = library.to_str().expect("UTF-8");
    let mut arguments = vec!["up", library, "--ports", "any", "--until-idle", "--json"];
    arguments.extend(flags);
    machine.kumo(&arguments).output().expect("runs")
}

#[test]
fn up_until_idle_tags_everything_and_says_so_in_one_line() {
    let machine = Machine::new();
    for seed in 0..20 {
        let bytes = jpeg(&photo(500, 400, seed, [180, 60, 60]), 88).expect("encodes");
        machine.drop_file(format!("{seed}.jpg"), &bytes);
    }
    machine.drop_file("broken.jpg", b"not a picture");
    let first = up(&machine, &[]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let done = last_object(&first);
    for key in ["posts", "tagged", "embedded", "indexed"] {
        assert_eq!(done[key], Value::from(20), "{key}: {done}");
    }
    assert_eq!(done["failed"], Value::from(1), "{done}");

    // Again: nothing is left to do, and nothing is done twice.
    machine.drop_file(
        "one more.png",
        &png(&disc(200, 200, [255; 3], [200, 0, 0])).expect("encodes"),
    );
    let second = last_object(&up(&machine, &[]));
    for key in ["posts", "tagged", "embedded", "indexed"] {
        assert_eq!(second[key], Value::from(21), "{key}: {second}");
    }
}

/// A `kumo up` that is running, ended with the test.
struct Up<'a> {
    machine: &'a Machine,
    child: Child,
}

impl<'a> Up<'a> {
    fn start(machine: &'a Machine, flags: &[&str]) -> Self {
        let library = machine.library();
        let library = library.to_str().expect("UTF-8");
        let mut arguments = vec!["up", library, "--ports", "any"];
        arguments.extend(flags);
        let log = fs::File::create(machine.data().with_file_name("up.log")).expect("a log");
        let child = machine
            .kumo(&arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        Self { machine, child }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        self.machine.kumo(arguments).output().expect("runs")
    }

    /// The lines of an answer; the reason if it is refused.
    fn objects(&self, arguments: &[&str]) -> Result<Vec<Value>, String> {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let output = self.ask(&arguments);
        if !output.status.success() {
            return Err(text(&output.stderr));
        }
        let parse = |line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"));
        text(&output.stdout).lines().map(parse).collect()
    }

    /// Waits until all posts are tagged, embedded and known to look-alike search.
    fn settle(&self, posts: u64) {
        wait::until(
            &format!("{posts} posts are embedded and indexed"),
            120,
            || {
                let objects = self.objects(&["status"])?;
                let of = |kind: &str| {
                    objects
                        .iter()
                        .find(|object| object["type"] == kind)
                        .cloned()
                };
                let (library, similarity) = (of("library"), of("similarity"));
                let seen = format!("{library:?} {similarity:?}");
                let (Some(library), Some(similarity)) = (library, similarity) else {
                    return Err(seen);
                };
                let done = library["done"] == posts && library["embeddings"] == posts;
                let indexed = similarity["vectors"] == posts && similarity["lag"] == 0;
                if done && indexed { Ok(()) } else { Err(seen) }
            },
        );
    }

    fn announced(&self, role: &str) -> Option<kit::rundir::Announcement> {
        kit::rundir::Announcement::read(&self.machine.data(), role)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(40);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a channel of an answer of `kumo similar --json` says: whether it was used, and why not.
fn channel(answer: &[Value], name: &str) -> (bool, String) {
    let reports = answer.last().and_then(|last| last["channels"].as_array());
    let mut reports = reports.into_iter().flatten();
    let report = reports.find(|report| report["channel"] == name);
    report.map_or((false, "not told".to_owned()), |report| {
        let reason = report["reason"].as_str().unwrap_or_default();
        (report["used"] == true, reason.to_owned())
    })
}

fn is_over(pid: u32) -> bool {
    // A dead child that nobody has waited for yet has no program any more.
    fs::read_link(format!("/proc/{pid}/exe")).is_err()
}

#[test]
fn look_alikes_are_found_while_the_embedder_comes_and_goes_with_those_who_want_it() {
    let machine = Machine::new();
    let photo = |seed| photo(500, 400, seed, [180, 60, 60]);
    for seed in 0..8 {
        machine.drop_file(
            format!("{seed}.jpg"),
            &jpeg(&photo(seed), 92).expect("encodes"),
        );
    }
    machine.drop_file("3 again.jpg", &jpeg(&photo(3), 70).expect("encodes"));
    let twin = machine.data().with_file_name("5 re-encoded.jpg");
    fs::write(&twin, jpeg(&photo(5), 60).expect("encodes")).expect("writes");
    let twin = twin.to_str().expect("UTF-8");
    let up = Up::start(&machine, &["--idle-stop", "1"]);
    up.settle(9);

    // Nobody wants it any more, so the embedder goes; similarity stays.
    wait::until("the embedder has ended", 60, || {
        match up.announced("embedder") {
            Some(found) if !is_over(found.pid) => Err(format!("{found:?}")),
            _ => Ok(()),
        }
    });
    let first_of = |answer: &[Value]| {
        let path = answer[0]["locations"][0]["path"].as_str();
        let path = Path::new(path.expect("a path")).file_name();
        path.map(|name| name.to_string_lossy().into_owned())
    };
    let answer = up.objects(&["similar", twin]).expect("answers");
    assert_eq!(first_of(&answer).as_deref(), Some("5.jpg"), "{answer:?}");
    let (used, reason) = channel(&answer, "embedding");
    // The store knows a node that has just gone for a while still.
    let reasons = ["NO_EMBEDDER", "EMBEDDER_FAILED"];
    assert!(!used && reasons.contains(&&*reason), "{answer:?}");
    assert!(channel(&answer, "hash").0, "{answer:?}");

    // Asking brought it back; who waits is answered with everything.
    let answer = up.objects(&["similar", twin, "--wait"]).expect("answers");
    assert_eq!(
        channel(&answer, "embedding"),
        (true, String::new()),
        "{answer:?}"
    );
    assert_eq!(first_of(&answer).as_deref(), Some("5.jpg"), "{answer:?}");
    assert!(answer[0]["score"].as_f64() > Some(0.9), "{answer:?}");

    // The same question in a search, with the quotes that the shell takes.
    let term = format!("similar:{twin}");
    let answer = up
        .objects(&["search", &term, "-no_such_tag", "--long"])
        .expect("answers");
    assert_eq!(first_of(&answer).as_deref(), Some("5.jpg"), "{answer:?}");

    let groups = up.objects(&["duplicates"]).expect("answers");
    assert_eq!(
        groups.last().map(|last| &last["total"]),
        Some(&1.into()),
        "{groups:?}"
    );
    assert_eq!(
        groups[0]["posts"].as_array().map(Vec::len),
        Some(2),
        "{groups:?}"
    );

    // Killed, it comes back and answers the same.
    let before = up.announced("similarity").expect("it runs");
    let pid = Pid::from_raw(i32::try_from(before.pid).expect("fits")).expect("positive");
    kill_process(pid, Signal::KILL).expect("a child of our own child");
    let answer = wait::until("similarity is back", 60, || {
        let answer = up.objects(&["similar", twin])?;
        let here = up.announced("similarity").map(|found| found.pid);
        if here == Some(before.pid) {
            return Err("the announcement of the one that was killed".to_owned());
        }
        // The last line tells of the channels; before it stand the posts it has loaded so far.
        if answer.len() < 2 {
            return Err(format!("nothing is loaded yet: {answer:?}"));
        }
        Ok(answer)
    });
    assert_eq!(first_of(&answer).as_deref(), Some("5.jpg"), "{answer:?}");
}

#[test]
fn what_a_person_says_is_found_and_what_a_person_throws_away_is_not() {
    let machine = Machine::new();
    for seed in 0..3 {
        let bytes = jpeg(&photo(300, 300, seed, [60, 60, 180]), 90).expect("encodes");
        machine.drop_file(format!("{seed}.jpg"), &bytes);
    }
    let up = Up::start(&machine, &[]);
    up.settle(3);
    let found = |query: &[&str]| {
        let mut arguments = vec!["search", "order:oldest"];
        arguments.extend(query);
        let answer = up.objects(&arguments).expect("answers");
        let names = answer.iter().filter_map(|post| post["name"].as_str());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let said = up.objects(&["edit", "1", "2", "+artist:Somebody Else", "rating:q"]);
    assert_eq!(said.expect("is edited").len(), 2);
    assert_eq!(
        found(&["artist:somebody_else", "rating:q"]),
        ["posts/1", "posts/2"]
    );
    up.objects(&["edit", "1", "-somebody_else"])
        .expect("is edited");
    assert_eq!(found(&["somebody_else"]), ["posts/2"]);

    up.objects(&["trash", "--query", "somebody_else"])
        .expect("goes");
    assert_eq!(found(&[]), ["posts/1", "posts/3"]);
    assert_eq!(found(&["status:trash"]), ["posts/2"]);
    up.objects(&["restore", "--query", "somebody_else"])
        .expect("comes back");
    assert_eq!(found(&[]).len(), 3);
    assert_eq!(
        up.ask(&["purge", "2", "--yes"]).status.code(),
        Some(1),
        "not in the trash"
    );
    up.objects(&["trash", "2"]).expect("goes");
    up.objects(&["purge", "2", "--yes"]).expect("goes for good");
    assert_eq!(up.ask(&["post", "2"]).status.code(), Some(1));
    assert_eq!(up.objects(&["rejected"]).expect("lists").len(), 1);

    let records = machine.data().with_file_name("records.jsonl");
    let lines = r#"{"post":1,"source":"danbooru","id":77,"tags":["sky","artist:foo"],"rating":"s"}
{"post":"9e107d9d372bb6826bd81d3542a419d6","source":"danbooru","id":78}
"#;
    fs::write(&records, lines).expect("writes");
    let put = up.objects(&["records", "put", records.to_str().expect("UTF-8")]);
    let put = put.expect("is put");
    assert_eq!((&put[0]["line"], &put[1]["stored"]), (&2.into(), &1.into()));
    assert_eq!(found(&["artist:foo"]), ["posts/1"]);
    let raw = &up.objects(&["records", "show", "1"]).expect("shows")[0]["raw"];
    assert_eq!(raw.as_str(), lines.lines().next(), "kept verbatim");
}

#[test]
fn up_serves_questions_and_ends_in_order() {
    let machine = Machine::new();
    let picture = png(&disc(300, 300, [255; 3], [40, 80, 200])).expect("encodes");
    let path = machine.drop_file("blue.png", &picture);
    let library = machine.library();
    let mut child = machine
        .kumo(&["up", library.to_str().expect("UTF-8"), "--ports", "any"])
        .stdout(Stdio::null())
        .stderr(fs::File::create(machine.data().with_file_name("up.log")).expect("a log"))
        .spawn()
        .expect("starts");
    let kumo = |arguments: &[&str]| machine.kumo(arguments).output().expect("runs");
    wait::until("the picture is tagged", 90, || {
        let found = kumo(&["search", "white_background", "--json"]);
        if found.status.success() && text(&found.stdout).contains("posts/1") {
            Ok(())
        } else {
            Err(format!("{} {}", text(&found.stdout), text(&found.stderr)))
        }
    });
    let post = kumo(&["post", path.to_str().expect("UTF-8"), "--json"]);
    assert!(
        text(&post.stdout).contains("blue.png"),
        "{}",
        text(&post.stderr)
    );
    let predicted = kumo(&["predict", path.to_str().expect("UTF-8"), "--json"]);
    assert!(predicted.status.success(), "{}", text(&predicted.stderr));
    assert!(
        text(&predicted.stdout).contains("white_background"),
        "{}",
        text(&predicted.stdout)
    );
    for arguments in [&["status"][..], &["memory"], &["tasks", "--failed"]] {
        let output = kumo(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
    assert_eq!(kumo(&["post", "999"]).status.code(), Some(1));
    assert_eq!(kumo(&["search", "order:nonsense"]).status.code(), Some(64));

    let second = kumo(&["up", library.to_str().expect("UTF-8"), "--ports", "any"]);
    assert!(
        !second.status.success(),
        "a second cluster on the same data is refused"
    );

    let pid = Pid::from_raw(i32::try_from(child.id()).expect("fits")).expect("positive");
    kill_process(pid, Signal::INT).expect("our own child can be signalled");
    let deadline = Instant::now() + Duration::from_secs(40);
    let status = loop {
        if let Some(status) = child.try_wait().expect("our own child can be waited for") {
            break status;
        }
        assert!(
            Instant::now() < deadline,
            "kumo up did not end after SIGINT"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success() || status.code() == Some(130), "{status}");
    let unreachable = kumo(&["status"]);
    assert_eq!(
        unreachable.status.code(),
        Some(69),
        "{}",
        text(&unreachable.stderr)
    );
}

#[test]
fn nothing_outlives_a_kumo_that_was_killed() {
    let machine = Machine::new();
    let library = machine.library();
    let mut child = machine
        .kumo(&["up", library.to_str().expect("UTF-8"), "--ports", "any"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let announced = |role: &str| kit::rundir::Announcement::read(&machine.data(), role);
    let pids = wait::until("store and watcher run", 60, || {
        match (announced("store"), announced("watcher")) {
            (Some(store), Some(watcher)) => Ok([store.pid, watcher.pid]),
            other => Err(format!("{other:?}")),
        }
    });
    child.kill().expect("our own child can be killed");
    child.wait().expect("our own child can be waited for");
    wait::until("its children have ended", 30, || {
        let alive: Vec<u32> = pids
            .into_iter()
            .filter(|pid| fs::metadata(format!("/proc/{pid}/exe")).is_ok())
            .collect();
        if alive.is_empty() {
            Ok(())
        } else {
            Err(format!("{alive:?}"))
        }
    });
}
