//! The node that fails everything while others succeed: it is stopped, and its verdicts are undone.
//!
//! A broken model file or GPU would otherwise fail a whole library. *Blame* is what an open streak
//! of failures charged to each task, so that exactly that can be given back.

use super::STREAK;
use super::effect::{Effect, Notice, Outcome};
use super::planted::{Bug, planted};
use super::row::{NodeId, QueueId, TaskId};
use super::state::{Node, Place, State, Streak, Task};

impl State {
    /// Charges an attempt on `id` to the streak of `node`; false if the streak remembers no more.
    pub(super) fn charge(&mut self, node: NodeId, id: TaskId) -> bool {
        match self.blame((node, id)) {
            Some(charged) => self.put_blame((node, id), Some(charged.saturating_add(1))),
            None if self.blamed_on(node) >= self.limits.blame => return false,
            None => self.put_blame((node, id), Some(1)),
        }
        true
    }

    /// No streak but that of `keep` has a say in this task any more.
    pub(super) fn blame_only(&mut self, keep: Option<NodeId>, id: TaskId) {
        if !self.has_blame() {
            return;
        }
        for node in self.node_ids() {
            if Some(node) != keep && self.blame((node, id)).is_some() {
                self.put_blame((node, id), None);
            }
        }
    }

    pub(super) fn drop_blame(&mut self, id: TaskId) {
        self.blame_only(None, id);
    }

    /// Ends the streak of `node`: what it charged stays charged.
    pub(super) fn forgive(&mut self, node: NodeId) {
        for (id, _) in self.blames_of(node) {
            self.put_blame((node, id), None);
            if self.failed_by(id, node) {
                self.put(id, None);
            }
        }
    }

    fn failed_by(&self, id: TaskId, node: NodeId) -> bool {
        self.task(id)
            .is_some_and(|task| task.place == Place::Failed { by: node })
    }

    /// A node completed a task: its own streak ends, and others lose their excuse.
    pub(super) fn succeeded(&mut self, id: NodeId, queue: QueueId, out: &mut Outcome) {
        if self
            .node(id)
            .is_some_and(|node| node.streak != Streak::default())
        {
            self.set_streak(id, Streak::default());
            self.forgive(id);
        }
        for other in self.node_ids() {
            let news = self.node(other).is_some_and(|node| {
                node.streak.queues.contains(&queue) && !node.streak.peer_succeeded
            });
            if let Some(node) = self.node(other).filter(|_| news && other != id) {
                let streak = Streak {
                    peer_succeeded: true,
                    ..node.streak.clone()
                };
                self.set_streak(other, streak);
                self.stop_if_broken(other, out);
            }
        }
    }

    fn set_streak(&mut self, id: NodeId, streak: Streak) {
        if let Some(node) = self.node(id).cloned() {
            self.put_node(id, Some(Node { streak, ..node }));
        }
    }

    /// A node failed a task by a fault that is not the source's; true if that stopped it.
    pub(super) fn failed(&mut self, id: NodeId, queue: QueueId, out: &mut Outcome) -> bool {
        let Some(mut node) = self.node(id).cloned() else {
            return false;
        };
        node.streak.failures = node.streak.failures.saturating_add(1);
        if !node.streak.queues.contains(&queue) {
            node.streak.queues.push(queue);
        }
        self.put_node(id, Some(node));
        self.stop_if_broken(id, out)
    }

    fn stop_if_broken(&mut self, id: NodeId, out: &mut Outcome) -> bool {
        let Some(node) = self.node(id).cloned() else {
            return false;
        };
        if node.streak.failures < STREAK || !node.streak.peer_succeeded {
            return false;
        }
        let failures = node.streak.failures;
        self.put_node(
            id,
            Some(Node {
                stopped: true,
                streak: Streak::default(),
                ..node
            }),
        );
        self.save_node(id, out);
        out.notices.push(Notice::NodeStopped { node: id, failures });
        // What it still holds it would fail as well.
        for task in self.leases_of(id) {
            self.interrupt(task, out);
        }
        if planted(Bug::StreakNotRedriven) {
            self.forgive(id);
        }
        for (task, charged) in self.blames_of(id) {
            self.put_blame((id, task), None);
            self.redrive(id, task, charged, out);
        }
        true
    }

    /// Gives back the attempts that a stopped node charged, and queues what it failed or delayed.
    fn redrive(&mut self, by: NodeId, id: TaskId, charged: u8, out: &mut Outcome) {
        let Some(task) = self.task(id).cloned() else {
            return;
        };
        let task = Task {
            attempts: task.attempts.saturating_sub(charged),
            ..task
        };
        match &task.place {
            Place::Failed { by: other } if *other != by => {}
            Place::Failed { .. } | Place::Later { .. } => {
                self.enqueue(id, task, Place::Ready { ran: None }, None, out);
            }
            Place::Ready { .. } | Place::Leased(_) | Place::Parked { .. } => {
                out.effects.push(Effect::Refunded {
                    task: id,
                    attempts: task.attempts,
                });
                self.put(id, Some(task));
            }
        }
    }
}
