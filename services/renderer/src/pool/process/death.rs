//! Waiting for a child's end, and reading from it what it means for the picture.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use crate::error::{Error, Reason};
use crate::limits::Limits;
use crate::pool::worker::lost;

/// Waits for a child that is about to end; kills it if it does not.
pub(super) fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => return None,
        }
    }
    let _ = child.kill();
    child.wait().ok()
}

/// What a death means.
pub(super) fn verdict(status: Option<ExitStatus>, log: &str, limits: Limits) -> Error {
    let signal = status.and_then(|status| status.signal());
    // What the allocator of the standard library says before it aborts.
    if log.contains("memory allocation of") {
        return lost(
            Reason::OutOfMemory,
            format!("needs more than {} MiB", limits.memory_bytes >> 20),
        );
    }
    match signal {
        Some(libc::SIGXCPU) => lost(
            Reason::TimeLimit,
            format!("took more than {:?} of CPU time", limits.time),
        ),
        Some(libc::SIGSYS) => lost(
            Reason::RendererCrashed,
            "the renderer tried a system call that is forbidden to it",
        ),
        Some(signal) => lost(
            Reason::RendererCrashed,
            format!("the renderer was killed by signal {signal}"),
        ),
        None if log.is_empty() => lost(Reason::RendererCrashed, "the renderer ended"),
        None => lost(
            Reason::RendererCrashed,
            format!("the renderer ended: {log}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::verdict;
    use crate::error::Reason;
    use crate::limits::Limits;

    #[test]
    fn a_death_is_read_from_its_signal_and_its_last_words() {
        let reason = |signal, log| {
            verdict(Some(ExitStatus::from_raw(signal)), log, Limits::default()).reason()
        };
        let words = "memory allocation of 268435456 bytes failed";
        assert_eq!(reason(libc::SIGABRT, words), Some(Reason::OutOfMemory));
        assert_eq!(reason(libc::SIGXCPU, ""), Some(Reason::TimeLimit));
        for signal in [libc::SIGSYS, libc::SIGSEGV, libc::SIGKILL, libc::SIGABRT, 0] {
            assert_eq!(reason(signal, ""), Some(Reason::RendererCrashed));
        }
    }
}
