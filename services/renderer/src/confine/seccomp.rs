//! The system-call filter: a list of what decoding needs; anything else kills the process.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::{LOG_FD, SOCKET_FD};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that are harmless with any argument: memory, clocks, locks, signals to nobody, the end.
const PLAIN: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Installs the filter for this thread, which must be the only one.
pub(super) fn restrict() -> io::Result<()> {
    let program = program().map_err(|error| io::Error::other(format!("seccomp: {error}")))?;
    seccompiler::apply_filter(&program)
        .map_err(|error| io::Error::other(format!("seccomp: {error}")))
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(
        rules()?,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

fn rules() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = PLAIN.iter().map(|call| (*call, Vec::new())).collect();
    let socket = descriptor(SOCKET_FD);
    let log = descriptor(LOG_FD);
    rules.insert(libc::SYS_read, vec![only(vec![equal(0, socket)?])?]);
    rules.insert(
        libc::SYS_write,
        vec![only(vec![equal(0, socket)?])?, only(vec![equal(0, log)?])?],
    );
    // Memory may grow but never hold new code.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![only(vec![not_executable()?])?]);
    }
    // abort() signals its own process, and only with SIGABRT.
    rules.insert(
        libc::SYS_tgkill,
        vec![only(vec![
            equal(0, u64::from(std::process::id()))?,
            equal(2, descriptor(libc::SIGABRT))?,
        ])?],
    );
    Ok(rules)
}

fn descriptor(number: i32) -> u64 {
    u64::from(number.unsigned_abs())
}

fn only(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions)
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn not_executable() -> Result<SeccompCondition, seccompiler::BackendError> {
    let executable = descriptor(libc::PROT_EXEC);
    SeccompCondition::new(
        2,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(executable),
        0,
    )
}
