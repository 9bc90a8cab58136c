//! The renderers that a shipped watcher really runs are confined.

use std::{collections::BTreeMap, fs};

use kumo_tests::{
    cluster::Machine,
    pictures::{jpeg, photo},
    wait,
};

#[test]
fn every_live_renderer_is_confined() {
    let machine = Machine::new();
    for seed in 0..30 {
        let bytes = jpeg(&photo(1600, 1200, seed, [120; 3]), 88).expect("encodes");
        machine.drop_file(format!("{seed}.jpg"), &bytes);
    }
    let _store = machine.start_store();
    let watcher = machine.start_watcher();
    let mut seen = 0;
    wait::until("a confined renderer was seen five times", 60, || {
        for pid in watcher.children() {
            // A child that has just been started, or has just ended, shows nothing yet or any more.
            if let Some(problem) = confined(pid) {
                return Err(problem);
            }
            seen += 1;
        }
        if seen >= 5 {
            Ok(())
        } else {
            Err(format!("seen {seen} times"))
        }
    });
}

/// What is wrong with the confinement of a process, if anything.
fn confined(pid: u32) -> Option<String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let status = read("status")?;
    let fields: BTreeMap<&str, &str> = status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key, value.trim()))
        .collect();
    for (key, wanted) in [("Seccomp", "2"), ("NoNewPrivs", "1"), ("Threads", "1")] {
        if fields.get(key) != Some(&wanted) {
            return Some(format!("{key} is {:?}", fields.get(key)));
        }
    }
    let limits = read("limits")?;
    for limit in [
        "Max cpu time",
        "Max address space",
        "Max file size",
        "Max core file size",
    ] {
        let line = limits
            .lines()
            .find(|line| line.starts_with(limit))
            .unwrap_or_default();
        let soft = line[limit.len().min(line.len())..]
            .split_whitespace()
            .next();
        if soft.is_none_or(|soft| soft == "unlimited") {
            return Some(format!("{limit} is not limited: {line:?}"));
        }
    }
    let mut sockets = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let target = target.to_string_lossy().into_owned();
        let name = entry.file_name().to_string_lossy().into_owned();
        if target.starts_with("socket:") {
            sockets += 1;
        } else if name != "2" {
            return Some(format!("it holds {name} → {target}"));
        }
    }
    (sockets > 1).then(|| format!("it holds {sockets} sockets"))
}
