//! What the thread tells about itself: memory by part, and how many requests shared how many
//! commits.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use kit::Process;
use store_core::Store;

/// How often memory is counted while the store changes, milliseconds. Counting visits every tag.
pub(super) const SAMPLE_EVERY_MS: u64 = 30_000;

/// Figures that may be read at any time, from any thread.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    postings: AtomicUsize,
    columns: AtomicUsize,
    flags: AtomicUsize,
    tags: AtomicUsize,
    labels: AtomicUsize,
    sqlite: AtomicUsize,
    commits: AtomicU64,
    requests: AtomicU64,
}

impl Gauges {
    /// Names the parts of memory to the process; `queue` is what the empty queue takes, bytes.
    pub(super) fn register(gauges: &Arc<Self>, process: &Process, queue: usize) {
        let part = |name, field: fn(&Self) -> &AtomicUsize| {
            let gauges = Arc::clone(gauges);
            process.memory_part(name, move || field(&gauges).load(Ordering::Relaxed) as u64);
        };
        part("index.postings", |g| &g.postings);
        part("index.columns", |g| &g.columns);
        part("index.flags", |g| &g.flags);
        part("tags", |g| &g.tags);
        part("models.labels", |g| &g.labels);
        part("sqlite", |g| &g.sqlite);
        process.memory_part("engine.queue", move || queue as u64);
    }

    /// Counts the memory.
    pub(super) fn sample(&self, store: &Store) {
        let memory = store.memory();
        let set = |gauge: &AtomicUsize, bytes| gauge.store(bytes, Ordering::Relaxed);
        set(&self.postings, memory.index.postings);
        set(&self.columns, memory.index.columns);
        set(&self.flags, memory.index.flags);
        set(&self.tags, memory.tag_names);
        set(&self.labels, memory.labels);
        set(&self.sqlite, memory.sqlite);
    }

    /// A group of requests was committed.
    pub(super) fn committed(&self, requests: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(requests as u64, Ordering::Relaxed);
    }

    /// Commits so far, and the requests that took part in them.
    pub(super) fn commits(&self) -> (u64, u64) {
        (
            self.commits.load(Ordering::Relaxed),
            self.requests.load(Ordering::Relaxed),
        )
    }
}
