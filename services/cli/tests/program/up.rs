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
    similarity::v1::{GetIndexRequest, GetIndexResponse},
    store::v1::{
        Cursor, Demand, GetStatsRequest, GetStatsResponse, ListModelsRequest, ListModelsResponse,
        ListRootsRequest, ListRootsResponse, Model, ModelKind, ReportCrashRequest,
        ReportCrashResponse, WatchDemandRequest, WatchDemandResponse,
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
    /// A cluster that has three pictures to tag until a tagger serves, and to embed until an
    /// embedder does, and whose similarity service follows.
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
        for (role, done) in [
            ("tagger", "tagged"),
            ("embedder", "embedded"),
            ("similarity", "followed"),
        ] {
            stage.stand_in(role, &format!("touch $base/{done}\n{SERVE}"));
        }
        stage
    }

    /// Writes the script of a role. A registrar is a node that leaves at once, unless its model hangs.
    fn stand_in(&self, role: &str, then: &str) {
        let path = self.base.path().join(format!("kumo-{role}"));
        let script = format!(
            r#"#!/bin/sh
base={base}; data={data}; role={role}; announced=$data/run/$role.json
case "$*" in *--register-only*)
  if [ -e $base/$role-hangs ]; then exec sleep 600; fi
  echo register $role >>$base/journal; exit 0;;
esac
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
        let mut child = self.start(&[]);
        self.wait_for(line, 1);
        let ended = child.try_wait().expect("our own child");
        assert!(ended.is_none(), "{ended:?}: {:?}", self.journal());
        child
    }

    fn start(&self, flags: &[&str]) -> Child {
        let mut command = self.up(flags);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("starts")
    }

    /// Waits until the journal has this line so often.
    fn wait_for(&self, line: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.count(line) < times {
            assert!(Instant::now() < deadline, "{line}: {:?}", self.journal());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Asks a `kumo up` to end, and gives its exit code.
fn stop(mut child: Child, signal: Signal) -> Option<i32> {
    let pid = i32::try_from(child.id()).expect("fits");
    let pid = Pid::from_raw(pid).expect("positive");
    kill_process(pid, signal).expect("our own child");
    child.wait().expect("our own child").code()
}

/// What is done is what a stand-in has left a file of.
fn fake(base: &Path, crashes: Arc<Mutex<Vec<ReportCrashRequest>>>) -> Fake {
    let done = |name: &str| {
        let path = base.join(name);
        move || if path.exists() { 3 } else { 0 }
    };
    let (tagged, embedded, followed) = (done("tagged"), done("embedded"), done("followed"));
    let waiting = base.join("waiting");
    let demand = {
        let (tagged, embedded) = (tagged.clone(), embedded.clone());
        move |_: WatchDemandRequest| {
            let of = |kind: ModelKind, leasable, interactive| Demand {
                kind: kind.into(),
                leasable,
                interactive,
                ..Demand::default()
            };
            Ok(WatchDemandResponse {
                demands: vec![
                    of(ModelKind::Tag, 3 - tagged(), 0),
                    of(ModelKind::Embed, 3 - embedded(), waiting.exists().into()),
                ],
            })
        }
    };
    let stats = {
        let (tagged, embedded) = (tagged.clone(), embedded.clone());
        move |_: GetStatsRequest| {
            Ok(GetStatsResponse {
                posts: 3,
                tasks_queued: 6 - tagged() - embedded(),
                ingest_failures: 1,
                epoch: 5,
                seq: 9,
                ..GetStatsResponse::default()
            })
        }
    };
    let models = move |_: ListModelsRequest| {
        let of = |kind: ModelKind, done| Model {
            kind: kind.into(),
            active: true,
            done,
            ..Model::default()
        };
        let models = vec![
            of(ModelKind::Tag, tagged()),
            of(ModelKind::Embed, embedded()),
        ];
        Ok(ListModelsResponse { models })
    };
    let index = move |_: GetIndexRequest| {
        let posts = followed();
        Ok(GetIndexResponse {
            posts,
            cursor: Some(Cursor {
                epoch: 5,
                seq: 3 * posts,
            }),
            ..GetIndexResponse::default()
        })
    };
    let scanning = base.join("scanning");
    let progress = move |_: WatchProgressRequest| {
        Ok(WatchProgressResponse {
            scanning: scanning.exists(),
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
        .on("/kumo.store.v1.ModelService/ListModels", models)
        .on("/kumo.similarity.v1.SimilarityService/GetIndex", index)
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
        ("embedded", 3),
        ("indexed", 3),
        ("failed", 1),
        ("registered", 3),
    ] {
        assert_eq!(objects[0][key], value, "{key}: {}", said.out);
    }
    assert!(objects[0]["rss"]["kumo"]["peak_rss_bytes"].as_u64() > Some(0));
    let journal = stage.journal();
    assert_eq!(journal[0], "start store");
    assert_eq!(last_two(&journal), ["end watcher", "end store"]);
    let first = |line: &str| journal.iter().position(|found| found == line);
    for node in ["tagger", "embedder"] {
        let register = first(&format!("register {node}"));
        let start = first(&format!("start {node}"));
        assert!(register.is_some() && register < start, "{journal:?}");
        assert!(journal.contains(&format!("end {node}")), "{journal:?}");
    }
    assert!(journal.contains(&"end similarity".to_owned()));
}

fn last_two(journal: &[String]) -> [&str; 2] {
    let [.., first, second] = journal else {
        return ["", ""];
    };
    [first, second]
}

#[test]
fn a_similarity_service_that_lags_is_waited_for() {
    let stage = Stage::new();
    let later = format!("sleep 1.5; date +%s%N >$base/followed\n{SERVE}");
    stage.stand_in("similarity", &later);
    let said = stage.run(&["--until-idle", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.objects()[0]["indexed"], 3, "{}", said.out);
}

#[test]
fn a_similarity_service_that_was_killed_comes_back() {
    let stage = Stage::new();
    let die_once = format!(
        "if [ ! -e $base/died ]; then touch $base/died; sleep 0.3; kill -9 $$; fi
touch $base/followed\n{SERVE}"
    );
    stage.stand_in("similarity", &die_once);
    let said = stage.run(&["--until-idle", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(stage.count("start similarity"), 2);
    let crashes = stage.crashes.lock().expect("no test panics in it");
    assert!(crashes.is_empty(), "it is no node: {crashes:?}");
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
fn an_embedder_that_cannot_run_ends_the_waiting_only_when_all_is_tagged() {
    let stage = Stage::new();
    // Longer than it takes to see that there is no hope for the embedder.
    let later = format!("sleep 4; touch $base/tagged\n{SERVE}");
    stage.stand_in("tagger", &later);
    stage.stand_in("embedder", "echo 'error: no such model' >&2; exit 1");
    let said = stage.run(&["--until-idle"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    for text in ["no such model", "embedder.log"] {
        assert!(said.err.contains(text), "{text}: {}", said.err);
    }
    let tagged = stage.base.path().join("tagged");
    assert!(tagged.exists(), "what could be done is done: {}", said.err);
}

#[test]
fn waiting_that_ends_for_nothing_says_what_it_waited_for() {
    for (hindrance, texts) in [
        ("scanning", ["library is catalogued", "watcher.log"]),
        (
            "tagger-hangs",
            ["model for tagging", "tagger-registrar.log"],
        ),
    ] {
        let stage = Stage::new();
        fs::write(stage.base.path().join(hindrance), "").expect("writes");
        let said = stage.run(&["--until-idle", "--stall", "2"]);
        assert_eq!(said.code, Some(1), "{}", said.err);
        for text in ["nothing has moved for 2 s"].iter().chain(&texts) {
            assert!(said.err.contains(text), "{text}: {}", said.err);
        }
    }
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
    let first = stage.start_until("start tagger");
    let said = stage.run(&[]);
    assert_eq!(said.code, Some(1));
    let process = format!("process {}", first.id());
    assert!(said.err.contains(&process), "{}", said.err);
    assert!(said.err.contains(&stage.store.to_string()), "{}", said.err);

    assert_eq!(stop(first, Signal::INT), Some(0));
    assert_eq!(last_two(&stage.journal()), ["end watcher", "end store"]);
    assert_eq!(stage.count("end tagger"), 1);
}

#[test]
fn a_node_ends_soon_after_the_demand_and_comes_back_with_a_person_who_waits() {
    let stage = Stage::new();
    let child = stage.start(&["--idle-stop", "0.5"]);
    stage.wait_for("end tagger", 1);
    stage.wait_for("end embedder", 1);
    for role in ["store", "watcher", "similarity"] {
        assert_eq!(stage.count(&format!("end {role}")), 0, "the rest goes on");
    }
    fs::write(stage.base.path().join("waiting"), "").expect("writes");
    stage.wait_for("start embedder", 2);
    assert_eq!(stage.count("start tagger"), 1, "nobody wants that one");
    assert_eq!(stop(child, Signal::TERM), Some(0));
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
