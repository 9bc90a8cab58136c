//! The part of each queue that is in memory, and what persons do to tasks and queues.
//!
//! The *frontier* of a queue is a key: every queued row before it is known, those from it on may
//! be known or only on disk. Leases are given out before the frontier alone, so the order holds
//! however little of the backlog is in memory.

use super::command::Reply;
use super::effect::{Effect, Outcome};
use super::row::{QueueId, Row, RowState, TaskId};
use super::state::{Place, Queue, State, Task};

/// Which rows of a queue to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Read queued rows with (priority, task) at or after this, in that order.
    pub from: (u8, TaskId),
    /// How many at most.
    pub limit: usize,
}

impl State {
    pub(super) fn wants(&self, queue: QueueId) -> Option<Wanted> {
        let from = self.queue(queue).frontier?;
        let low = self.limits.window_low;
        let ready = self.ready(queue).take(low).count();
        (ready < low).then(|| Wanted {
            from,
            limit: (self.limits.window_high / 2).max(1),
        })
    }

    pub(super) fn offer(&mut self, rows: Vec<Row>, out: &mut Outcome) -> Reply {
        for row in rows {
            if self.task(row.task).is_none() {
                self.admit_row(&row, out);
            }
        }
        Reply::Done
    }

    /// Takes in a queued row that is not known: into the window, or as one more of the backlog.
    fn admit_row(&mut self, row: &Row, out: &mut Outcome) {
        let queue = self.queue(row.queue);
        out.wake(row.queue);
        if queue
            .frontier
            .is_some_and(|frontier| (row.priority, row.task) >= frontier)
        {
            self.put_queue(
                row.queue,
                Queue {
                    backlog: queue.backlog + 1,
                    ..queue
                },
            );
            return;
        }
        // So that the queue is listed from its first row on.
        self.put_queue(row.queue, queue);
        self.put(row.task, Some(ready(row)));
        self.evict(row.queue);
    }

    pub(super) fn refill(
        &mut self,
        id: QueueId,
        rows: Vec<Row>,
        exhausted: bool,
        out: &mut Outcome,
    ) -> Reply {
        let mut queue = self.queue(id);
        let Some(frontier) = queue.frontier else {
            return Reply::Done;
        };
        if let Some(last) = rows.last() {
            queue.frontier = Some((last.priority, last.task.saturating_add(1)).max(frontier));
        }
        if exhausted {
            queue.frontier = None;
        }
        for row in rows {
            let fits = row.queue == id && (row.priority, row.task) >= frontier;
            if fits && self.task(row.task).is_none() {
                queue.backlog = queue.backlog.saturating_sub(1);
                self.put(row.task, Some(ready(&row)));
                out.wake(id);
            }
        }
        if exhausted {
            // The rows were all there are: a count that drifted is put right here.
            queue.backlog = 0;
        }
        self.put_queue(id, queue);
        Reply::Done
    }

    /// Lets go of the last ready tasks of a window that grew too large. Those with a history stay:
    /// part of it is in memory only.
    fn evict(&mut self, id: QueueId) {
        let high = self.limits.window_high;
        let len = usize::try_from(self.counts(id).window).unwrap_or(usize::MAX);
        if len <= high {
            return;
        }
        let surplus = len - high / 4 * 3;
        let plain = |task: &TaskId| {
            self.task(*task).is_some_and(|task| {
                task.attempts == 0 && !task.alone && task.place == Place::Ready { ran: None }
            })
        };
        let victims: Vec<_> = self
            .window(id)
            .rev()
            .filter(|(_, task)| plain(task))
            .take(surplus)
            .collect();
        let Some(&frontier) = victims.last() else {
            return;
        };
        for &(_, task) in &victims {
            self.put(task, None);
        }
        let queue = self.queue(id);
        let backlog = queue.backlog + u64::try_from(victims.len()).unwrap_or(u64::MAX);
        let frontier = queue.frontier.map_or(frontier, |old| old.min(frontier));
        self.put_queue(
            id,
            Queue {
                frontier: Some(frontier),
                backlog,
                ..queue
            },
        );
    }

    pub(super) fn retry(&mut self, row: &Row, out: &mut Outcome) -> Reply {
        let failed = match self.task(row.task) {
            Some(task) => matches!(task.place, Place::Failed { .. }),
            None => row.state == RowState::Failed,
        };
        if !failed {
            return Reply::Found(false);
        }
        self.drop_blame(row.task);
        self.put(row.task, None);
        let row = Row {
            attempts: 0,
            crashes: 0,
            state: RowState::Queued { ran: None },
            ..row.clone()
        };
        out.effects.push(Effect::Queued {
            task: row.task,
            attempts: 0,
            crashes: 0,
            alone: row.alone,
            ran: None,
            reason: None,
        });
        self.admit_row(&row, out);
        Reply::Found(true)
    }

    pub(super) fn cancel(&mut self, row: &Row, out: &mut Outcome) -> Reply {
        if self.task(row.task).is_some() {
            self.drop_blame(row.task);
            self.put(row.task, None);
        } else if matches!(row.state, RowState::Queued { .. }) {
            let queue = self.queue(row.queue);
            let backlog = queue.backlog.saturating_sub(1);
            self.put_queue(row.queue, Queue { backlog, ..queue });
        }
        out.effects.push(Effect::Cancelled { task: row.task });
        Reply::Found(true)
    }

    pub(super) fn pause_queue(&mut self, id: QueueId, paused: bool, out: &mut Outcome) -> Reply {
        let queue = self.queue(id);
        if queue.paused != paused {
            self.put_queue(id, Queue { paused, ..queue });
            out.effects.push(Effect::QueuePaused { queue: id, paused });
            if !paused {
                out.wake(id);
            }
        }
        Reply::Done
    }
}

fn ready(row: &Row) -> Task {
    Task {
        queue: row.queue,
        priority: row.priority,
        attempts: row.attempts,
        crashes: row.crashes,
        alone: row.alone,
        place: Place::Ready { ran: None },
    }
}
