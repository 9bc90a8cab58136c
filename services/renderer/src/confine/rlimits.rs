//! Resource limits: the memory bound, the CPU backstop, and zero for all that is not needed.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Sets the limits. CPU time is soft only: the client moves it before every picture, because the
/// kernel counts over the life of the process; this process cannot move it itself.
pub(super) fn restrict(memory_bytes: u64, cpu: Duration) -> io::Result<()> {
    let exactly = |value| Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(Resource::As, exactly(memory_bytes))?;
    setrlimit(
        Resource::Cpu,
        Rlimit {
            current: Some(cpu_seconds(cpu)),
            maximum: None,
        },
    )
    // Whoever started us may already hold a hard limit, which only root can raise.
    .or_else(|_| setrlimit(Resource::Cpu, exactly(cpu_seconds(cpu))))?;
    setrlimit(Resource::Core, exactly(0))?;
    setrlimit(Resource::Fsize, exactly(0))?;
    setrlimit(Resource::Nproc, exactly(0))?;
    setrlimit(Resource::Memlock, exactly(0))?;
    setrlimit(Resource::Nofile, exactly(0))?;
    Ok(())
}

/// Whole seconds, rounded up, and one more: the wall limit should be the one that speaks.
pub(crate) fn cpu_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0) + 1
}
