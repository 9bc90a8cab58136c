//! Filling batches, and when one is full enough to run.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{Alone, LINGER, Pull};
use crate::batch::Batch;
use crate::leases::engine::Filled;
use crate::leases::task::{Lease, Task};

/// Most tasks that can be marked as running at once.
const MOST_MARKED: usize = 256;
/// Batches under way: one runs, one is ready, one is being filled.
const BATCHES: usize = 3;

impl Pull {
    /// Does whatever can be done now.
    pub(super) fn advance(&mut self) {
        self.begin_alone();
        self.fill();
        while self.marking.is_none() && self.should_seal() {
            if let Some(filled) = self.filling.take() {
                self.seal(filled);
            }
            self.fill();
        }
        if self.parts.ledger.len() == 0 && self.filling.is_none() {
            self.spare.clear();
        }
        self.count_bytes();
    }

    fn count_bytes(&self) {
        let mine = self
            .spare
            .iter()
            .chain(self.filling.iter().map(|filled| &filled.batch));
        let mine: usize = mine.map(Batch::byte_size).sum();
        let row = self.parts.pattern.byte_size();
        let away = (self.device.len() + usize::from(self.marking.is_some())) * row;
        let bytes = mine + away * self.parts.pace.size();
        self.bytes.store(bytes as u64, Ordering::Relaxed);
    }

    /// A task that must run alone begins when nothing else is held any more, and leasing goes on
    /// when it is settled.
    fn begin_alone(&mut self) {
        let held = self.parts.ledger.len();
        match self.alone.take() {
            Some(Alone::Running) if held == 0 => {}
            Some(Alone::Waiting(task)) if !self.parts.ledger.holds(&task.lease) => {}
            Some(Alone::Waiting(task)) if held == 1 => {
                self.alone = Some(Alone::Running);
                self.prepare(vec![*task]);
            }
            other => self.alone = other,
        }
    }

    /// Moves prepared pictures into the batch while there is room.
    fn fill(&mut self) {
        let size = self.parts.pace.size();
        while let Some((task, row)) = self.ready.pop_front() {
            if !self.parts.ledger.holds(&task.lease) {
                continue;
            }
            if self.filling.is_none() {
                self.since = Instant::now();
                let batch = self.new_batch(size);
                let tasks = Vec::with_capacity(size);
                self.filling = Some(Filled { batch, tasks });
            }
            let Some(filled) = self.filling.as_mut().filter(|filled| !filled.is_full()) else {
                self.ready.push_front((task, row));
                return;
            };
            let pushed = filled.batch.push(|slot| {
                slot.copy_from_slice(&row.values);
                Ok::<_, crate::Error>(())
            });
            if let Some(Ok(())) = pushed {
                filled.tasks.push(task);
            }
        }
    }

    /// A full batch becomes ready while another runs. A batch that is not full waits until the
    /// device is free, and then a moment more for pictures that are on their way.
    fn should_seal(&self) -> bool {
        let Some(filled) = &self.filling else {
            return false;
        };
        if self.sick.is_some() {
            return false;
        }
        match self.device.len() {
            0 => {
                let coming = self.preparing > 0 && self.since.elapsed() < LINGER;
                filled.is_full() || !coming
            }
            1 => {
                let running = self.device.front().map_or(0, Vec::len);
                filled.is_full() && running + filled.len() <= MOST_MARKED
            }
            _ => false,
        }
    }

    /// When [`Pull::should_seal`] will say yes for the time that has passed alone.
    pub(super) fn linger(&self) -> Option<Instant> {
        let waits = self.filling.is_some()
            && self.device.is_empty()
            && self.marking.is_none()
            && self.sick.is_none();
        waits.then(|| self.since + LINGER)
    }

    /// Tells the store what runs next, along with what runs still: a mark replaces the one before.
    fn seal(&mut self, filled: Filled) {
        let mine: Vec<Lease> = filled.tasks.iter().map(|task| task.lease.clone()).collect();
        let leases: Vec<Lease> = self.device.iter().flatten().cloned().chain(mine).collect();
        let link = Arc::clone(&self.parts.link);
        let (stop, ledger) = (self.parts.stop.clone(), self.parts.ledger.clone());
        self.marking = Some(Box::pin(async move {
            let mark = || link.store.mark_running(&leases);
            let marked = match link.insist(&stop, mark).await {
                Some(Ok(lost)) => {
                    ledger.lose(&leases, &lost);
                    true
                }
                Some(Err(status)) => {
                    tracing::error!(
                        "the store takes no mark: {}; dropping the batch",
                        status.message()
                    );
                    ledger.remove(filled.tasks.iter().map(|task| &task.lease));
                    false
                }
                None => false,
            };
            (filled, marked)
        }));
    }

    /// The batch runs, without what was lost.
    pub(super) fn marked(&mut self, mut filled: Filled, mine: bool) {
        let ledger = self.parts.ledger.clone();
        filled.keep(|task| mine && ledger.holds(&task.lease));
        if filled.tasks.is_empty() {
            self.recycle(filled.batch);
            return;
        }
        let leases = filled.tasks.iter().map(|task| task.lease.clone());
        self.device.push_back(leases.collect());
        self.parts.engine.submit(filled);
    }

    fn new_batch(&mut self, size: usize) -> Batch {
        while let Some(batch) = self.spare.pop() {
            if batch.capacity() == size {
                return batch;
            }
        }
        self.parts.pattern.another(size)
    }

    pub(super) fn recycle(&mut self, mut batch: Batch) {
        if self.spare.len() < BATCHES {
            batch.clear();
            self.spare.push(batch);
        }
    }
}

impl Filled {
    /// Pictures in it.
    pub(in crate::leases) fn len(&self) -> usize {
        self.tasks.len()
    }

    fn is_full(&self) -> bool {
        self.batch.len() >= self.batch.capacity()
    }

    /// Keeps the pictures of these tasks only.
    fn keep(&mut self, keep: impl Fn(&Task) -> bool) {
        let kept: Vec<bool> = self.tasks.iter().map(keep).collect();
        self.batch.retain(|index| kept[index]);
        let mut index = 0;
        self.tasks.retain(|_| {
            index += 1;
            kept[index - 1]
        });
    }
}
