//! What goes on in the background, between requests and in slices: ends of leases and back-offs,
//! watchers that fell silent, backfills, tags derived anew, the end of what was long in the trash.

use std::time::Duration;

use store_core::{Now, Store};

/// How often somebody's silence is noticed at the latest.
const PULSE_MS: u64 = 5_000;
/// While requests keep coming, upkeep gets one slice in this time.
const UPKEEP_EVERY_MS: u64 = 25;
/// After a failure, such as a full disk, upkeep rests for this long.
const REST_MS: u64 = 5_000;

/// When what is due.
#[derive(Debug)]
pub(super) struct Chores {
    pulse_at: u64,
    /// Set while upkeep may find something: from when on.
    upkeep_at: Option<u64>,
    rests_until: u64,
}

/// What is due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) tick: bool,
    pub(super) upkeep: bool,
    /// Time to look who is still there.
    pub(super) pulse: bool,
}

impl Chores {
    /// Everything is looked at once after the start.
    pub(super) fn new() -> Self {
        Self {
            pulse_at: 0,
            upkeep_at: Some(0),
            rests_until: 0,
        }
    }

    /// What is due; `idle` if no request waits.
    pub(super) fn due(&self, store: &Store, clock: Now, idle: bool) -> Due {
        let now = clock.mono_ms;
        let pulse = self.pulse_at <= now;
        let rested = self.rests_until <= now;
        let stirred = self.upkeep_at.is_some_and(|at| idle || at <= now);
        // An unreadable database is told by the next request.
        let upkeep = stirred || (pulse && store.trash_is_due(clock).unwrap_or(false));
        Due {
            tick: rested && (pulse || store.next_tick().is_some_and(|at| at <= now)),
            upkeep: rested && upkeep,
            pulse,
        }
    }

    /// Something changed that upkeep reacts to: tasks were done, a model was switched on or off.
    pub(super) fn stir(&mut self, now: Now) {
        self.upkeep_at.get_or_insert(now.mono_ms + UPKEEP_EVERY_MS);
    }

    /// What was due has been done; `more` if upkeep found more than one slice holds.
    pub(super) fn done(&mut self, due: Due, more: bool, now: Now) {
        if due.pulse {
            self.pulse_at = now.mono_ms + PULSE_MS;
        }
        if due.upkeep {
            self.upkeep_at = more.then_some(now.mono_ms + UPKEEP_EVERY_MS);
        }
    }

    /// What was due failed.
    pub(super) fn failed(&mut self, now: Now) {
        self.rests_until = now.mono_ms + REST_MS;
    }

    /// How long there is nothing to do.
    pub(super) fn idle_for(&self, store: &Store, waiter: Option<u64>, now: Now) -> Duration {
        let rested = |at: u64| at.max(self.rests_until);
        let upkeep = self.upkeep_at.map(|_| rested(0));
        let tick = store.next_tick().map(rested);
        let next = [Some(self.pulse_at), upkeep, tick, waiter];
        let next = next.into_iter().flatten().min().unwrap_or(self.pulse_at);
        Duration::from_millis(next.saturating_sub(now.mono_ms))
    }
}
