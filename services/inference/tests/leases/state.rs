//! What the store of these tests holds, and the rules that it holds its node to.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::store::v1 as wire;
use sha2::{Digest, Sha256};

/// One task and all that ever happened to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) sample: Arc<[u8]>,
    pub(crate) sources: Vec<wire::SampleSource>,
    /// What the store believes of the sample; differs from it in tests of wrong bytes.
    pub(crate) byte_size: u32,
    pub(crate) sha256: String,
    pub(crate) alone: bool,
    /// Token and deadline while leased.
    pub(crate) lease: Option<(u64, Instant)>,
    pub(crate) running: bool,
    /// Was marked at some time under this lease.
    pub(crate) marked: bool,
    pub(crate) results: Vec<wire::TagResult>,
    pub(crate) failure: Option<wire::TaskFailure>,
    pub(crate) leased_times: u32,
    pub(crate) released: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) tasks: Vec<Entry>,
    pub(crate) registered: Option<u64>,
    /// An incarnation that was replaced and may not come back.
    pub(crate) retired: Option<u64>,
    pub(crate) registrations: u32,
    pub(crate) renewals: u32,
    pub(crate) completions: u32,
    pub(crate) counter: u64,
    pub(crate) most_held: usize,
    pub(crate) most_asked: u32,
    /// Answer this many calls with nothing but a cut connection's error after doing the work.
    pub(crate) lose_answers: u32,
    pub(crate) idle_reason: String,
    /// Whatever the node did against the protocol.
    pub(crate) violations: Vec<String>,
}

/// The state, shared with every start of the server.
#[derive(Debug, Clone)]
pub(crate) struct State {
    inner: Arc<Mutex<Inner>>,
    pub(crate) ttl: Duration,
    pub(crate) renew_every: Duration,
}

impl State {
    pub(crate) fn new(ttl: Duration, renew_every: Duration) -> Self {
        Self {
            inner: Arc::default(),
            ttl,
            renew_every,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task for `sample`; gives its index.
    pub(crate) fn add(
        &self,
        sample: impl Into<Arc<[u8]>>,
        sources: Vec<wire::SampleSource>,
    ) -> usize {
        let sample = sample.into();
        let mut inner = self.lock();
        inner.tasks.push(Entry {
            sources,
            byte_size: u32::try_from(sample.len()).unwrap(),
            sha256: kit::hex::encode(&Sha256::digest(&sample)),
            sample,
            ..Entry::default()
        });
        inner.tasks.len() - 1
    }

    pub(crate) fn entry(&self, index: usize) -> Entry {
        self.lock().tasks[index].clone()
    }

    pub(crate) fn done(&self) -> usize {
        self.lock()
            .tasks
            .iter()
            .filter(|task| !task.results.is_empty())
            .count()
    }

    pub(crate) fn held(&self) -> usize {
        self.lock().held()
    }

    /// Takes a lease away, as after a time-out.
    pub(crate) fn expire(&self, index: usize) {
        let mut inner = self.lock();
        inner.tasks[index].lease = None;
        inner.tasks[index].running = false;
    }

    /// Nothing was done against the protocol, and no result came twice.
    pub(crate) fn assert_clean(&self) {
        let inner = self.lock();
        assert!(inner.violations.is_empty(), "{:#?}", inner.violations);
        for (index, task) in inner.tasks.iter().enumerate() {
            assert!(
                task.results.len() <= 1,
                "task {index} was done {} times",
                task.results.len()
            );
        }
    }
}

impl Inner {
    pub(crate) fn held(&self) -> usize {
        self.tasks
            .iter()
            .filter(|task| task.lease.is_some())
            .count()
    }

    pub(crate) fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// Leases whose time is up.
    pub(crate) fn tick(&mut self) {
        let now = Instant::now();
        for task in &mut self.tasks {
            if task.lease.is_some_and(|(_, deadline)| deadline < now) {
                task.lease = None;
                task.running = false;
            }
        }
    }

    /// The task that this lease is for, if it is the current one.
    pub(crate) fn find(&mut self, name: &str, token: Option<wire::LeaseToken>) -> Option<usize> {
        self.tick();
        let index: usize = name.strip_prefix("tasks/")?.parse().ok()?;
        let Some(token) = token.filter(|token| token.epoch == 1) else {
            self.violation(format!("{name} without a proper token"));
            return None;
        };
        let held = self.tasks.get(index)?.lease.map(|(counter, _)| counter);
        (held == Some(token.counter)).then_some(index)
    }

    pub(crate) fn mark(&mut self, leases: &[wire::TaskLease]) -> Vec<String> {
        let unique: HashSet<_> = leases.iter().map(|lease| &lease.task).collect();
        if leases.len() > 256 || unique.len() != leases.len() {
            self.violation(format!("a mark of {} leases", leases.len()));
        }
        for task in &mut self.tasks {
            task.running = false;
        }
        let mut lost = Vec::new();
        for lease in leases {
            let Some(index) = self.find(&lease.task, lease.token) else {
                lost.push(lease.task.clone());
                continue;
            };
            self.tasks[index].running = true;
            self.tasks[index].marked = true;
            if self.tasks[index].alone && (leases.len() > 1 || self.held() > 1) {
                let held = self.held();
                self.violation(format!("{} should run alone; {held} are held", lease.task));
            }
        }
        lost
    }
}
