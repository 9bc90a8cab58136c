//! The state, its indexes and its undo log.
//!
//! Every change goes through one of a few setters, each of which keeps the indexes and tallies in
//! step and logs the value it replaced. Rolling back is the same setters with the logged values,
//! so an index cannot be forgotten there.

mod index;
mod look;

use std::collections::{BTreeMap, BTreeSet};

use super::planted::{Bug, planted};
use super::row::{Holder, Incarnation, Millis, NodeId, QueueId, Ran, TaskId, Token, WatcherId};

/// Bounds on what is kept in memory and given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A queue with fewer ready tasks than this in memory wants a refill. Not less than `grant`, or a
    /// request may get fewer than there are.
    pub window_low: usize,
    /// A queue with more than this lets go of its last ones, down to three quarters.
    pub window_high: usize,
    /// The most leases that one request gets.
    pub grant: usize,
    /// The most leases that a node may hold.
    pub held: usize,
    /// A queue with this many tasks in back-off gives out nothing more until some return.
    pub later: usize,
    /// How many failures of a streak are remembered, to be undone if the node is stopped.
    pub blame: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window_low: 256,
            window_high: 2048,
            grant: 256,
            held: 1024,
            later: 16_384,
            blame: 4096,
        }
    }
}

/// Where the tasks of a queue stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Could be leased now, in memory or not; 0 while the queue is paused.
    pub leasable: u64,
    /// Held by nodes. `leasable + leased` is the queue's demand.
    pub leased: u64,
    /// Waiting for their back-off to end.
    pub backed_off: u64,
    /// Waiting for their source.
    pub parked: u64,
    /// Ready ones that are in memory.
    pub window: u64,
}

/// A point in the undo log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(usize);

/// What orders the tasks of a queue: priority, then age.
pub(super) type Key = (u8, TaskId);

/// A task that the machine knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) queue: QueueId,
    pub(super) priority: u8,
    pub(super) attempts: u8,
    pub(super) crashes: u8,
    pub(super) alone: bool,
    pub(super) place: Place,
}

/// Where a known task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// May be leased.
    Ready { ran: Option<Ran> },
    /// Queued on disk, backed off until `at` in memory.
    Later { at: Millis },
    /// Held.
    Leased(Lease),
    /// Waits for a watcher; looks again at `at`.
    Parked {
        holders: Box<[WatcherId]>,
        at: Option<Millis>,
    },
    /// Failed by a node whose streak is open: kept in mind only because that may be undone.
    Failed { by: NodeId },
}

/// A live lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) token: Token,
    pub(super) holder: Holder,
    pub(super) deadline: Millis,
    pub(super) running: bool,
}

impl Task {
    pub(super) fn key(&self, id: TaskId) -> Key {
        (self.priority, id)
    }

    fn timer(&self) -> Option<Millis> {
        match &self.place {
            Place::Ready { .. } | Place::Failed { .. } => None,
            Place::Later { at } => Some(*at),
            Place::Leased(lease) => Some(lease.deadline),
            Place::Parked { at, .. } => *at,
        }
    }
}

/// A node and its streak of failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) incarnation: Incarnation,
    pub(super) retired: Vec<Incarnation>,
    pub(super) queues: Vec<QueueId>,
    pub(super) stopped: bool,
    pub(super) paused: bool,
    pub(super) streak: Streak,
}

/// Consecutive failures of a node; in memory only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Streak {
    pub(super) failures: u32,
    /// The queues it failed in.
    pub(super) queues: Vec<QueueId>,
    /// Whether another node succeeded in one of them since.
    pub(super) peer_succeeded: bool,
}

/// A queue as a person and the window see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Queue {
    pub(super) paused: bool,
    /// Every queued row with a smaller key is known; `None`: every queued row is.
    pub(super) frontier: Option<Key>,
    /// Queued rows that are not known.
    pub(super) backlog: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    ready: u64,
    later: u64,
    leased: u64,
    parked: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Load {
    held: usize,
    alone: usize,
    blamed: usize,
}

#[derive(Debug)]
enum Undo {
    Task(TaskId, Option<Task>),
    Node(NodeId, Option<Node>),
    Queue(QueueId, Option<Queue>),
    Blame((NodeId, TaskId), Option<u8>),
    Online(WatcherId, bool),
    Counter(u64),
    Stale(u64),
}

/// Everything the machine knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) epoch: u64,
    pub(super) limits: Limits,
    counter: u64,
    stale: u64,
    tasks: BTreeMap<TaskId, Task>,
    nodes: BTreeMap<NodeId, Node>,
    queues: BTreeMap<QueueId, Queue>,
    online: BTreeSet<WatcherId>,
    /// Attempts that a node's open streak charged to a task.
    blame: BTreeMap<(NodeId, TaskId), u8>,
    // Derived from the above.
    ready: BTreeSet<(QueueId, Key)>,
    timers: BTreeSet<(Millis, TaskId)>,
    held: BTreeSet<(NodeId, TaskId)>,
    ran: BTreeSet<(NodeId, TaskId)>,
    waiting: BTreeSet<(WatcherId, TaskId)>,
    tallies: BTreeMap<QueueId, Tally>,
    loads: BTreeMap<NodeId, Load>,
    undo: Vec<Undo>,
}

impl State {
    pub(super) fn empty(epoch: u64, counter: u64, limits: Limits) -> Self {
        Self {
            epoch,
            limits,
            counter,
            stale: 0,
            tasks: BTreeMap::new(),
            nodes: BTreeMap::new(),
            queues: BTreeMap::new(),
            online: BTreeSet::new(),
            blame: BTreeMap::new(),
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            held: BTreeSet::new(),
            ran: BTreeSet::new(),
            waiting: BTreeSet::new(),
            tallies: BTreeMap::new(),
            loads: BTreeMap::new(),
            undo: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, id: TaskId, task: Option<Task>) {
        let old = self.swap_task(id, task);
        self.undo.push(Undo::Task(id, old));
    }

    pub(super) fn put_node(&mut self, id: NodeId, node: Option<Node>) {
        let old = swap(&mut self.nodes, id, node);
        self.undo.push(Undo::Node(id, old));
    }

    pub(super) fn put_queue(&mut self, id: QueueId, queue: Queue) {
        let old = self.queues.insert(id, queue);
        self.undo.push(Undo::Queue(id, old));
    }

    pub(super) fn put_blame(&mut self, key: (NodeId, TaskId), charged: Option<u8>) {
        let old = self.swap_blame(key, charged);
        self.undo.push(Undo::Blame(key, old));
    }

    /// Notes that a watcher is (not) reachable; true if that is news.
    pub(super) fn put_online(&mut self, watcher: WatcherId, online: bool) -> bool {
        let changed = if online {
            self.online.insert(watcher)
        } else {
            self.online.remove(&watcher)
        };
        if changed && !planted(Bug::UndoForgotten) {
            self.undo.push(Undo::Online(watcher, !online));
        }
        changed
    }

    pub(super) fn next_token(&mut self) -> Token {
        self.undo.push(Undo::Counter(self.counter));
        self.counter += 1;
        Token {
            epoch: self.epoch,
            counter: self.counter,
        }
    }

    pub(super) fn count_stale(&mut self) {
        self.undo.push(Undo::Stale(self.stale));
        self.stale += 1;
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.undo.len())
    }

    pub(super) fn settle(&mut self) {
        self.undo.clear();
        // One exceptional transaction must not hold its memory for ever.
        self.undo.shrink_to(4096);
    }

    pub(super) fn rollback_to(&mut self, mark: Mark) {
        while self.undo.len() > mark.0 {
            match self.undo.pop() {
                None => return,
                Some(Undo::Task(id, old)) => drop(self.swap_task(id, old)),
                Some(Undo::Node(id, old)) => drop(swap(&mut self.nodes, id, old)),
                Some(Undo::Queue(id, old)) => drop(swap(&mut self.queues, id, old)),
                Some(Undo::Blame(key, old)) => drop(self.swap_blame(key, old)),
                Some(Undo::Online(watcher, true)) => drop(self.online.insert(watcher)),
                Some(Undo::Online(watcher, false)) => drop(self.online.remove(&watcher)),
                Some(Undo::Counter(old)) => self.counter = old,
                Some(Undo::Stale(old)) => self.stale = old,
            }
        }
    }
}

fn swap<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}
