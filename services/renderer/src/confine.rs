//! Giving up every right before the first outside byte arrives.
//!
//! In this order: no new privileges, resource limits, Landlock (file system and network, where
//! the kernel has it), and last the system-call filter, after which none of the others could be
//! set any more. A kernel without Landlock still leaves no way to a file or a socket, because the
//! filter has no call that makes a descriptor; what is missing is told in the [`Confinement`].

mod landlock;
mod rlimits;
mod seccomp;

use std::io;
use std::time::Duration;

use rustix::process::Signal;

pub(crate) use rlimits::cpu_seconds;

/// The descriptor of the socket to the client: the child's standard input.
pub const SOCKET_FD: i32 = 0;
/// The descriptor of the child's log: its standard error.
pub const LOG_FD: i32 = 2;

/// How far Landlock holds this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// Every right this program knows of is taken away.
    Full,
    /// The kernel knows fewer rights than this program; those it knows are taken away.
    Partial,
    /// The kernel has Landlock, but it was not enabled when it started (`lsm=`).
    NotEnabled,
    /// The kernel was built without Landlock, or is older than 5.13.
    NotImplemented,
}

/// What holds a child. No-new-privileges, the resource limits and the system-call filter are
/// always on (without them [`confine`] fails, and no child runs); Landlock depends on the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Landlock's state.
    pub landlock: Landlock,
    /// Address space of the child, bytes.
    pub memory_bytes: u64,
}

impl Confinement {
    /// What this kernel does not give, and what it means, for `kumo status`; `None` when nothing
    /// is missing.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        match self.landlock {
            Landlock::Full => None,
            Landlock::Partial => Some(
                "landlock is older than this program: the rights it does not know \
                 are denied by the system-call filter alone",
            ),
            Landlock::NotEnabled => Some(
                "landlock is not enabled (boot with lsm=landlock,…): \
                 files and sockets are denied by the system-call filter alone",
            ),
            Landlock::NotImplemented => Some(
                "this kernel has no landlock: \
                 files and sockets are denied by the system-call filter alone",
            ),
        }
    }
}

/// Takes every right from this process that decoding a picture does not need, for ever.
///
/// To be called with one thread, after every descriptor but [`SOCKET_FD`] and [`LOG_FD`] was
/// closed. Afterwards a system call that is not on the list kills the process with `SIGSYS`.
///
/// # Errors
/// When a right cannot be taken away; the process must then end without reading anything.
pub fn confine(memory_bytes: u64, cpu: Duration) -> io::Result<Confinement> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    let landlock = landlock::restrict()?;
    rlimits::restrict(memory_bytes, cpu)?;
    seccomp::restrict()?;
    Ok(Confinement {
        landlock,
        memory_bytes,
    })
}

/// Closes every descriptor but [`SOCKET_FD`] and [`LOG_FD`], whatever the parent left open.
///
/// # Errors
/// When the kernel has no `close_range` (before 5.9).
pub fn close_other_descriptors() -> io::Result<()> {
    close_range(1, 1)?;
    close_range(3, libc::c_uint::MAX)
}

fn close_range(first: libc::c_uint, last: libc::c_uint) -> io::Result<()> {
    // SAFETY: no descriptor in the range is owned by a Rust object of this program: it has just
    // been started and holds only the two that are outside.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
