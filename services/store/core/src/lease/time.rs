//! What time does: leases expire, back-offs end, parked tasks look for their source again.

use super::command::Reply;
use super::effect::Outcome;
use super::planted::{Bug, planted};
use super::row::{Millis, TaskId, WatcherId};
use super::state::{Place, State, Task};

impl State {
    pub(super) fn tick(&mut self, limit: usize, now: Millis, out: &mut Outcome) -> Reply {
        for _ in 0..limit {
            let Some((_, id)) = self.next_timer().filter(|&(at, _)| at <= now) else {
                break;
            };
            let Some(task) = self.task(id).cloned() else {
                break;
            };
            match &task.place {
                Place::Leased(_) => self.interrupt(id, out),
                Place::Later { .. } => {
                    // Queued on disk already: back-offs live in memory only.
                    out.wake(task.queue);
                    self.put(
                        id,
                        Some(Task {
                            place: Place::Ready { ran: None },
                            ..task
                        }),
                    );
                }
                Place::Parked { holders, .. } => {
                    if self.reachable(holders) {
                        self.enqueue(id, task, Place::Ready { ran: None }, None, out);
                    } else {
                        let holders = holders.clone();
                        self.put(
                            id,
                            Some(Task {
                                place: Place::Parked { holders, at: None },
                                ..task
                            }),
                        );
                    }
                }
                Place::Ready { .. } | Place::Failed { .. } => break,
            }
        }
        Reply::Ticked {
            more: self.next_due().is_some_and(|at| at <= now),
        }
    }

    /// A watcher came online: what waits for it is due at once, so ticks unpark it in slices.
    pub(super) fn source_online(&mut self, watcher: WatcherId, now: Millis) -> Reply {
        if self.put_online(watcher, true) && !planted(Bug::ParkedForever) {
            for id in self.waiting_for(watcher) {
                let Some(task) = self.task(id).cloned() else {
                    continue;
                };
                if let Place::Parked { holders, .. } = &task.place {
                    let place = Place::Parked {
                        holders: holders.clone(),
                        at: Some(now),
                    };
                    self.put(id, Some(Task { place, ..task }));
                }
            }
        }
        Reply::Done
    }

    /// A parked task is tried at once: if the new place cannot be reached either, its failure
    /// says whom to wait for now.
    pub(super) fn source_found(&mut self, id: TaskId, out: &mut Outcome) -> Reply {
        if let Some(task) = self.task(id).cloned()
            && matches!(task.place, Place::Parked { .. })
        {
            self.enqueue(id, task, Place::Ready { ran: None }, None, out);
        }
        Reply::Done
    }

    pub(super) fn source_offline(&mut self, watcher: WatcherId) -> Reply {
        self.put_online(watcher, false);
        Reply::Done
    }
}
