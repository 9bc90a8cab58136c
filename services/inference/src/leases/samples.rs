//! Fetching samples: from the disk if it is the same one, else from the watchers that have them,
//! many in one call. Length and checksum are compared before anything looks at the bytes. What
//! lies fetched and not yet decoded is bounded in bytes.

mod disk;
mod watchers;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use kit::Credential;
use kit::client::Peer;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::task::{Cause, Failure, Task};

/// Memory for samples between fetching and decoding.
const BUDGET: usize = 64 << 20;
/// The largest sample; the renderer makes none near it.
const MOST_BYTES: usize = 16 << 20;
/// What the budget counts in, because a permit count is a `u32` and samples are not pages.
const UNIT: usize = 1 << 10;
/// Connections to watchers that are kept.
const MOST_PEERS: usize = 64;

/// A sample that is what the task says, and its share of the budget.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) bytes: Vec<u8>,
    pub(super) share: OwnedSemaphorePermit,
}

/// What came of fetching the sample of a task.
pub(super) type Fetched = (Task, Result<Sample, Failure>);

/// Where samples come from.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    credential: Credential,
    peers: Arc<Mutex<HashMap<String, Peer>>>,
    budget: Arc<Semaphore>,
}

/// A task whose sample is looked for.
#[derive(Debug)]
struct Search {
    task: Task,
    /// Addresses not asked yet, next one last.
    addresses: Vec<String>,
    /// What the sources so far had to say.
    failure: Option<Failure>,
}

impl Samples {
    pub(super) fn new(credential: Credential) -> Self {
        Self {
            credential,
            peers: Arc::default(),
            budget: Arc::new(Semaphore::new(BUDGET / UNIT)),
        }
    }

    /// Counts the bytes fetched or being fetched.
    pub(super) fn gauge(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let budget = Arc::clone(&self.budget);
        move || (BUDGET - budget.available_permits() * UNIT) as u64
    }

    /// Fetches the samples of `tasks` and gives each to `found` as it comes, in any order. A task
    /// for which `wanted` says no any more is not fetched, and comes back as a failure.
    pub(super) async fn fetch(
        &self,
        tasks: Vec<Task>,
        wanted: impl Fn(&Task) -> bool,
        found: impl Fn(Fetched),
    ) {
        let mut searches = Vec::new();
        for task in tasks {
            if task.sample_bytes as usize > MOST_BYTES {
                let message = format!("a sample of {} bytes", task.sample_bytes);
                let failure = Failure::new(Cause::Permanent, "SAMPLE_TOO_LARGE", message);
                found((task, Err(failure)));
                continue;
            }
            let mut addresses = task.addresses.clone();
            addresses.reverse();
            searches.push(Search {
                task,
                addresses,
                failure: None,
            });
        }
        let mut searches = self.look_on_disk(searches, &found).await;
        while !searches.is_empty() {
            let mut calls: BTreeMap<String, Vec<Search>> = BTreeMap::new();
            for mut search in searches {
                match search.addresses.pop() {
                    _ if !wanted(&search.task) => {
                        let failure = Failure::new(Cause::Transient, "LEASE_LOST", "not ours");
                        found((search.task, Err(failure)));
                    }
                    Some(address) => calls.entry(address).or_default().push(search),
                    None => found(search.give_up()),
                }
            }
            let calls = calls.into_iter().map(|(address, searches)| {
                let found = &found;
                async move { self.ask_watcher(&address, searches, found).await }
            });
            searches = join_all(calls).await.into_iter().flatten().collect();
        }
    }

    /// Memory for these samples; waits until there is some.
    async fn reserve(&self, bytes: usize) -> OwnedSemaphorePermit {
        let units = u32::try_from(units(bytes)).unwrap_or(u32::MAX);
        let budget = Arc::clone(&self.budget);
        budget
            .acquire_many_owned(units)
            .await
            .expect("the budget is never closed")
    }
}

impl Search {
    fn bytes(&self) -> usize {
        self.task.sample_bytes as usize
    }

    /// A source ended without a word about this one.
    fn unanswered(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// A source had nothing for us. Wrong bytes are remembered above everything: they need a
    /// person, or a sample made anew, and not only a watcher that comes back.
    fn failed(&mut self, failure: Failure) {
        let wrong = |failure: &Failure| failure.cause == Cause::Transient;
        if !self.failure.as_ref().is_some_and(wrong) {
            self.failure = Some(failure);
        }
    }

    fn give_up(self) -> Fetched {
        let failure = self.failure.unwrap_or_else(|| {
            Failure::new(
                Cause::SourceUnavailable,
                "NO_SOURCE",
                "no machine that has the sample is online",
            )
        });
        (self.task, Err(failure))
    }

    /// Compares what a source gave with what the task says.
    fn verify(&self, bytes: &[u8], source: &str) -> Result<(), Failure> {
        let wrong = |what: String| {
            Err(Failure::new(
                Cause::Transient,
                "SAMPLE_MISMATCH",
                format!("{source} gave another sample than was registered: {what}"),
            ))
        };
        if bytes.len() != self.bytes() {
            let (got, wanted) = (bytes.len(), self.bytes());
            return wrong(format!("{got} bytes instead of {wanted}"));
        }
        if Sha256::digest(bytes)[..] != self.task.sample_sha256 {
            return wrong("its checksum differs".to_owned());
        }
        Ok(())
    }
}

/// The part of the budget that so many bytes take.
fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT).max(1)
}

/// Cuts off as many searches as fit in half the budget, and `most` at most.
fn portion(searches: &mut Vec<Search>, most: usize) -> Vec<Search> {
    let mut sum = 0;
    let fits = |search: &Search| {
        sum += units(search.bytes());
        sum <= BUDGET / UNIT / 2
    };
    let count = searches
        .iter()
        .take(most)
        .map(fits)
        .take_while(|&fits| fits)
        .count();
    searches.drain(..count.max(1).min(searches.len())).collect()
}
