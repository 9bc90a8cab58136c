//! The threads that decode and prepare pictures while the device runs. Somebody who waits for an
//! answer goes first. Rows of the queue are numbered, so that decoding ahead stays bounded: when
//! none is free, the threads wait for the device, and still serve those who wait.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Error, Result};
use crate::model::spec::InputSpec;
use crate::preprocess::{Picture, Preprocessor};

/// A thread without work gives its buffers back after this.
const IDLE: Duration = Duration::from_secs(10);
/// Pictures that may wait out of turn.
const MOST_URGENT: usize = 64;

/// The threads.
#[derive(Debug)]
pub(super) struct Decoders {
    shared: Arc<Shared>,
}

/// A prepared picture: one row of input.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) values: Vec<f32>,
    home: Option<Weak<Shared>>,
}

/// A sample to prepare, and what to do with the row, on the thread.
pub(super) struct Job {
    pub(super) sample: Vec<u8>,
    /// The sample's share of the memory for samples; given back when it is decoded.
    pub(super) share: Option<OwnedSemaphorePermit>,
    pub(super) then: Box<dyn FnOnce(Result<Row>) + Send>,
}

#[derive(Debug)]
struct Shared {
    input: InputSpec,
    queue: Mutex<Queue>,
    work: Condvar,
    most_rows: usize,
}

#[derive(Default)]
struct Queue {
    urgent: VecDeque<Job>,
    jobs: VecDeque<Job>,
    /// Buffers to use again.
    spare: Vec<Vec<f32>>,
    /// Rows of the queue that are being filled, or not yet copied into a batch.
    rows: usize,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("urgent", &self.urgent.len())
            .field("jobs", &self.jobs.len())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Decoders {
    /// Starts `threads` threads for this kind of input.
    pub(super) fn start(input: &InputSpec, threads: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            input: input.clone(),
            queue: Mutex::default(),
            work: Condvar::new(),
            most_rows: threads + 2,
        });
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            kit::Tasks::spawn_thread(&format!("decode-{number}"), move || shared.serve())?;
        }
        Ok(Self { shared })
    }

    /// Prepares a sample in its turn. What may be submitted is bounded by what is leased.
    pub(super) fn submit(&self, job: Job) {
        self.shared.lock().jobs.push_back(job);
        self.shared.work.notify_one();
    }

    /// Prepares a sample before all others; `false` if too many wait so already.
    pub(super) fn submit_urgent(&self, job: Job) -> bool {
        let mut queue = self.shared.lock();
        if queue.urgent.len() >= MOST_URGENT {
            return false;
        }
        queue.urgent.push_back(job);
        drop(queue);
        self.shared.work.notify_one();
        true
    }

    /// Counts the bytes of rows made ahead.
    pub(super) fn gauge(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        let row = shared.input.values() * size_of::<f32>();
        move || {
            let queue = shared.lock();
            ((queue.rows + queue.spare.len()) * row) as u64
        }
    }
}

impl Drop for Decoders {
    /// The threads end; what waits is dropped undone.
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        let waiting = (
            std::mem::take(&mut queue.urgent),
            std::mem::take(&mut queue.jobs),
        );
        drop(queue);
        drop(waiting);
        self.shared.work.notify_all();
    }
}

impl Drop for Row {
    /// The buffer goes home, and a thread may fill it again.
    fn drop(&mut self) {
        let Some(home) = self.home.as_ref().and_then(Weak::upgrade) else {
            return;
        };
        let mut queue = home.lock();
        queue.rows -= 1;
        queue.spare.push(std::mem::take(&mut self.values));
        drop(queue);
        home.work.notify_one();
    }
}

/// What a thread keeps from picture to picture.
struct Tools {
    picture: Picture,
    preprocessor: Preprocessor,
}

impl Shared {
    fn serve(self: Arc<Self>) {
        let mut tools = None;
        while let Some((job, row)) = self.next(&mut tools) {
            let tools = tools.get_or_insert_with(|| Tools {
                picture: Picture::default(),
                preprocessor: Preprocessor::new(&self.input),
            });
            let Job {
                sample,
                share,
                then,
            } = job;
            let mut row = row;
            let prepared = catch_unwind(AssertUnwindSafe(|| {
                tools.picture.read_sample(&sample)?;
                tools.preprocessor.prepare(&tools.picture, &mut row.values)
            }))
            .unwrap_or_else(|_| Err(Error::picture("the decoder panicked over it")));
            drop((sample, share));
            then(prepared.map(|()| row));
        }
    }

    /// The next job with a row to fill; `None` when all is over. A thread that waits for long lets
    /// its tools go.
    fn next(self: &Arc<Self>, tools: &mut Option<Tools>) -> Option<(Job, Row)> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.urgent.pop_front() {
                let values = vec![0.0; self.input.values()];
                return Some((job, Row { values, home: None }));
            }
            if queue.rows < self.most_rows
                && let Some(job) = queue.jobs.pop_front()
            {
                queue.rows += 1;
                let spare = queue.spare.pop();
                drop(queue);
                let values = spare.unwrap_or_else(|| vec![0.0; self.input.values()]);
                let home = Some(Arc::downgrade(self));
                return Some((job, Row { values, home }));
            }
            let (woken, wait) = self
                .work
                .wait_timeout(queue, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            if wait.timed_out() && (tools.is_some() || !queue.spare.is_empty()) {
                let spare = std::mem::take(&mut queue.spare);
                drop(queue);
                drop((spare, tools.take()));
                kit::memory::release();
                queue = self.lock();
            }
        }
    }

    /// Whole after every statement, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
