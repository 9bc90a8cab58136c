//! The lease protocol as a pure state machine: `(state, command, now) -> (state, effects)`.
//!
//! No clock, no I/O and no randomness live in here. The caller passes a monotonic `now`, persists
//! the [`Effect`]s of a command in the transaction that the command belongs to, and hands the
//! [`Notice`]s on after COMMIT. `task.rs` is that caller.
//!
//! # What is promised
//! * A task is leased to at most one incarnation of one node; whatever the holder says is fenced
//!   by the [`Token`] of its grant, and a late word changes nothing.
//! * Grants are durable, deadlines are not: after a restart each live lease gets a full [`TTL`].
//! * Silence is no crash. Only a task that was *running* when its node crashed, or came back as
//!   another process, is a suspect: it is leased alone, and its second crash is its last.
//! * A source that is away costs nothing: the task is parked until a holder of the post is back.
//! * A node that fails everything while others succeed is stopped, and what it failed is undone.
//!
//! # What is in memory
//! Leased, parked and backed-off tasks, those that ran when their node fell silent, and per queue
//! a window of ready ones. The rest of a backlog stays in the database and comes in by
//! [`Command::Refill`] when [`Leases::wants`] says so. A ready task costs 175 bytes with
//! its indexes, a leased one 216 (measured at 200,000); a queue's window and back-offs are
//! bounded by [`Limits`].
//!
//! # Undo
//! Many requests share one transaction, each under a savepoint. [`Leases::mark`] before a request,
//! [`Leases::rollback_to`] when it (or the COMMIT) failed, [`Leases::settle`] after COMMIT.

mod command;
mod effect;
mod finish;
mod grant;
mod load;
mod node;
mod planted;
mod row;
mod state;
mod streak;
mod time;
mod window;

#[cfg(test)]
mod tests;

pub use command::{Cause, Claim, Command, Completion, Grant, Refusal, Renewal, Reply, Verdict};
pub use effect::{Effect, Notice, Outcome, POISON};
pub use row::{
    Holder, Incarnation, Millis, NodeId, NodeRow, QueueId, QueueRow, Ran, Row, RowState, Saved,
    TaskId, Token, WatcherId,
};
pub use state::{Counts, Limits, Mark};
pub use window::Wanted;

use state::State;

/// How long a lease lives without a renewal, in milliseconds.
pub const TTL: Millis = 60_000;
/// How often a node should renew what it holds, in milliseconds.
pub const RENEW_EVERY: Millis = 20_000;
/// How long a task stays parked while a holder of its post is believed online.
pub const PARK: Millis = 60_000;
/// The first back-off after a transient failure; each further one is [`BACKOFF_FACTOR`] times as
/// long. With [`ATTEMPTS`] of 5 that is 1, 8, 64 and 512 s: ten minutes from the first attempt to
/// the last, so that a network or a disk may be away for a while before a task is given up.
pub const BACKOFF_FIRST: Millis = 1_000;
/// How much longer each further back-off is.
pub const BACKOFF_FACTOR: Millis = 8;
/// The longest back-off.
pub const BACKOFF_LAST: Millis = 600_000;
/// A transient failure of this attempt is final.
pub const ATTEMPTS: u8 = 5;
/// A task that was running in this many crashes is poison.
pub const CRASHES: u8 = 2;
/// A node that fails this many in a row, while another succeeds, is stopped.
pub const STREAK: u32 = 8;

/// The state machine: every lease of one database.
#[derive(Debug)]
pub struct Leases {
    state: State,
}

impl Leases {
    /// A machine over an empty database that was created with `epoch`.
    pub fn new(epoch: u64, limits: Limits) -> Self {
        Self::load(
            Saved {
                epoch,
                ..Saved::default()
            },
            limits,
            0,
        )
    }

    /// A machine over what the database holds: after a restart with the epoch it had, after a
    /// restore with a new one. Live leases get a full [`TTL`] from `now`.
    pub fn load(saved: Saved, limits: Limits, now: Millis) -> Self {
        Self {
            state: State::load(saved, limits, now),
        }
    }

    /// Carries out one command at `now` (milliseconds of a monotonic clock, any origin).
    pub fn apply(&mut self, command: Command, now: Millis) -> Outcome {
        let mut out = Outcome::default();
        let state = &mut self.state;
        out.reply = match command {
            Command::Register { holder, queues } => state.register(holder, queues, &mut out),
            Command::Lease {
                holder,
                queues,
                max,
            } => state.lease(holder, &queues, max, now, &mut out),
            Command::MarkRunning { holder, claims } => {
                state.mark_running(holder, &claims, &mut out)
            }
            Command::Renew { holder, claims } => state.renew(holder, &claims, now, &mut out),
            Command::Release { holder, claims } => state.release(holder, &claims, &mut out),
            Command::Complete {
                holder,
                claim,
                recorded,
            } => state.complete(holder, claim, recorded, &mut out),
            Command::Fail {
                holder,
                claim,
                cause,
            } => state.fail(holder, claim, cause, now, &mut out),
            Command::CrashReport { holder, claims } => {
                state.crash_report(holder, &claims, &mut out)
            }
            Command::Tick { limit } => state.tick(limit, now, &mut out),
            Command::SourceOnline { watcher } => state.source_online(watcher, now),
            Command::SourceOffline { watcher } => state.source_offline(watcher),
            Command::SourceFound { task } => state.source_found(task, &mut out),
            Command::Offer { rows } => state.offer(rows, &mut out),
            Command::Refill {
                queue,
                rows,
                exhausted,
            } => state.refill(queue, rows, exhausted, &mut out),
            Command::Retry { row } => state.retry(&row, &mut out),
            Command::Cancel { row } => state.cancel(&row, &mut out),
            Command::PauseQueue { queue, paused } => state.pause_queue(queue, paused, &mut out),
            Command::PauseNode { node, paused } => state.pause_node(node, paused, &mut out),
            Command::ForgetNode { node } => state.forget_node(node, &mut out),
        };
        out
    }

    /// A point to roll back to. Any number may be open; settling ends them all.
    pub fn mark(&self) -> Mark {
        self.state.mark()
    }

    /// Takes back every change since `mark`, newest first.
    pub fn rollback_to(&mut self, mark: Mark) {
        self.state.rollback_to(mark);
    }

    /// Forgets how to roll back: call it after COMMIT.
    pub fn settle(&mut self) {
        self.state.settle();
    }

    /// Which rows of `queue` should be read from the database and offered as
    /// [`Command::Refill`], if its window runs low. Ask before leasing from it.
    pub fn wants(&self, queue: QueueId) -> Option<Wanted> {
        self.state.wants(queue)
    }

    /// When the next [`Command::Tick`] has something to do.
    pub fn next_due(&self) -> Option<Millis> {
        self.state.next_due()
    }

    /// How many tasks of `queue` stand where, in constant time.
    pub fn counts(&self, queue: QueueId) -> Counts {
        self.state.counts(queue)
    }

    /// The queues that are known, in order.
    pub fn queues(&self) -> impl Iterator<Item = QueueId> + '_ {
        self.state.queue_ids()
    }

    /// What is known of a node, as its durable row.
    pub fn node(&self, node: NodeId) -> Option<NodeRow> {
        self.state.node_row(node)
    }

    /// How many leases a node holds.
    pub fn held(&self, node: NodeId) -> usize {
        self.state.held_by(node)
    }

    /// How many completions and failures came with a token that was no longer good.
    pub fn stale(&self) -> u64 {
        self.state.stale()
    }
}
