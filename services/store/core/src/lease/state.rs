//! The state, its indexes and its undo log.
//!
//! Every change goes through one of a few setters, each of which keeps the indexes and tallies in
//! step and logs the value it replaced. Rolling back is the same setters with the logged values,
//! so an index cannot be forgotten there.

use std::collections::{BTreeMap, BTreeSet};

use super::command::Claim;
use super::row::{
    Holder, Incarnation, Millis, NodeId, NodeRow, QueueId, Ran, TaskId, Token, WatcherId,
};

/// Bounds on what is kept in memory and given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A queue with fewer ready tasks than this in memory wants a refill.
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

    // --- setters: the only places that change anything ---

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
        if changed {
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

    // --- undo ---

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

    // --- readers ---

    pub(super) fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(super) fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn queue(&self, id: QueueId) -> Queue {
        self.queues.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn queue_ids(&self) -> impl Iterator<Item = QueueId> + '_ {
        self.queues.keys().copied()
    }

    pub(super) fn counter(&self) -> u64 {
        self.counter
    }

    pub(super) fn stale(&self) -> u64 {
        self.stale
    }

    pub(super) fn is_online(&self, watcher: WatcherId) -> bool {
        self.online.contains(&watcher)
    }

    pub(super) fn held_by(&self, node: NodeId) -> usize {
        self.loads.get(&node).map_or(0, |load| load.held)
    }

    pub(super) fn holds_alone(&self, node: NodeId) -> bool {
        self.loads.get(&node).is_some_and(|load| load.alone > 0)
    }

    pub(super) fn blamed_on(&self, node: NodeId) -> usize {
        self.loads.get(&node).map_or(0, |load| load.blamed)
    }

    pub(super) fn blame(&self, key: (NodeId, TaskId)) -> Option<u8> {
        self.blame.get(&key).copied()
    }

    pub(super) fn has_blame(&self) -> bool {
        !self.blame.is_empty()
    }

    pub(super) fn blames_of(&self, node: NodeId) -> Vec<(TaskId, u8)> {
        let range = (node, 0)..=(node, TaskId::MAX);
        self.blame
            .range(range)
            .map(|(&(_, id), &charged)| (id, charged))
            .collect()
    }

    pub(super) fn leases_of(&self, node: NodeId) -> Vec<TaskId> {
        of(&self.held, node)
    }

    pub(super) fn ran_by(&self, node: NodeId) -> Vec<TaskId> {
        of(&self.ran, node)
    }

    pub(super) fn waiting_for(&self, watcher: WatcherId) -> Vec<TaskId> {
        of(&self.waiting, watcher)
    }

    /// The ready tasks of a queue that may be given out, in order.
    pub(super) fn ready(&self, queue: QueueId) -> impl DoubleEndedIterator<Item = Key> + '_ {
        let end = self.queue(queue).frontier.unwrap_or((u8::MAX, TaskId::MAX));
        self.ready
            .range((queue, (0, 0))..(queue, end))
            .map(|&(_, key)| key)
    }

    /// All ready tasks of a queue, in order.
    pub(super) fn window(&self, queue: QueueId) -> impl DoubleEndedIterator<Item = Key> + '_ {
        self.ready
            .range((queue, (0, 0))..=(queue, (u8::MAX, TaskId::MAX)))
            .map(|&(_, key)| key)
    }

    pub(super) fn next_timer(&self) -> Option<(Millis, TaskId)> {
        self.timers.first().copied()
    }

    pub(super) fn next_due(&self) -> Option<Millis> {
        self.next_timer().map(|(at, _)| at)
    }

    pub(super) fn counts(&self, id: QueueId) -> Counts {
        let queue = self.queue(id);
        let tally = self.tallies.get(&id).copied().unwrap_or_default();
        Counts {
            leasable: if queue.paused {
                0
            } else {
                tally.ready + queue.backlog
            },
            leased: tally.leased,
            backed_off: tally.later,
            parked: tally.parked,
            window: tally.ready,
        }
    }

    pub(super) fn node_row(&self, id: NodeId) -> Option<NodeRow> {
        self.nodes.get(&id).map(|node| NodeRow {
            node: id,
            incarnation: node.incarnation,
            retired: node.retired.clone(),
            queues: node.queues.clone(),
            stopped: node.stopped,
            paused: node.paused,
        })
    }

    /// The task and its lease, if `claim` is good and `holder` holds it.
    pub(super) fn claimed(&self, holder: Holder, claim: Claim) -> Option<(Task, Lease)> {
        use super::planted::{Bug, planted};
        let task = self.tasks.get(&claim.task)?;
        let Place::Leased(lease) = &task.place else {
            return None;
        };
        let fenced = lease.token != claim.token && !planted(Bug::NoFencing);
        (lease.holder == holder && !fenced).then(|| (task.clone(), lease.clone()))
    }

    // --- upkeep of what is derived ---

    fn swap_task(&mut self, id: TaskId, task: Option<Task>) -> Option<Task> {
        let old = self.tasks.remove(&id);
        if let Some(old) = &old {
            self.index(id, old, false);
        }
        if let Some(task) = task {
            self.index(id, &task, true);
            self.tasks.insert(id, task);
        }
        old
    }

    fn index(&mut self, id: TaskId, task: &Task, present: bool) {
        if let Some(at) = task.timer() {
            member(&mut self.timers, (at, id), present);
        }
        let tally = self.tallies.entry(task.queue).or_default();
        match &task.place {
            Place::Ready { ran } => {
                step(&mut tally.ready, present);
                member(&mut self.ready, (task.queue, task.key(id)), present);
                if let Some(ran) = ran {
                    member(&mut self.ran, (ran.holder.node, id), present);
                }
            }
            Place::Later { .. } => step(&mut tally.later, present),
            Place::Leased(lease) => {
                step(&mut tally.leased, present);
                let node = lease.holder.node;
                member(&mut self.held, (node, id), present);
                self.change_load(node, |load| {
                    bump(&mut load.held, present);
                    if task.alone {
                        bump(&mut load.alone, present);
                    }
                });
            }
            Place::Parked { holders, .. } => {
                step(&mut tally.parked, present);
                for &watcher in holders {
                    member(&mut self.waiting, (watcher, id), present);
                }
            }
            Place::Failed { .. } => {}
        }
        if self.tallies.get(&task.queue) == Some(&Tally::default()) {
            self.tallies.remove(&task.queue);
        }
    }

    fn swap_blame(&mut self, key: (NodeId, TaskId), charged: Option<u8>) -> Option<u8> {
        let present = charged.is_some();
        let old = swap(&mut self.blame, key, charged);
        if old.is_some() != present {
            self.change_load(key.0, |load| bump(&mut load.blamed, present));
        }
        old
    }

    fn change_load(&mut self, node: NodeId, change: impl FnOnce(&mut Load)) {
        let load = self.loads.entry(node).or_default();
        change(load);
        if *load == Load::default() {
            self.loads.remove(&node);
        }
    }
}

fn swap<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

fn member<T: Ord>(set: &mut BTreeSet<T>, item: T, present: bool) {
    if present {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}

fn step(count: &mut u64, up: bool) {
    if up {
        *count += 1;
    } else {
        *count = count.saturating_sub(1);
    }
}

fn bump(count: &mut usize, up: bool) {
    if up {
        *count += 1;
    } else {
        *count = count.saturating_sub(1);
    }
}

fn of(set: &BTreeSet<(u32, TaskId)>, owner: u32) -> Vec<TaskId> {
    set.range((owner, 0)..=(owner, TaskId::MAX))
        .map(|&(_, id)| id)
        .collect()
}

/// Everything that a rollback must restore, for comparing. The undo log itself is left out.
#[cfg(test)]
impl State {
    pub(super) fn snapshot(&self) -> String {
        format!(
            "{:?}",
            (
                (
                    self.epoch,
                    self.counter,
                    self.stale,
                    &self.tasks,
                    &self.nodes,
                    &self.queues
                ),
                (
                    &self.online,
                    &self.blame,
                    &self.ready,
                    &self.timers,
                    &self.held,
                    &self.ran
                ),
                (&self.waiting, &self.tallies, &self.loads),
            )
        )
    }
}
