//! What a child has used, as the kernel counts it, and how much CPU it may still use.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit};

use crate::confine::cpu_seconds;

/// CPU time of a process since its start.
pub(super) fn cpu_time(id: u32) -> io::Result<Duration> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the clock id is a live local that the call fills.
    let error = unsafe { libc::clock_getcpuclockid(signed(id)?, &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is a live local that the call fills.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    ))
}

/// Lets a process use CPU time up to a total: the kernel kills it with SIGXCPU beyond.
pub(super) fn limit_cpu(id: u32, total: Duration) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(cpu_seconds(total)),
        maximum: None,
    };
    rustix::process::prlimit(Pid::from_raw(signed(id)?), Resource::Cpu, limit)?;
    Ok(())
}

/// Memory that a process holds right now.
pub(super) fn resident_bytes(id: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{id}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn signed(id: u32) -> io::Result<i32> {
    i32::try_from(id).map_err(|_| io::ErrorKind::InvalidInput.into())
}
