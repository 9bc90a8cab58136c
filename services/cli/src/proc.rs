//! What the kernel says of processes of this machine.

use std::fs;

use serde::Serialize;

/// Resident memory of a process in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Resident {
    /// All of it.
    pub(crate) rss_bytes: u64,
    /// Private memory.
    pub(crate) anonymous_bytes: u64,
    /// Mapped files.
    pub(crate) file_bytes: u64,
    /// The most that was ever resident.
    pub(crate) peak_rss_bytes: u64,
}

impl Resident {
    /// Of a live process; `None` once it has ended.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let resident = kit::memory::Resident::of(pid).ok()?;
        (resident.rss > 0).then_some(Self {
            rss_bytes: resident.rss,
            anonymous_bytes: resident.anonymous,
            file_bytes: resident.file,
            peak_rss_bytes: resident.peak,
        })
    }

    /// The larger of each figure.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            rss_bytes: self.rss_bytes.max(other.rss_bytes),
            anonymous_bytes: self.anonymous_bytes.max(other.anonymous_bytes),
            file_bytes: self.file_bytes.max(other.file_bytes),
            peak_rss_bytes: self.peak_rss_bytes.max(other.peak_rss_bytes),
        }
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            rss_bytes: self.rss_bytes + other.rss_bytes,
            anonymous_bytes: self.anonymous_bytes + other.anonymous_bytes,
            file_bytes: self.file_bytes + other.file_bytes,
            peak_rss_bytes: self.peak_rss_bytes + other.peak_rss_bytes,
        }
    }
}

/// A process and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Child {
    /// Its process id.
    pub(crate) pid: u32,
    /// Its program, at most 15 characters.
    pub(crate) name: String,
}

/// The processes that `parent` started and that live.
pub(crate) fn children(parent: u32) -> Vec<Child> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    let mut pids: Vec<u32> = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            let pids: Vec<u32> = list.split_whitespace().flat_map(str::parse).collect();
            pids
        })
        .collect();
    pids.sort_unstable();
    pids.into_iter().filter_map(child).collect()
}

fn child(pid: u32) -> Option<Child> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Child {
        pid,
        name: name.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_several_processes_are_added_and_compared() {
        let resident = Resident::read(std::process::id()).expect("this process runs");
        assert!(resident.rss_bytes > 0 && resident.peak_rss_bytes >= resident.rss_bytes / 2);
        let twice = resident.plus(resident);
        assert_eq!(twice.anonymous_bytes, 2 * resident.anonymous_bytes);
        assert_eq!(resident.max(twice), twice);
    }

    #[test]
    fn a_child_is_found_and_a_process_that_ended_is_not() {
        let mut sleeper = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep can be started");
        let pid = sleeper.id();
        let found = children(std::process::id());
        sleeper.kill().expect("our own child");
        sleeper.wait().expect("our own child");
        assert!(found.iter().any(|child| child.pid == pid), "{found:?}");
        assert_eq!(Resident::read(pid), None);
    }
}
