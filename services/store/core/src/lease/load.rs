//! Building the state from what the database holds.

use super::planted::{Bug, planted};
use super::row::{Millis, Row, RowState, Saved};
use super::state::{Lease, Limits, Node, Place, Queue, State, Streak, Task};
use super::{PARK, TTL};

impl State {
    pub(super) fn load(saved: Saved, limits: Limits, now: Millis) -> Self {
        let mut state = Self::empty(saved.epoch, saved.counter, limits);
        for row in saved.nodes {
            let node = Node {
                incarnation: row.incarnation,
                retired: row.retired,
                queues: row.queues,
                stopped: row.stopped,
                paused: row.paused,
                streak: Streak::default(),
            };
            state.put_node(row.node, Some(node));
        }
        for row in saved.queues {
            // Nothing is known yet, so the frontier stands before everything.
            let frontier = (row.queued > 0).then_some((0, 0));
            let queue = Queue {
                paused: row.paused,
                frontier,
                backlog: row.queued,
            };
            state.put_queue(row.queue, queue);
        }
        for row in saved.rows {
            state.load_row(row, now);
        }
        state.settle();
        state
    }

    fn load_row(&mut self, row: Row, now: Millis) {
        let place = match row.state {
            // Failed rows stay on disk until a person retries them.
            RowState::Failed => return,
            RowState::Queued { ran } => {
                let queue = self.queue(row.queue);
                let backlog = queue.backlog.saturating_sub(1);
                self.put_queue(row.queue, Queue { backlog, ..queue });
                Place::Ready { ran }
            }
            RowState::Leased {
                holder,
                token,
                running,
            } => {
                let ttl = if planted(Bug::ShortTtlAfterRestart) {
                    0
                } else {
                    TTL
                };
                Place::Leased(Lease {
                    token,
                    holder,
                    deadline: now.saturating_add(ttl),
                    running,
                })
            }
            RowState::Parked { holders } => {
                // No watcher is believed online yet: the first word of a holder unparks.
                let at = holders.is_empty().then(|| now.saturating_add(PARK));
                Place::Parked {
                    holders: holders.into(),
                    at,
                }
            }
        };
        let task = Task {
            queue: row.queue,
            priority: row.priority,
            attempts: row.attempts,
            crashes: row.crashes,
            alone: row.alone,
            place,
        };
        self.put(row.task, Some(task));
    }
}
