//! The whole cluster by one command.

use std::{
    fs,
    process::{Output, Stdio},
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
    assert_eq!(
        (&done["posts"], &done["tagged"]),
        (&20.into(), &20.into()),
        "{done}"
    );
    assert_eq!(done["failed"], Value::from(1), "{done}");

    // Again: nothing is left to do, and nothing is done twice.
    machine.drop_file(
        "one more.png",
        &png(&disc(200, 200, [255; 3], [200, 0, 0])).expect("encodes"),
    );
    let second = last_object(&up(&machine, &[]));
    assert_eq!(
        (&second["posts"], &second["tagged"]),
        (&21.into(), &21.into()),
        "{second}"
    );
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
