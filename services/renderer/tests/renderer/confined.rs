//! What the kernel says of a live child of the shipped program.

use std::collections::BTreeMap;
use std::fs;

use kumo_renderer::Format;
use kumo_renderer::confine::Landlock;

use crate::make::{encoded, pool, render, scene};

fn status(id: u32) -> BTreeMap<String, String> {
    fs::read_to_string(format!("/proc/{id}/status"))
        .expect("a live child has a status")
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn limit(limits: &str, name: &str) -> String {
    let line = limits.lines().find(|line| line.starts_with(name));
    let line = line.expect("the kernel knows this limit");
    line[name.len()..]
        .split_ascii_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn a_live_child_is_confined_as_promised() {
    let pool = pool();
    render(&pool, &encoded(&scene(64, 48), Format::Png))
        .await
        .expect("renders");
    let children = pool.children();
    let [id] = children[..] else {
        panic!("one child, not {children:?}");
    };
    let status = status(id);
    assert_eq!(status["Seccomp"], "2");
    assert_eq!(status["NoNewPrivs"], "1");
    assert_eq!(status["Threads"], "1");

    let limits = fs::read_to_string(format!("/proc/{id}/limits")).expect("limits");
    assert_eq!(limit(&limits, "Max address space"), "671088640 671088640");
    for nothing in [
        "Max file size",
        "Max core file size",
        "Max processes",
        "Max open files",
        "Max locked memory",
    ] {
        assert_eq!(limit(&limits, nothing), "0 0", "{nothing}");
    }
    let cpu = limit(&limits, "Max cpu time");
    let soft: u64 = cpu
        .split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .expect("a bound");
    assert!(soft <= 22, "{cpu}");

    let mut descriptors: Vec<(String, String)> = fs::read_dir(format!("/proc/{id}/fd"))
        .expect("descriptors")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let target = fs::read_link(entry.path()).expect("a link");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, target.to_string_lossy().into_owned())
        })
        .collect();
    descriptors.sort();
    assert_eq!(descriptors.len(), 2, "{descriptors:?}");
    assert!(descriptors[0].0 == "0" && descriptors[0].1.starts_with("socket:"));
    assert!(descriptors[1].0 == "2" && descriptors[1].1.starts_with("pipe:"));
    let environment = fs::read(format!("/proc/{id}/environ")).expect("environment");
    assert!(environment.is_empty());
}

#[tokio::test]
async fn what_is_missing_is_told_and_true() {
    let pool = pool();
    assert_eq!(pool.confinement(), None);
    let told = pool.probe().await.expect("a child starts");
    assert_eq!(pool.confinement(), Some(told));
    assert_eq!(told.memory_bytes, 640 << 20);
    // The kernel's own answer: the version, or why there is none.
    // SAFETY: asks for a number; takes no pointers.
    let version = unsafe { libc::syscall(444, std::ptr::null::<u8>(), 0, 1) };
    let error = std::io::Error::last_os_error().raw_os_error();
    let expected = match (version, error) {
        (6.., _) => Landlock::Full,
        (1.., _) => Landlock::Partial,
        (_, Some(libc::EOPNOTSUPP)) => Landlock::NotEnabled,
        _ => Landlock::NotImplemented,
    };
    assert_eq!(told.landlock, expected);
    assert_eq!(told.missing().is_none(), expected == Landlock::Full);
}
