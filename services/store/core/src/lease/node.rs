//! Nodes: who they are, whether they came back as another process, and what that means for what
//! they were running.

use super::CRASHES;
use super::command::{Claim, Refusal, Reply};
use super::effect::{Effect, Notice, Outcome, POISON};
use super::planted::{Bug, planted};
use super::row::{Holder, NodeId, QueueId, TaskId};
use super::state::{Node, Place, State, Streak, Task};

/// How many earlier processes of a node are remembered, to be turned away.
const RETIRED: usize = 4;

impl State {
    pub(super) fn register(
        &mut self,
        holder: Holder,
        mut queues: Vec<QueueId>,
        out: &mut Outcome,
    ) -> Reply {
        queues.sort_unstable();
        queues.dedup();
        let known = self.node(holder.node).cloned();
        if let Some(node) = &known
            && node.retired.contains(&holder.incarnation)
        {
            return Reply::Refused(Refusal::StaleIncarnation);
        }
        let mut node = known.clone().unwrap_or_else(|| Node {
            incarnation: holder.incarnation,
            retired: Vec::new(),
            queues: Vec::new(),
            stopped: false,
            paused: false,
            streak: Streak::default(),
        });
        node.queues = queues;
        if node.incarnation == holder.incarnation {
            self.heard_from(holder, out);
        } else {
            self.replaced(holder.node, out);
            node.retired.push(node.incarnation);
            if node.retired.len() > RETIRED {
                node.retired.remove(0);
            }
            node.incarnation = holder.incarnation;
            node.stopped = false;
            node.streak = Streak::default();
            self.forgive(holder.node);
        }
        if known.as_ref() != Some(&node) {
            self.put_node(holder.node, Some(node));
            self.save_node(holder.node, out);
        }
        Reply::Done
    }

    /// A new process of `node` is here, so the old one is dead: what it ran is suspect, what it
    /// merely held goes back.
    fn replaced(&mut self, node: NodeId, out: &mut Outcome) {
        let mut ids = self.leases_of(node);
        ids.extend(self.ran_by(node));
        ids.sort_unstable();
        for id in ids {
            self.bury(id, out);
        }
    }

    /// Its holder is dead: blames the task if it was running, else requeues it.
    fn bury(&mut self, id: TaskId, out: &mut Outcome) {
        let Some(task) = self.task(id).cloned() else {
            return;
        };
        match &task.place {
            Place::Ready { ran: Some(_) } => self.suspect(id, task, out),
            Place::Leased(lease) if lease.running => self.suspect(id, task, out),
            Place::Leased(_) => self.interrupt(id, out),
            _ => {}
        }
    }

    pub(super) fn crash_report(
        &mut self,
        holder: Holder,
        claims: &[Claim],
        out: &mut Outcome,
    ) -> Reply {
        // Not a sign of life: the reporter is another process than the one it speaks of.
        if let Err(refusal) = self.check(holder) {
            return Reply::Refused(refusal);
        }
        for &claim in claims {
            let ran = match self.task(claim.task).map(|task| &task.place) {
                Some(Place::Ready { ran: Some(ran) }) => {
                    ran.holder == holder && ran.token == claim.token
                }
                _ => false,
            };
            if ran || self.claimed(holder, claim).is_some() {
                self.bury(claim.task, out);
            }
        }
        Reply::Done
    }

    /// Counts a crash: the task runs by itself from now on, or never again.
    pub(super) fn suspect(&mut self, id: TaskId, mut task: Task, out: &mut Outcome) {
        task.crashes = task.crashes.saturating_add(1);
        task.alone = true;
        out.notices.push(Notice::Suspected {
            task: id,
            crashes: task.crashes,
        });
        if task.crashes >= CRASHES {
            self.give_up(id, &task, POISON.to_owned(), None, out);
        } else {
            self.enqueue(id, task, Place::Ready { ran: None }, None, out);
        }
    }

    /// Whether this process may speak for its node.
    pub(super) fn check(&self, holder: Holder) -> Result<(), Refusal> {
        match self.node(holder.node) {
            Some(node) if node.incarnation == holder.incarnation => Ok(()),
            Some(node) if node.retired.contains(&holder.incarnation) => {
                if planted(Bug::OldIncarnationServed) {
                    return Ok(());
                }
                Err(Refusal::StaleIncarnation)
            }
            _ => Err(Refusal::Unregistered),
        }
    }

    /// As [`State::check`]; a process that may speak is alive.
    pub(super) fn admit(&mut self, holder: Holder, out: &mut Outcome) -> Result<(), Refusal> {
        self.check(holder)?;
        self.heard_from(holder, out);
        Ok(())
    }

    /// The process did not crash after all: what it ran when it fell silent is no suspect.
    fn heard_from(&mut self, holder: Holder, out: &mut Outcome) {
        if planted(Bug::RanNotCleared) {
            return;
        }
        for id in self.ran_by(holder.node) {
            let Some(task) = self.task(id).cloned() else {
                continue;
            };
            if let Place::Ready { ran: Some(ran) } = task.place
                && ran.holder == holder
            {
                self.enqueue(id, task, Place::Ready { ran: None }, None, out);
            }
        }
    }

    pub(super) fn pause_node(&mut self, id: NodeId, paused: bool, out: &mut Outcome) -> Reply {
        let Some(node) = self.node(id).cloned() else {
            return Reply::Refused(Refusal::Unregistered);
        };
        let mut changed = Node {
            paused,
            ..node.clone()
        };
        if !paused && node.stopped {
            changed.stopped = false;
            changed.streak = Streak::default();
            self.forgive(id);
        }
        if changed != node {
            for &queue in &changed.queues {
                if !paused {
                    out.wake(queue);
                }
            }
            self.put_node(id, Some(changed));
            self.save_node(id, out);
        }
        Reply::Done
    }

    pub(super) fn forget_node(&mut self, id: NodeId, out: &mut Outcome) -> Reply {
        let Some(node) = self.node(id) else {
            return Reply::Refused(Refusal::Unregistered);
        };
        if self.held_by(id) > 0 {
            return Reply::Refused(Refusal::HoldsLeases);
        }
        let holder = Holder {
            node: id,
            incarnation: node.incarnation,
        };
        self.heard_from(holder, out);
        self.forgive(id);
        self.put_node(id, None);
        out.effects.push(Effect::NodeForgotten(id));
        Reply::Done
    }

    pub(super) fn save_node(&self, id: NodeId, out: &mut Outcome) {
        if let Some(row) = self.node_row(id) {
            out.effects.push(Effect::Node(row));
        }
    }
}
