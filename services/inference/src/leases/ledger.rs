//! Which leases this process holds. What is not in here is no longer ours: nothing is said about
//! it and no more work goes into it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::task::Lease;

/// Tasks by name, and the token of each.
type Held = HashMap<Arc<str>, (u64, u64)>;

/// The leases held, from the grant until the store has heard the outcome.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    held: Arc<Mutex<Held>>,
    count: watch::Sender<usize>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            held: Arc::default(),
            count: watch::Sender::new(0),
        }
    }

    /// A lease was granted; a former one of the same task is thereby gone.
    pub(super) fn add(&self, lease: &Lease) {
        self.change(|held| {
            held.insert(Arc::clone(&lease.task), lease.token);
        });
    }

    /// Whether this very lease is still ours.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.lock().get(&lease.task) == Some(&lease.token)
    }

    /// Takes leases out: their outcome is known to the store, or they are lost.
    pub(super) fn remove<'l>(&self, leases: impl IntoIterator<Item = &'l Lease>) {
        self.change(|held| {
            for lease in leases {
                if held.get(&lease.task) == Some(&lease.token) {
                    held.remove(&lease.task);
                }
            }
        });
    }

    /// Takes out those of the leases `sent` that the store calls lost. Only those that were sent:
    /// a task may have been leased to us anew since, under another token.
    pub(super) fn lose(&self, sent: &[Lease], lost: &[String]) {
        if lost.is_empty() {
            return;
        }
        let lost: HashSet<&str> = lost.iter().map(String::as_str).collect();
        let gone = sent.iter().filter(|lease| lost.contains(&*lease.task));
        tracing::warn!(
            leases.lost = lost.len(),
            "leases were lost; dropping their work"
        );
        self.remove(gone);
    }

    /// All of them, in no order.
    pub(super) fn all(&self) -> Vec<Lease> {
        let lease = |(task, token): (&Arc<str>, &(u64, u64))| Lease {
            task: Arc::clone(task),
            token: *token,
        };
        self.lock().iter().map(lease).collect()
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Follows how many.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn change(&self, edit: impl FnOnce(&mut Held)) {
        let count = {
            let mut held = self.lock();
            edit(&mut held);
            held.len()
        };
        self.count.send_replace(count);
    }

    /// The map is whole after every statement, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(task: &str, counter: u64) -> Lease {
        Lease {
            task: task.into(),
            token: (1, counter),
        }
    }

    #[test]
    fn a_lease_is_its_task_and_its_token() {
        let ledger = Ledger::new();
        ledger.add(&lease("tasks/1", 1));
        assert!(ledger.holds(&lease("tasks/1", 1)));
        assert!(!ledger.holds(&lease("tasks/1", 2)));
        ledger.remove(&[lease("tasks/1", 2)]);
        assert_eq!(ledger.len(), 1, "another token takes nothing out");
    }

    #[test]
    fn a_loss_told_late_does_not_take_the_new_lease_of_the_task() {
        let ledger = Ledger::new();
        let old = lease("tasks/1", 1);
        ledger.add(&old);
        let sent = ledger.all();
        ledger.add(&lease("tasks/1", 7));
        ledger.lose(&sent, &["tasks/1".to_owned()]);
        assert!(!ledger.holds(&old));
        assert!(ledger.holds(&lease("tasks/1", 7)));
    }
}
