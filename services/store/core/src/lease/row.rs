//! What the database keeps of leases, as plain data: the input of a start, the target of effects.

/// A task's number; never reused, older is smaller.
pub type TaskId = u64;
/// A queue is the tasks of one model revision; this is its row number.
pub type QueueId = u32;
/// A node's row number: the same machine and role across restarts.
pub type NodeId = u32;
/// A watcher's row number.
pub type WatcherId = u32;
/// One start of a node: an opaque number that each start draws anew.
pub type Incarnation = u64;
/// Milliseconds on a clock that only goes forward.
pub type Millis = u64;

/// The proof of one grant. No two grants share one, not even across a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// New at creation of the database and at every restore.
    pub epoch: u64,
    /// Grows with every grant.
    pub counter: u64,
}

/// One process that may hold leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Which node it is.
    pub node: NodeId,
    /// Which start of that node.
    pub incarnation: Incarnation,
}

/// Who was running a task when the lease ran out in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// The process that fell silent.
    pub holder: Holder,
    /// The grant it held, so that a late crash report finds the task.
    pub token: Token,
}

/// A task row, as far as leasing is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The task.
    pub task: TaskId,
    /// Its queue.
    pub queue: QueueId,
    /// Smaller goes first: fresh posts before backfill.
    pub priority: u8,
    /// Leases that counted against it.
    pub attempts: u8,
    /// Crashes it was running in.
    pub crashes: u8,
    /// Whether it may only be leased and run by itself.
    pub alone: bool,
    /// Where it stands.
    pub state: RowState,
}

/// Where a task stands on disk. Done is the absence of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowState {
    /// Waiting for a node.
    Queued {
        /// Set while its last holder may yet turn out to have crashed on it.
        ran: Option<Ran>,
    },
    /// Held by a node.
    Leased {
        /// Who holds it.
        holder: Holder,
        /// The grant.
        token: Token,
        /// Whether it is in the batch that is being run.
        running: bool,
    },
    /// Waiting for a watcher that holds the post.
    Parked {
        /// The watchers that hold it; none means that nobody knows.
        holders: Vec<WatcherId>,
    },
    /// Given up until a person retries it.
    Failed,
}

/// What is durable of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// Its process of today.
    pub incarnation: Incarnation,
    /// Processes before it, newest last, at most four: they get nothing any more.
    pub retired: Vec<Incarnation>,
    /// The queues that it serves.
    pub queues: Vec<QueueId>,
    /// Stopped for failing everything, until a new process or a person.
    pub stopped: bool,
    /// Paused by a person, until resumed by one.
    pub paused: bool,
}

/// What is durable of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRow {
    /// The queue.
    pub queue: QueueId,
    /// Paused by a person.
    pub paused: bool,
    /// How many rows of it are [`RowState::Queued`].
    pub queued: u64,
}

/// What a start reads from the database.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// The epoch for grants from now on.
    pub epoch: u64,
    /// The counter of the last grant.
    pub counter: u64,
    /// Every node.
    pub nodes: Vec<NodeRow>,
    /// Every queue that has rows or is paused.
    pub queues: Vec<QueueRow>,
    /// Every row that is leased, parked, or queued with `ran` set; plain queued rows come by refill.
    pub rows: Vec<Row>,
}
