//! The reference's rules about nodes: new processes, crashes, and nodes that fail everything.

use super::{At, Model, Node, Task};
use crate::lease::{Claim, Holder, NodeId, NodeRow, QueueId, Refusal, Reply, TaskId};

impl Model {
    pub(super) fn register(&mut self, holder: Holder, queues: &[QueueId]) -> Reply {
        let mut queues = queues.to_vec();
        queues.sort_unstable();
        queues.dedup();
        let Some(at) = self
            .nodes
            .iter()
            .position(|node| node.row.node == holder.node)
        else {
            self.nodes.push(Node {
                row: NodeRow {
                    node: holder.node,
                    incarnation: holder.incarnation,
                    retired: Vec::new(),
                    queues,
                    stopped: false,
                    paused: false,
                },
                failures: 0,
                failed_in: Vec::new(),
                peer: false,
                charges: Vec::new(),
            });
            return Reply::Done;
        };
        if self.nodes[at].row.retired.contains(&holder.incarnation) {
            return Reply::Refused(Refusal::StaleIncarnation);
        }
        self.nodes[at].row.queues = queues;
        if self.nodes[at].row.incarnation == holder.incarnation {
            let _ = self.hear(holder);
            return Reply::Done;
        }
        let mut crashed = Vec::new();
        for task in &mut self.tasks {
            match &task.at {
                At::Leased {
                    holder: by,
                    running,
                    ..
                } if by.node == holder.node => {
                    if *running {
                        crashed.push(task.id);
                    } else {
                        task.attempts -= 1;
                        task.at = At::Ready(None);
                    }
                }
                At::Ready(Some(ran)) if ran.holder.node == holder.node => crashed.push(task.id),
                _ => {}
            }
        }
        for id in crashed {
            self.crash(id);
        }
        let node = &mut self.nodes[at];
        node.row.retired.push(node.row.incarnation);
        if node.row.retired.len() > 4 {
            node.row.retired.remove(0);
        }
        node.row.incarnation = holder.incarnation;
        node.row.stopped = false;
        node.fresh_streak();
        Reply::Done
    }

    pub(super) fn crash(&mut self, id: TaskId) {
        let task = self.find(id);
        task.crashes += 1;
        task.alone = true;
        task.at = At::Ready(None);
        if task.crashes >= 2 {
            task.at = At::Failed("POISON".to_owned());
            self.uncharge(id, None);
        }
    }

    pub(super) fn crash_report(&mut self, holder: Holder, claims: &[Claim]) -> Reply {
        if let Err(refusal) = self.check(holder) {
            return Reply::Refused(refusal);
        }
        for claim in claims {
            let task = self.find(claim.task);
            match &task.at {
                At::Ready(Some(ran)) if ran.holder == holder && ran.token == claim.token => {
                    self.crash(claim.task);
                }
                At::Leased {
                    holder: by,
                    token,
                    running,
                    ..
                } if *by == holder && *token == claim.token => {
                    if *running {
                        self.crash(claim.task);
                    } else {
                        task.attempts -= 1;
                        task.at = At::Ready(None);
                    }
                }
                _ => {}
            }
        }
        Reply::Done
    }

    pub(super) fn maybe_stop(&mut self, at: usize) -> bool {
        if self.nodes[at].failures < 8 || !self.nodes[at].peer {
            return false;
        }
        self.stops += 1;
        let charges = std::mem::take(&mut self.nodes[at].charges);
        self.nodes[at].fresh_streak();
        self.nodes[at].row.stopped = true;
        let id = self.nodes[at].row.node;
        for task in &mut self.tasks {
            if let At::Leased { holder, .. } = &task.at
                && holder.node == id
            {
                task.interrupt();
            }
        }
        for (id, charged) in charges {
            let task = self.find(id);
            task.attempts -= charged;
            if matches!(task.at, At::Failed(_) | At::BackedOff(_)) {
                task.at = At::Ready(None);
            }
        }
        true
    }

    pub(super) fn forget(&mut self, id: NodeId) -> Reply {
        let Some(at) = self.nodes.iter().position(|node| node.row.node == id) else {
            return Reply::Refused(Refusal::Unregistered);
        };
        let holds =
            |task: &Task| matches!(&task.at, At::Leased { holder, .. } if holder.node == id);
        if self.tasks.iter().any(holds) {
            return Reply::Refused(Refusal::HoldsLeases);
        }
        for task in &mut self.tasks {
            if matches!(&task.at, At::Ready(Some(ran)) if ran.holder.node == id) {
                task.at = At::Ready(None);
            }
        }
        self.nodes.remove(at);
        Reply::Done
    }
}

impl Node {
    pub(super) fn fresh_streak(&mut self) {
        self.failures = 0;
        self.failed_in.clear();
        self.peer = false;
        self.charges.clear();
    }
}
