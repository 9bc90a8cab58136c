//! Faults that the tests plant in the machine, to prove that they would be noticed.
//!
//! In shipped builds [`planted`] is a constant `false` and the branches vanish.

/// One planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bug {
    /// A claim is good whatever its token.
    NoFencing,
    /// A released lease still counts as an attempt.
    RefundForgotten,
    /// Leases loaded from disk are due at once.
    ShortTtlAfterRestart,
    /// A suspect is leased together with others.
    SuspectInBatch,
    /// A completion that was stored before is called stale.
    RepeatRejected,
    /// What runs is known in memory only.
    RunningNotDurable,
    /// A watcher's return unparks nothing.
    ParkedForever,
    /// A running lease that expires makes a suspect.
    SilenceIsCrash,
    /// A retired incarnation is served.
    OldIncarnationServed,
    /// The grant counter is not persisted.
    CounterNotDurable,
    /// A stopped node's failures stay failed.
    StreakNotRedriven,
    /// The same incarnation's return does not clear what it ran.
    RanNotCleared,
    /// A rollback forgets which watchers were online.
    UndoForgotten,
    /// Nobody is told of ready tasks.
    WakeForgotten,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants `bug` for this thread, or removes it.
#[cfg(test)]
pub(super) fn plant(bug: Option<Bug>) {
    PLANTED.with(|cell| cell.set(bug));
}

/// Whether `bug` is planted.
#[cfg(test)]
pub(super) fn planted(bug: Bug) -> bool {
    PLANTED.with(|cell| cell.get() == Some(bug))
}

/// Whether `bug` is planted: never, outside tests.
#[cfg(not(test))]
#[inline(always)]
pub(super) const fn planted(_bug: Bug) -> bool {
    false
}
