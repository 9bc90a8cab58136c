//! Stopping while there is no room to write.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
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
    BEGIN INSERT INTO room VALUES (NULL); END";
const EMPTY: &str = "DROP TRIGGER none_left; DROP TABLE room";

fn change(den: &Den, sql: &str) {
    let db = rusqlite::Connection::open(den.table()).expect("opens");
    db.execute_batch(sql).expect("changes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_stopped_while_its_disk_is_full_ends_well_and_loses_nothing() {
    let mut den = Den::without_watcher(Store::start());
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
    let until_said = |what: &str| {
        let deadline = Instant::now() + PATIENCE;
        let mut log = Vec::new();
        while let Ok(line) = said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            let found = line.contains(what);
            log.push(line);
            if found {
                return;
            }
        }
        panic!("{what:?} was not said: {log:#?}");
    };
    den.place("1.png", 1);
    den.until("the first", |state| state.present() == ["1.png"])
        .await;
    change(&den, FILL);
    den.place("2.png", 2);
    until_said("full; waiting");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).expect("our own child");
    until_said("stopping while the disk is full");
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        if let Some(status) = child.try_wait().expect("is ours") {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(ended.code(), Some(0));

    change(&den, EMPTY);
    den.start().await;
    den.until_idle().await;
    den.rescan().await;
    let state = den.store.state();
    assert_eq!(state.present(), ["1.png", "2.png"]);
    assert_eq!(state.missing(), [""; 0]);
}
