//! What a command changes on disk, and whom it concerns besides.

use super::command::Reply;
use super::planted::{Bug, planted};
use super::row::{Holder, NodeId, NodeRow, QueueId, Ran, TaskId, Token, WatcherId};

/// The reason code of a task that crashed its node twice.
pub const POISON: &str = "POISON";

/// One durable change; apply them in order, in the command's transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The row is leased, not running; whatever `ran` it had is cleared.
    Granted {
        /// The task.
        task: TaskId,
        /// The grant.
        token: Token,
        /// Who holds it.
        holder: Holder,
        /// Attempts, this one included.
        attempts: u8,
        /// Whether it must run by itself.
        alone: bool,
    },
    /// The leased row is (or is no longer) in the batch on the device.
    Running {
        /// The task.
        task: TaskId,
        /// On the device or not.
        running: bool,
    },
    /// The row is queued.
    Queued {
        /// The task.
        task: TaskId,
        /// Attempts that count.
        attempts: u8,
        /// Crashes that count.
        crashes: u8,
        /// Whether it is a suspect.
        alone: bool,
        /// Who may yet turn out to have crashed on it.
        ran: Option<Ran>,
        /// Why it came back, where a node said so.
        reason: Option<String>,
    },
    /// The row is parked.
    Parked {
        /// The task.
        task: TaskId,
        /// Attempts that count.
        attempts: u8,
        /// The watchers it waits for.
        holders: Vec<WatcherId>,
    },
    /// The row is failed, with its reason, until a person retries it.
    Failed {
        /// The task.
        task: TaskId,
        /// Attempts that counted.
        attempts: u8,
        /// Crashes that counted.
        crashes: u8,
        /// Whether a retry must run by itself.
        alone: bool,
        /// A reason code.
        reason: String,
    },
    /// Only the attempts of the row changed: a stopped node's failures no longer count.
    Refunded {
        /// The task.
        task: TaskId,
        /// Attempts that count.
        attempts: u8,
    },
    /// The row is deleted; the result row, written beside it, keeps `token`.
    Done {
        /// The task.
        task: TaskId,
        /// The grant that did it.
        token: Token,
    },
    /// The row is deleted without a result.
    Cancelled {
        /// The task.
        task: TaskId,
    },
    /// The counter of the last grant.
    Counter(u64),
    /// The node's row, new or changed.
    Node(NodeRow),
    /// The node's row is deleted.
    NodeForgotten(NodeId),
    /// The queue is paused or not.
    QueuePaused {
        /// The queue.
        queue: QueueId,
        /// Paused or not.
        paused: bool,
    },
}

/// News for others in this process, to be passed on after COMMIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The queue has ready tasks: wake those who wait for some.
    Wake(QueueId),
    /// The node was stopped for failing everything.
    NodeStopped {
        /// The node.
        node: NodeId,
        /// How many it failed in a row.
        failures: u32,
    },
    /// The task was running in a crash.
    Suspected {
        /// The task.
        task: TaskId,
        /// How often by now; at [`super::CRASHES`] it is failed as poison.
        crashes: u8,
    },
}

/// Everything that one command brought about.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For the caller of the RPC.
    pub reply: Reply,
    /// For the database.
    pub effects: Vec<Effect>,
    /// For this process.
    pub notices: Vec<Notice>,
}

impl Outcome {
    /// Wakes the waiters of a queue, once however often it is said.
    pub(super) fn wake(&mut self, queue: QueueId) {
        let notice = Notice::Wake(queue);
        if !self.notices.contains(&notice) && !planted(Bug::WakeForgotten) {
            self.notices.push(notice);
        }
    }
}
