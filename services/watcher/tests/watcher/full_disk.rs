//! Stopping while there is no room to write.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{den::Den, store::Store};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Without a small disk to fill: whatever is written of a file meets the error of a full one, for
/// the greatest number that a row may have is taken.
const FILL: &str = "CREATE TABLE room (id INTEGER PRIMARY KEY AUTOINCREMENT);
    INSERT INTO room VALUES (9223372036854775807);
    CREATE TRIGGER none_left BEFORE INSERT ON file
    BEGIN INSERT INTO room VALUES (NULL); END;
    CREATE TRIGGER none_for_roots BEFORE UPDATE ON root
    BEGIN INSERT INTO room VALUES (NULL); END";
const EMPTY: &str = "DROP TRIGGER none_left; DROP TRIGGER none_for_roots; DROP TABLE room";

fn change(den: &Den, sql: &str) {
    let db = rusqlite::Connection::open(den.table()).expect("opens");
    db.execute_batch(sql).expect("changes");
}

/// A watcher of its own, and what it says.
struct Program {
    child: Child,
    said: mpsc::Receiver<String>,
}

impl Program {
    fn start(den: &Den) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kumo-watcher"))
            .args(&den.flags()[1..])
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("is piped")).lines();
        let (say, said) = mpsc::channel();
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        Self { child, said }
    }

    fn until_said(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut log: Vec<String> = Vec::new();
        let left = || deadline.saturating_duration_since(Instant::now());
        loop {
            let line = self.said.recv_timeout(left());
            assert!(line.is_ok(), "{what:?} was not said: {log:#?}");
            log.extend(line);
            if log.last().is_some_and(|line| line.contains(what)) {
                return;
            }
        }
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("our own child");
    }

    async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("is ours") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_stopped_while_its_disk_is_full_ends_well_and_loses_nothing() {
    let mut den = Den::without_watcher(Store::start());
    let mut program = Program::start(&den);
    den.place("1.png", 1);
    den.until("the first", |state| state.present() == ["1.png"])
        .await;
    change(&den, FILL);
    den.place("2.png", 2);
    program.until_said("full; waiting");
    program.terminate();
    program.until_said("stopping while the disk is full");
    assert_eq!(program.ended().await.code(), Some(0));

    change(&den, EMPTY);
    den.start().await;
    den.until_idle().await;
    den.rescan().await;
    let state = den.store.state();
    assert_eq!(state.present(), ["1.png", "2.png"]);
    assert_eq!(state.missing(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_cannot_remember_its_folders_fails_and_asks_for_them_again() {
    let mut den = Den::new().await;
    den.stop().await;
    change(&den, FILL);
    let mut program = Program::start(&den);
    program.until_said("full; waiting");
    program.terminate();
    program.until_said("name them again at the next start");
    assert!(program.ended().await.code().is_some_and(|code| code != 0));
}
