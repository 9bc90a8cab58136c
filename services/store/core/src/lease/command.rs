//! What can be asked of the machine, and what it answers.

use super::row::{Holder, NodeId, QueueId, Row, TaskId, Token, WatcherId};

/// One task and the grant by which the caller claims to hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The task.
    pub task: TaskId,
    /// The grant.
    pub token: Token,
}

/// Why a node could not do a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It will never work: a reason code such as `DECODE_FAILED`.
    Permanent(String),
    /// It may work later: a reason code such as `DEADLINE`.
    Transient(String),
    /// Nobody who holds the post could be reached.
    SourceUnavailable {
        /// The watchers that hold the post.
        holders: Vec<WatcherId>,
    },
}

/// One step of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A node says who it is and which queues it serves; repeatable.
    Register {
        /// The node and this start of it.
        holder: Holder,
        /// The queues that it serves.
        queues: Vec<QueueId>,
    },
    /// A node asks for work.
    Lease {
        /// Who asks.
        holder: Holder,
        /// From which queues; those it did not register for are ignored.
        queues: Vec<QueueId>,
        /// How many at most.
        max: usize,
    },
    /// A node says exactly which of its leases are on the device now; all others are not.
    MarkRunning {
        /// Who runs.
        holder: Holder,
        /// What is being run.
        claims: Vec<Claim>,
    },
    /// A node is alive and still wants these.
    Renew {
        /// Who holds them.
        holder: Holder,
        /// What to extend.
        claims: Vec<Claim>,
    },
    /// A node gives tasks back undone, as at shutdown.
    Release {
        /// Who held them.
        holder: Holder,
        /// What it gives back.
        claims: Vec<Claim>,
    },
    /// A node has a result.
    Complete {
        /// Who did it.
        holder: Holder,
        /// What was done.
        claim: Claim,
        /// The token kept in the result row, if there is one.
        recorded: Option<Token>,
    },
    /// A node could not do a task.
    Fail {
        /// Who tried.
        holder: Holder,
        /// What failed.
        claim: Claim,
        /// Why.
        cause: Cause,
    },
    /// A supervisor says that the process crashed while it ran these.
    CrashReport {
        /// Which process.
        holder: Holder,
        /// What it was given to run.
        claims: Vec<Claim>,
    },
    /// Time has passed: expire leases, end back-offs and parking.
    Tick {
        /// How many tasks to move at most, so that one transaction stays short.
        limit: usize,
    },
    /// A watcher is reachable.
    SourceOnline {
        /// Which one.
        watcher: WatcherId,
    },
    /// A watcher is no longer believed reachable.
    SourceOffline {
        /// Which one.
        watcher: WatcherId,
    },
    /// Another place of a task's picture was found: it need not wait for those it is parked for.
    SourceFound {
        /// The task, parked or not.
        task: TaskId,
    },
    /// New tasks, inserted as queued rows in this transaction.
    Offer {
        /// Their rows, all [`super::RowState::Queued`].
        rows: Vec<Row>,
    },
    /// Queued rows from disk, the answer to [`super::Leases::wants`].
    Refill {
        /// Whose rows.
        queue: QueueId,
        /// The rows in (priority, task) order.
        rows: Vec<Row>,
        /// Whether no queued rows lie behind them.
        exhausted: bool,
    },
    /// A person wants a failed task tried again.
    Retry {
        /// Its row as read in this transaction.
        row: Row,
    },
    /// The task is no longer wanted: its post was purged or its model switched off.
    Cancel {
        /// Its row as read in this transaction.
        row: Row,
    },
    /// A person pauses or resumes a queue.
    PauseQueue {
        /// Which one.
        queue: QueueId,
        /// Pause, or resume.
        paused: bool,
    },
    /// A person pauses or resumes a node; resuming also lifts a stop.
    PauseNode {
        /// Which one.
        node: NodeId,
        /// Pause, or resume.
        paused: bool,
    },
    /// A node was not seen for long; refused while it holds leases.
    ForgetNode {
        /// Which one.
        node: NodeId,
    },
}

/// A lease, as told to its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The task.
    pub task: TaskId,
    /// Its queue.
    pub queue: QueueId,
    /// The proof to send with every word about it.
    pub token: Token,
    /// Which attempt this is, from 1.
    pub attempt: u8,
    /// Run it as a batch of one.
    pub alone: bool,
}

/// Why a node got nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Register first.
    Unregistered,
    /// A newer process of this node has registered: this one should leave.
    StaleIncarnation,
    /// It failed everything while others succeeded.
    Stopped,
    /// A person paused it.
    Paused,
    /// It holds leases, so it cannot be forgotten.
    HoldsLeases,
}

/// What became of one claim in a renewal, a running mark or a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The claim is good and was acted on.
    Extended,
    /// The lease is gone: drop the task.
    Lost,
}

/// What became of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Store the result with this token, in this transaction.
    Accepted,
    /// It was stored before: answer OK, change nothing.
    Repeated,
    /// The lease was lost: change nothing.
    Stale,
}

/// What became of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It will be tried again after a back-off.
    BackedOff,
    /// It waits for its source.
    Parked,
    /// It is given up.
    Failed,
    /// The node was stopped, and what it failed was queued again.
    NodeStopped,
    /// The lease was lost: nothing changed.
    Stale,
}

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reply {
    /// Nothing to say.
    #[default]
    Done,
    /// The command was refused and changed nothing.
    Refused(Refusal),
    /// What was leased, possibly nothing.
    Leased(Vec<Grant>),
    /// One answer for each claim, in order.
    Claims(Vec<Renewal>),
    /// To [`Command::Complete`].
    Completed(Completion),
    /// To [`Command::Fail`].
    Failed(Verdict),
    /// To [`Command::Tick`]: whether more is due.
    Ticked {
        /// Tick again with the same `now`.
        more: bool,
    },
    /// To [`Command::Retry`] and [`Command::Cancel`]: whether there was something to act on.
    Found(bool),
}
