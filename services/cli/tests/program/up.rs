//! `kumo up` with stand-ins for its children: shell scripts that announce themselves as the real
//! ones do, and write down when they start and end. The store they stand for is a fake.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use proto::{
    media::v1::{WatchProgressRequest, WatchProgressResponse},
    store::v1::{
        Demand, GetStatsRequest, GetStatsResponse, ListRootsRequest, ListRootsResponse, ModelKind,
        ReportCrashRequest, ReportCrashResponse, WatchDemandRequest, WatchDemandResponse,
    },
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::fake::{Fake, Said, data, kumo};

/// What each child does once it has announced itself.
const SERVE: &str = "sleep 600 & wait";

struct Stage {
    base: TempDir,
    data: TempDir,
    crashes: Arc<Mutex<Vec<ReportCrashRequest>>>,
    store: SocketAddr,
}

impl Stage {
    /// A cluster that has three pictures to tag until a tagger serves.
    fn new() -> Self {
        let base = tempfile::tempdir().expect("a folder");
        fs::create_dir(base.path().join("library")).expect("makes");
        let crashes = Arc::new(Mutex::new(Vec::new()));
        let store = fake(base.path(), crashes.clone()).serve();
        let stage = Self {
            base,
            data: data(),
            crashes,
            store,
        };
        for role in ["store", "watcher"] {
            stage.stand_in(role, SERVE);
        }
        stage.stand_in("tagger", &format!("touch $base/tagged\n{SERVE}"));
        stage
    }

    /// Writes the script of a role. The registrar is the tagger that leaves at once.
    fn stand_in(&self, role: &str, then: &str) {
        let path = self.base.path().join(format!("kumo-{role}"));
        let script = format!(
            r#"#!/bin/sh
base={base}; data={data}; role={role}; announced=$data/run/$role.json
case "$*" in *--register-only*) echo register >>$base/journal; exit 0;; esac
# Before it is known to have started: whoever reads that may stop it at once.
trap 'kill $! 2>/dev/null; echo end $role >>$base/journal; rm -f $announced; exit 0' TERM
echo start $role >>$base/journal
printf '{{"role":"%s","address":"{store}","admin_address":"{store}","pid":%s,"incarnation":77}}' \
  $role $$ >$announced.new
mv $announced.new $announced
{then}
"#,
            base = self.base.path().display(),
            data = self.data.path().display(),
            store = self.store,
        );
        fs::write(&path, script).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("is ours");
    }

    fn library(&self) -> PathBuf {
        self.base.path().join("library")
    }

    fn up(&self, flags: &[&str]) -> Command {
        let mut command = kumo(self.data.path());
        command.arg("up").arg(self.library());
        command.arg("--programs").arg(self.base.path());
        command
            .args(["--ports", "any", "--instance", "den"])
            .args(flags);
        command
    }

    fn run(&self, flags: &[&str]) -> Said {
        self.up(flags).output().expect("runs").into()
    }

    fn journal(&self) -> Vec<String> {
        let text = fs::read_to_string(self.base.path().join("journal")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn count(&self, line: &str) -> usize {
        self.journal().iter().filter(|found| *found == line).count()
    }

    /// Starts `kumo up` and waits until its journal has this line.
    fn start_until(&self, line: &str) -> Child {
        let mut command = self.up(&[]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.count(line) == 0 {
            let ended = child.try_wait().expect("our own child");
            assert!(ended.is_none(), "{ended:?}: {:?}", self.journal());
            assert!(Instant::now() < deadline, "{line}: {:?}", self.journal());
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }
}

fn fake(base: &Path, crashes: Arc<Mutex<Vec<ReportCrashRequest>>>) -> Fake {
    let tagged = base.join("tagged");
    let demand = {
        let tagged = tagged.clone();
        move |_: WatchDemandRequest| {
            let demand = Demand {
                kind: ModelKind::Tag.into(),
                leasable: if tagged.exists() { 0 } else { 3 },
                ..Demand::default()
            };
            Ok(WatchDemandResponse {
                demands: vec![demand],
            })
        }
    };
    let stats = move |_: GetStatsRequest| {
        let done = if tagged.exists() { 3 } else { 0 };
        Ok(GetStatsResponse {
            posts: 3,
            posts_done: done,
            predictions: done,
            tasks_queued: 3 - done,
            ingest_failures: 1,
            ..GetStatsResponse::default()
        })
    };
    let progress = |_: WatchProgressRequest| {
        Ok(WatchProgressResponse {
            first_scan_done: true,
            registered: 3,
            ..WatchProgressResponse::default()
        })
    };
    let crash = move |request: ReportCrashRequest| {
        crashes.lock().expect("no test panics in it").push(request);
        Ok(ReportCrashResponse::default())
    };
    let roots = |_: ListRootsRequest| Ok(ListRootsResponse::default());
    Fake::default()
        .on("/kumo.store.v1.CapacityService/WatchDemand", demand)
        .on("/kumo.store.v1.AdminService/GetStats", stats)
        .on("/kumo.media.v1.MediaService/WatchProgress", progress)
        .on("/kumo.store.v1.TaskService/ReportCrash", crash)
        .on("/kumo.store.v1.LocationService/ListRoots", roots)
}

#[test]
fn until_idle_ends_in_order_with_one_line_of_figures() {
    let stage = Stage::new();
    let said = stage.run(&["--until-idle", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let objects = said.objects();
    assert_eq!(objects.len(), 1, "{}", said.out);
    for (key, value) in [
        ("posts", 3),
        ("tagged", 3),
        ("failed", 1),
        ("registered", 3),
    ] {
        assert_eq!(objects[0][key], value, "{key}: {}", said.out);
    }
    assert!(objects[0]["rss"]["kumo"]["peak_rss_bytes"].as_u64() > Some(0));
    let journal = stage.journal();
    assert_eq!(journal[0], "start store");
    assert_eq!(
        journal[journal.len() - 3..],
        ["end tagger", "end watcher", "end store"]
    );
    let first = |line: &str| journal.iter().position(|found| found == line);
    assert!(first("register") < first("start tagger"), "{journal:?}");
}

#[test]
fn a_tagger_that_dies_is_reported_and_started_again() {
    let stage = Stage::new();
    let die_once = format!(
        "if [ ! -e $base/died ]; then touch $base/died; sleep 0.3; kill -9 $$; fi
touch $base/tagged\n{SERVE}"
    );
    stage.stand_in("tagger", &die_once);
    let said = stage.run(&["--until-idle", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("SIGKILL"), "{}", said.err);
    assert_eq!(stage.count("start tagger"), 2);
    let crashes = stage.crashes.lock().expect("no test panics in it");
    let reported: Vec<(&str, u64)> = crashes
        .iter()
        .map(|crash| (crash.node.as_str(), crash.incarnation))
        .collect();
    assert_eq!(reported, [("den-tagger", 77)]);
}

#[test]
fn a_tagger_that_cannot_run_ends_the_waiting_with_its_reason() {
    let stage = Stage::new();
    stage.stand_in(
        "tagger",
        r#"echo '{"level":"ERROR","message":"no ONNX Runtime","error.reason":"RUNTIME_NOT_FOUND"}' >&2
exit 1"#,
    );
    let said = stage.run(&["--until-idle"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    for text in ["no ONNX Runtime", "make runtime", "tagger.log"] {
        assert!(said.err.contains(text), "{text}: {}", said.err);
    }
    assert_eq!(stage.count("start tagger"), 3, "with back-off in between");
    assert_eq!(
        stage.journal().last().map(String::as_str),
        Some("end store")
    );
    let log = stage.data.path().join("logs/tagger.log");
    let log = fs::read_to_string(log).expect("is kept");
    assert!(log.contains("RUNTIME_NOT_FOUND"));
}

#[test]
fn a_store_that_cannot_start_ends_everything_with_its_reason() {
    let stage = Stage::new();
    stage.stand_in("store", "echo 'error: the database is locked' >&2; exit 1");
    let said = stage.run(&[]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("the database is locked"), "{}", said.err);
}

#[test]
fn the_second_is_refused_and_ctrl_c_ends_the_first_in_order() {
    let stage = Stage::new();
    let mut first = stage.start_until("start tagger");
    let said = stage.run(&[]);
    assert_eq!(said.code, Some(1));
    let process = format!("process {}", first.id());
    assert!(said.err.contains(&process), "{}", said.err);
    assert!(said.err.contains(&stage.store.to_string()), "{}", said.err);

    let pid = i32::try_from(first.id()).expect("fits");
    let pid = Pid::from_raw(pid).expect("positive");
    kill_process(pid, Signal::INT).expect("our own child");
    let status = first.wait().expect("our own child");
    assert_eq!(status.code(), Some(0));
    let journal = stage.journal();
    assert_eq!(
        journal[journal.len() - 3..],
        ["end tagger", "end watcher", "end store"]
    );
}

#[test]
fn the_tagger_ends_soon_after_the_demand() {
    let stage = Stage::new();
    let mut command = stage.up(&["--idle-stop", "0.5"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while stage.count("end tagger") == 0 {
        assert!(Instant::now() < deadline, "{:?}", stage.journal());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(stage.count("end store"), 0, "the rest goes on");
    let pid = i32::try_from(child.id()).expect("fits");
    let pid = Pid::from_raw(pid).expect("positive");
    kill_process(pid, Signal::TERM).expect("our own child");
    assert_eq!(child.wait().expect("our own child").code(), Some(0));
    assert_eq!(stage.count("start tagger"), 1);
}

#[test]
fn without_a_folder_a_person_is_told_what_to_type() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| -> Said {
        let mut command = kumo(folder.path());
        command.args(arguments).output().expect("runs").into()
    };
    let said = run(&["up"]);
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("kumo up ~/Pictures"), "{}", said.err);

    let stage = Stage::new();
    fs::remove_dir(stage.library()).expect("is empty");
    let said = stage.run(&[]);
    assert_eq!(said.code, Some(64), "{}", said.err);
    assert!(said.err.contains("there is no folder"), "{}", said.err);
    assert_eq!(stage.count("start watcher"), 0);
}
