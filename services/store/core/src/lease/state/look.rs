//! Looking at the state: every question that a rule asks of it.

use super::super::command::Claim;
use super::super::planted::{Bug, planted};
use super::super::row::{Holder, Millis, NodeId, NodeRow, QueueId, TaskId, WatcherId};
use super::{Counts, Key, Lease, Node, Place, Queue, State, Task};
use std::collections::BTreeSet;

impl State {
    pub(in crate::lease) fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    pub(in crate::lease) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(in crate::lease) fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(in crate::lease) fn queue(&self, id: QueueId) -> Queue {
        self.queues.get(&id).copied().unwrap_or_default()
    }

    pub(in crate::lease) fn queue_ids(&self) -> impl Iterator<Item = QueueId> + '_ {
        self.queues.keys().copied()
    }

    pub(in crate::lease) fn counter(&self) -> u64 {
        self.counter
    }

    pub(in crate::lease) fn stale(&self) -> u64 {
        self.stale
    }

    pub(in crate::lease) fn is_online(&self, watcher: WatcherId) -> bool {
        self.online.contains(&watcher)
    }

    pub(in crate::lease) fn held_by(&self, node: NodeId) -> usize {
        self.loads.get(&node).map_or(0, |load| load.held)
    }

    pub(in crate::lease) fn holds_alone(&self, node: NodeId) -> bool {
        self.loads.get(&node).is_some_and(|load| load.alone > 0)
    }

    pub(in crate::lease) fn blamed_on(&self, node: NodeId) -> usize {
        self.loads.get(&node).map_or(0, |load| load.blamed)
    }

    pub(in crate::lease) fn blame(&self, key: (NodeId, TaskId)) -> Option<u8> {
        self.blame.get(&key).copied()
    }

    pub(in crate::lease) fn has_blame(&self) -> bool {
        !self.blame.is_empty()
    }

    pub(in crate::lease) fn blames_of(&self, node: NodeId) -> Vec<(TaskId, u8)> {
        let range = (node, 0)..=(node, TaskId::MAX);
        self.blame
            .range(range)
            .map(|(&(_, id), &charged)| (id, charged))
            .collect()
    }

    pub(in crate::lease) fn leases_of(&self, node: NodeId) -> Vec<TaskId> {
        of(&self.held, node)
    }

    pub(in crate::lease) fn ran_by(&self, node: NodeId) -> Vec<TaskId> {
        of(&self.ran, node)
    }

    pub(in crate::lease) fn waiting_for(&self, watcher: WatcherId) -> Vec<TaskId> {
        of(&self.waiting, watcher)
    }

    /// The ready tasks of a queue that may be given out, in order.
    pub(in crate::lease) fn ready(
        &self,
        queue: QueueId,
    ) -> impl DoubleEndedIterator<Item = Key> + '_ {
        let end = self.queue(queue).frontier.unwrap_or((u8::MAX, TaskId::MAX));
        self.ready
            .range((queue, (0, 0))..(queue, end))
            .map(|&(_, key)| key)
    }

    /// All ready tasks of a queue, in order.
    pub(in crate::lease) fn window(
        &self,
        queue: QueueId,
    ) -> impl DoubleEndedIterator<Item = Key> + '_ {
        self.ready
            .range((queue, (0, 0))..=(queue, (u8::MAX, TaskId::MAX)))
            .map(|&(_, key)| key)
    }

    pub(in crate::lease) fn next_timer(&self) -> Option<(Millis, TaskId)> {
        self.timers.first().copied()
    }

    pub(in crate::lease) fn next_due(&self) -> Option<Millis> {
        self.next_timer().map(|(at, _)| at)
    }

    pub(in crate::lease) fn counts(&self, id: QueueId) -> Counts {
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

    pub(in crate::lease) fn node_row(&self, id: NodeId) -> Option<NodeRow> {
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
    pub(in crate::lease) fn claimed(&self, holder: Holder, claim: Claim) -> Option<(Task, Lease)> {
        let task = self.tasks.get(&claim.task)?;
        let Place::Leased(lease) = &task.place else {
            return None;
        };
        let fenced = lease.token != claim.token && !planted(Bug::NoFencing);
        (lease.holder == holder && !fenced).then(|| (task.clone(), lease.clone()))
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
    pub(in crate::lease) fn snapshot(&self) -> String {
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
