//! Proof that `confine` holds: this program starts itself once for each forbidden act, calls the
//! renderer's own `confine`, tries the act, and must be stopped by the kernel. Each act is first
//! shown to succeed without confinement, so a probe that tests nothing fails.
//!
//! It has its own `main`, because a probe must be a process with one thread.

#![expect(
    clippy::print_stdout,
    reason = "test runners ask this program for its list"
)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use kumo_renderer::confine::confine;

const MEMORY: u64 = 640 << 20;
const NAME: &str = "every_forbidden_act_is_stopped";
const PROBE: &str = "KUMO_PROBE";
const CONFINED: &str = "KUMO_PROBE_CONFINED";

/// What becomes of a confined process that tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Killed(i32),
    Refused,
    /// Not an act against anyone: what decoding relies on must still work.
    Allowed,
}

type Act = fn() -> bool;

const ACTS: &[(&str, Act, Fate)] = &[
    ("open", open, Fate::Killed(libc::SIGSYS)),
    ("socket", socket, Fate::Killed(libc::SIGSYS)),
    ("socketpair", socketpair, Fate::Killed(libc::SIGSYS)),
    ("execve", execve, Fate::Killed(libc::SIGSYS)),
    ("fork", fork, Fate::Killed(libc::SIGSYS)),
    ("thread", thread, Fate::Killed(libc::SIGSYS)),
    ("ptrace", ptrace, Fate::Killed(libc::SIGSYS)),
    ("kill", kill, Fate::Killed(libc::SIGSYS)),
    ("prctl", prctl, Fate::Killed(libc::SIGSYS)),
    ("setrlimit", setrlimit, Fate::Killed(libc::SIGSYS)),
    ("memfd", memfd, Fate::Killed(libc::SIGSYS)),
    ("dup", dup, Fate::Killed(libc::SIGSYS)),
    ("code", code, Fate::Killed(libc::SIGSYS)),
    (
        "another descriptor",
        another_descriptor,
        Fate::Killed(libc::SIGSYS),
    ),
    ("2 GB", two_gigabytes, Fate::Refused),
    (
        "2 GB or die",
        two_gigabytes_or_die,
        Fate::Killed(libc::SIGABRT),
    ),
    ("caught panic", caught_panic, Fate::Allowed),
    (
        "memory and its return",
        memory_and_its_return,
        Fate::Allowed,
    ),
    ("endless loop", endless_loop, Fate::Killed(libc::SIGXCPU)),
];

fn main() -> ExitCode {
    if let Ok(name) = std::env::var(PROBE) {
        return probe(&name);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("{NAME}: test");
        }
        return ExitCode::SUCCESS;
    }
    let named: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    if named.is_empty() || named.iter().any(|name| NAME.contains(name.as_str())) {
        every_forbidden_act_is_stopped();
    }
    ExitCode::SUCCESS
}

fn every_forbidden_act_is_stopped() {
    for (name, _, fate) in ACTS {
        // Left alone, this one would never end.
        if *name != "endless loop" {
            let free = run(name, false);
            assert_eq!(free.code(), Some(0), "{name} works unconfined: {free}");
        }
        let confined = run(name, true);
        match fate {
            Fate::Killed(signal) => assert_eq!(confined.signal(), Some(*signal), "{name}"),
            Fate::Allowed => assert_eq!(confined.code(), Some(0), "{name}: {confined}"),
            Fate::Refused => assert_eq!(confined.code(), Some(1), "{name}: {confined}"),
        }
    }
}

fn run(name: &str, confined: bool) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
    // Without an environment, as the pool starts its children: RUST_BACKTRACE would open files.
    command.env_clear().env(PROBE, name).stdin(Stdio::null());
    if confined {
        command.env(CONFINED, "1");
    }
    // The log is a pipe, as the pool makes it: no file may grow, so a log file would be fatal.
    command.output().expect("a probe starts").status
}

/// 0: the act succeeded; 1: it was refused; anything else is the kernel's doing.
fn probe(name: &str) -> ExitCode {
    let (_, act, _) = ACTS
        .iter()
        .find(|(known, _, _)| *known == name)
        .expect("the probe is one of the acts");
    if std::env::var_os(CONFINED).is_some() {
        // One second ends the loop; what is to succeed may take longer on a busy machine.
        let cpu = match name {
            "endless loop" => Duration::ZERO,
            _ => Duration::from_secs(30),
        };
        confine(MEMORY, cpu).expect("this kernel confines");
    }
    if act() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

fn open() -> bool {
    std::fs::File::open("/proc/self/status").is_ok()
}

fn socket() -> bool {
    std::net::UdpSocket::bind("127.0.0.1:0").is_ok()
}

fn socketpair() -> bool {
    std::os::unix::net::UnixStream::pair().is_ok()
}

fn execve() -> bool {
    let arguments = [c"/bin/true".as_ptr(), std::ptr::null()];
    // SAFETY: path and arguments are terminated, and so is the list of them.
    unsafe { libc::execv(c"/bin/true".as_ptr(), arguments.as_ptr()) == 0 }
}

fn fork() -> bool {
    // SAFETY: one thread; the child does nothing but end.
    match unsafe { libc::fork() } {
        // SAFETY: ends the child at once, without running anything of the parent's.
        0 => unsafe { libc::_exit(0) },
        child => child > 0,
    }
}

fn thread() -> bool {
    std::thread::Builder::new()
        .spawn(|| {})
        .is_ok_and(|it| it.join().is_ok())
}

fn ptrace() -> bool {
    // SAFETY: asks to be traced by the parent; takes no pointers.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == 0 }
}

fn kill() -> bool {
    // SAFETY: signal 0 only asks whether the parent could be signalled.
    unsafe { libc::kill(libc::getppid(), 0) == 0 }
}

fn prctl() -> bool {
    // SAFETY: reads a flag; takes no pointers.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) >= 0 }
}

fn setrlimit() -> bool {
    let limit = libc::rlimit {
        rlim_cur: 4 << 30,
        rlim_max: 4 << 30,
    };
    // SAFETY: the limit is a live local.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) == 0 }
}

fn memfd() -> bool {
    // SAFETY: the name is terminated.
    unsafe { libc::memfd_create(c"probe".as_ptr(), 0) >= 0 }
}

fn dup() -> bool {
    // SAFETY: makes a new descriptor that nobody owns; the process ends after this.
    unsafe { libc::dup(2) >= 0 }
}

fn code() -> bool {
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh anonymous mapping that nothing else refers to.
    unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, flags, -1, 0) != libc::MAP_FAILED }
}

fn another_descriptor() -> bool {
    // SAFETY: writes nothing.
    unsafe { libc::write(1, [0_u8; 0].as_ptr().cast(), 0) == 0 }
}

fn two_gigabytes() -> bool {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(2 << 30).is_ok() && std::hint::black_box(&bytes).capacity() > 0
}

fn two_gigabytes_or_die() -> bool {
    let bytes: Vec<u8> = Vec::with_capacity(2 << 30);
    std::hint::black_box(&bytes).capacity() > 0
}

fn caught_panic() -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    std::panic::catch_unwind(|| Vec::<u8>::new()[std::hint::black_box(0)]).is_err()
}

fn memory_and_its_return() -> bool {
    (0..30).all(|power| {
        let mut bytes: Vec<u8> = Vec::new();
        let reserved = bytes.try_reserve_exact(1 << power).is_ok();
        bytes.resize(1 << power, 1);
        // Smaller in place, and larger again elsewhere.
        bytes.truncate(1 << (power / 2));
        bytes.shrink_to_fit();
        reserved && std::hint::black_box(&bytes).iter().all(|byte| *byte == 1)
    })
}

fn endless_loop() -> bool {
    loop {
        std::hint::black_box(0);
    }
}
