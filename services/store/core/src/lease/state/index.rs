//! Keeping the indexes and tallies in step with the tasks.

use std::collections::BTreeSet;

use super::super::row::{NodeId, TaskId};
use super::{Load, Place, State, Tally, Task, swap};

impl State {
    pub(super) fn swap_task(&mut self, id: TaskId, task: Option<Task>) -> Option<Task> {
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

    pub(super) fn swap_blame(&mut self, key: (NodeId, TaskId), charged: Option<u8>) -> Option<u8> {
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
