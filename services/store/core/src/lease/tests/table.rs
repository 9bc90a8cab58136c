//! A stand-in for the database: rows that change by effects alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::lease::{
    Effect, NodeId, NodeRow, QueueId, QueueRow, Row, RowState, Saved, TaskId, Token, Wanted,
};

#[derive(Debug, Default, Clone)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<TaskId, Row>,
    pub(super) reasons: BTreeMap<TaskId, String>,
    pub(super) results: BTreeMap<TaskId, Token>,
    pub(super) nodes: BTreeMap<NodeId, NodeRow>,
    pub(super) paused: BTreeSet<QueueId>,
    pub(super) counter: u64,
}

impl Table {
    /// Carries out one effect, which must fit the rows as they are.
    pub(super) fn apply(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Granted {
                task,
                token,
                holder,
                attempts,
                alone,
            } => {
                let row = self.row(task)?;
                if !matches!(row.state, RowState::Queued { .. }) {
                    return Err(format!("task {task} was granted while {:?}", row.state));
                }
                row.state = RowState::Leased {
                    holder,
                    token,
                    running: false,
                };
                row.attempts = attempts;
                row.alone = alone;
            }
            Effect::Running { task, running } => match &mut self.row(task)?.state {
                RowState::Leased { running: was, .. } => *was = running,
                other => return Err(format!("task {task} runs while {other:?}")),
            },
            Effect::Queued {
                task,
                attempts,
                crashes,
                alone,
                ran,
                ..
            } => {
                let row = self.row(task)?;
                row.attempts = attempts;
                row.crashes = crashes;
                row.alone = alone;
                row.state = RowState::Queued { ran };
                self.reasons.remove(&task);
            }
            Effect::Parked {
                task,
                attempts,
                holders,
            } => {
                let row = self.row(task)?;
                row.attempts = attempts;
                row.state = RowState::Parked { holders };
            }
            Effect::Failed {
                task,
                attempts,
                crashes,
                alone,
                reason,
            } => {
                let row = self.row(task)?;
                row.attempts = attempts;
                row.crashes = crashes;
                row.alone = alone;
                row.state = RowState::Failed;
                self.reasons.insert(task, reason);
            }
            Effect::Refunded { task, attempts } => self.row(task)?.attempts = attempts,
            Effect::Done { task, token } => {
                self.rows
                    .remove(&task)
                    .ok_or(format!("task {task} was done without a row"))?;
                if self.results.insert(task, token).is_some() {
                    return Err(format!("task {task} was done twice"));
                }
            }
            Effect::Cancelled { task } => {
                self.rows
                    .remove(&task)
                    .ok_or(format!("task {task} had no row to cancel"))?;
                self.reasons.remove(&task);
            }
            Effect::Counter(counter) => self.counter = counter,
            Effect::Node(row) => {
                self.nodes.insert(row.node, row);
            }
            Effect::NodeForgotten(node) => {
                self.nodes
                    .remove(&node)
                    .ok_or(format!("node {node} had no row to forget"))?;
            }
            Effect::QueuePaused { queue, paused } => {
                if paused {
                    self.paused.insert(queue);
                } else {
                    self.paused.remove(&queue);
                }
            }
        }
        Ok(())
    }

    fn row(&mut self, task: TaskId) -> Result<&mut Row, String> {
        self.rows
            .get_mut(&task)
            .ok_or(format!("an effect names task {task}, which has no row"))
    }

    /// What a start would read.
    pub(super) fn saved(&self, epoch: u64) -> Saved {
        let mut queues: BTreeMap<QueueId, QueueRow> = BTreeMap::new();
        let blank = |queue| QueueRow {
            queue,
            paused: self.paused.contains(&queue),
            queued: 0,
        };
        for &queue in &self.paused {
            queues.insert(queue, blank(queue));
        }
        for row in self.rows.values() {
            let queue = queues.entry(row.queue).or_insert_with(|| blank(row.queue));
            queue.queued += u64::from(matches!(row.state, RowState::Queued { .. }));
        }
        let special =
            |row: &&Row| !matches!(row.state, RowState::Queued { ran: None } | RowState::Failed);
        Saved {
            epoch,
            counter: self.counter,
            nodes: self.nodes.values().cloned().collect(),
            queues: queues.into_values().collect(),
            rows: self.rows.values().filter(special).cloned().collect(),
        }
    }

    /// The answer to a wish for more of a queue: its rows, and whether they were the last.
    pub(super) fn read(&self, queue: QueueId, wanted: Wanted) -> (Vec<Row>, bool) {
        let mut rows: Vec<Row> = self
            .rows
            .values()
            .filter(|row| {
                row.queue == queue
                    && matches!(row.state, RowState::Queued { .. })
                    && (row.priority, row.task) >= wanted.from
            })
            .cloned()
            .collect();
        rows.sort_by_key(|row| (row.priority, row.task));
        let exhausted = rows.len() <= wanted.limit;
        rows.truncate(wanted.limit);
        (rows, exhausted)
    }
}
