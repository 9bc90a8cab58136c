//! Processes die at the worst moment, and nothing is lost.

use std::{fs, time::Duration};

use kumo_tests::{
    cluster::{Machine, Program},
    pictures::{jpeg, photo, png, solid},
    wait,
};
use rustix::process::Signal;

/// Every post is registered once, every task is done, nothing failed.
fn assert_whole(machine: &Machine, posts: u64) {
    machine.settle(posts, 180);
    let store = machine.store();
    let found = store.search("").expect("answers");
    let mut hashes: Vec<&str> = found.iter().map(|post| post.sha256.as_str()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len() as u64, posts, "every content once");
    assert_eq!(store.failed().expect("answers"), []);
    let stats = store.stats().expect("answers");
    assert_eq!(
        (stats.predictions, stats.locations_present),
        (posts, posts),
        "{stats:?}"
    );
}

fn fill(machine: &Machine, count: u64, width: u32) {
    for seed in 0..count {
        let bytes = jpeg(&photo(width, width * 3 / 4, seed, [110, 90, 140]), 85).expect("encodes");
        machine.drop_file(format!("{:02}/{seed:04}.jpg", seed % 7), &bytes);
    }
}

#[test]
fn a_tagger_killed_in_mid_batch_leaves_its_work_to_the_next() {
    let machine = Machine::new();
    fill(&machine, 150, 240);
    let _store = machine.start_store();
    let _watcher = machine.start_watcher();
    let store = machine.store();
    for _ in 0..3 {
        let before = machine.store().stats().expect("answers").predictions;
        let tagger = machine.start_tagger();
        wait::until("the tagger is in its work", 60, || {
            let stats = store.stats()?;
            let leased = stats.tasks_leased > 0 || stats.predictions > before;
            if leased {
                Ok(())
            } else {
                Err(format!("{stats:?}"))
            }
        });
        tagger.kill();
    }
    let _tagger = machine.start_tagger();
    assert_whole(&machine, 150);
}

#[test]
fn a_store_killed_under_load_has_everything_it_acknowledged() {
    let machine = Machine::new();
    let mut store_program = machine.start_store();
    let _watcher = machine.start_watcher();
    let _tagger = machine.start_tagger();
    let mut acknowledged = Vec::new();
    for round in 0..4_u64 {
        for seed in 0..30 {
            let seed = round * 30 + seed;
            let bytes = jpeg(&photo(200, 150, seed, [90, 140, 90]), 85).expect("encodes");
            machine.drop_file(format!("{seed}.jpg"), &bytes);
        }
        let store = machine.store();
        wait::until("some of it is registered", 60, || {
            let posts = store.search("")?;
            let more = posts.len() > acknowledged.len();
            acknowledged = posts
                .into_iter()
                .map(|post| (post.name, post.sha256))
                .collect();
            if more {
                Ok(())
            } else {
                Err("no new posts".to_owned())
            }
        });
        store_program.kill();
        store_program = machine.start_store();
        let store = machine.store();
        for (name, sha256) in &acknowledged {
            let post = wait::until("the store answers", 30, || store.post(name));
            assert_eq!(&post.sha256, sha256, "what was seen is still there");
        }
    }
    assert_whole(&machine, 120);
    drop(store_program);
}

#[test]
fn a_watcher_killed_in_mid_scan_goes_on_where_it_was() {
    let machine = Machine::new();
    fill(&machine, 150, 240);
    let _store = machine.start_store();
    let _tagger = machine.start_tagger();
    let store = machine.store();
    let mut reached = Vec::new();
    for share in [1, 40, 90] {
        let watcher = machine.start_watcher();
        wait::until("the scan is under way", 60, || {
            let stats = store.stats()?;
            if stats.posts >= share {
                Ok(())
            } else {
                Err(format!("{stats:?}"))
            }
        });
        watcher.kill();
        reached.push(store.stats().expect("answers").posts);
    }
    assert!(reached[0] < 150, "no kill hit the scan: {reached:?}");
    let _watcher = machine.start_watcher();
    assert_whole(&machine, 150);
}

#[test]
fn a_renderer_killed_in_mid_picture_fails_that_picture_alone() {
    let machine = Machine::new();
    // Large enough that a renderer is nearly always at work.
    fill(&machine, 24, 1800);
    let _store = machine.start_store();
    let watcher = machine.start_watcher();
    let _tagger = machine.start_tagger();
    let mut kills = 0;
    let store = machine.store();
    wait::until("three renderers were killed", 90, || {
        if let Some(&pid) = watcher.children().first() {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("fits"));
            // It may have ended in the meantime.
            if rustix::process::kill_process(pid.expect("positive"), Signal::KILL).is_ok() {
                kills += 1;
                std::thread::sleep(Duration::from_millis(150));
            }
        }
        if kills >= 3 {
            Ok(())
        } else {
            Err(format!("{kills} kills, {:?}", store.stats()))
        }
    });
    let failures = wait::until("every file was looked at", 120, || {
        let stats = store.stats()?;
        let failures = store.failed()?;
        let all = stats.posts + stats.ingest_failures == 24;
        if all {
            Ok(failures)
        } else {
            Err(format!("{stats:?}"))
        }
    });
    assert!(
        failures.len() <= kills,
        "at most one picture for each kill: {failures:?}"
    );
    assert!(
        failures
            .iter()
            .all(|task| task.reason == "RENDERER_CRASHED"),
        "{failures:?}"
    );

    let retried = machine
        .kumo(&["retry", "--all-failed"])
        .output()
        .expect("runs");
    assert!(
        retried.status.success(),
        "{}",
        String::from_utf8_lossy(&retried.stderr)
    );
    assert_whole(&machine, 24);
}

#[test]
fn watcher_and_tagger_wait_for_a_store_that_is_not_there() {
    let machine = Machine::new();
    fill(&machine, 12, 200);
    let watcher = machine.start_watcher();
    let tagger = machine.start_tagger();
    for program in [&watcher, &tagger] {
        wait::until("it says that it waits", 30, || {
            let log = program.log();
            if log.contains("waiting for the store") {
                Ok(())
            } else {
                Err(log)
            }
        });
    }
    let store_program = machine.start_store();
    machine.settle(12, 90);

    // It goes away while files arrive, and comes back.
    store_program.kill();
    for seed in 100..140 {
        let bytes = png(&solid(40, seed, [5, 5, 5])).expect("encodes");
        machine.drop_file(format!("{seed}.png"), &bytes);
    }
    std::thread::sleep(Duration::from_secs(3));
    let resident = resident_mib(&watcher);
    assert!(
        resident < 64,
        "the watcher holds {resident} MiB while the store is away"
    );
    let _store = machine.start_store();
    assert_whole(&machine, 52);
}

#[test]
fn an_orderly_stop_gives_leases_back_and_ends_with_success() {
    let machine = Machine::new();
    fill(&machine, 60, 240);
    let store_program = machine.start_store();
    let watcher = machine.start_watcher();
    let tagger = machine.start_tagger();
    let store = machine.store();
    wait::until("the tagger works", 60, || {
        let stats = store.stats()?;
        if stats.tasks_leased > 0 || stats.predictions > 0 {
            Ok(())
        } else {
            Err(format!("{stats:?}"))
        }
    });
    assert!(tagger.stop().success(), "the tagger ends with success");
    let stats = store.stats().expect("answers");
    assert_eq!(stats.tasks_leased, 0, "leases were given back: {stats:?}");
    assert!(watcher.stop().success(), "the watcher ends with success");
    assert!(
        store_program.stop().success(),
        "the store ends with success"
    );
}

fn resident_mib(program: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kib.expect("the kernel shows it") / 1024
}
