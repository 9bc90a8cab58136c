//! The one thread that owns the database, and the handle by which everybody asks it.
//!
//! Group commit without a timer: whatever has queued up while the last COMMIT was under way goes
//! into the next one, each request in a SAVEPOINT of its own; then COMMIT, publish, reply. Alone a
//! request waits for nobody, and under load many share one sync of the disk. Reads take no part in
//! a group: they are answered before it, from what is committed.
//!
//! The queue is bounded and what does not fit is refused; what waits although its caller has left
//! is dropped; a panic ends its request and nothing else.

mod chores;
mod gauges;
mod job;
mod lease;
mod turn;

use std::{
    pin::Pin,
    sync::{
        Arc,
        mpsc::{self, SyncSender, TrySendError},
    },
    task::{Context as TaskContext, Poll},
    time::Instant,
};

use kit::{Condition, Context, Tasks};
use store_core::{ModelId, ModelKind, Now, Options, Store, Write};
use tokio::sync::{oneshot, watch};

use crate::{Clock, Config, Error};

pub(crate) use lease::{Granted, Grants, Idle, LeaseRequest};

use chores::Chores;
use gauges::Gauges;
use job::{Job, Writing, caught};
use turn::Turns;

/// Requests that may wait for the thread.
const QUEUE: usize = 1_024;

/// A handle on the thread; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    queue: SyncSender<Job>,
    feed: watch::Receiver<Head>,
    demand: watch::Sender<u64>,
}

/// The end of the thread, to be awaited.
#[derive(Debug)]
pub(crate) struct Thread(oneshot::Receiver<Result<(), Error>>);

/// What followers of the feed wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// Last position of the feed.
    pub(crate) seq: u64,
    /// The model that look-alike search goes by.
    pub(crate) embed_model: Option<ModelId>,
}

/// What the thread tells the world after a COMMIT.
#[derive(Debug)]
struct News {
    feed: watch::Sender<Head>,
    /// Grows whenever demand may have changed.
    demand: watch::Sender<u64>,
    gauges: Arc<Gauges>,
}

impl Engine {
    /// Starts the thread, which opens the store and makes `ready` so. Requests may be sent at
    /// once; they are answered when it is open.
    pub(crate) fn spawn(
        config: &Config,
        cx: &Context,
        ready: Condition,
    ) -> Result<(Self, Thread), Error> {
        let gauges = Arc::new(Gauges::default());
        Gauges::register(&gauges, &cx.process, QUEUE * size_of::<Job>());
        let data = config.shared.data.clone();
        let options = Options {
            allow_network_file_system: config.allow_network_fs,
        };
        let clock = config.clock.clone();
        let open = {
            let clock = clock.clone();
            move || {
                let started = Instant::now();
                let store = Store::open(&data, &options, clock.now())?;
                let posts = store.index().memory().live;
                let took = started.elapsed();
                tracing::info!(store.posts = posts, "{posts} posts, opened in {took:?}");
                ready.ready();
                Ok(store)
            }
        };
        Self::start(clock, gauges, open)
    }

    fn start(
        clock: Clock,
        gauges: Arc<Gauges>,
        open: impl FnOnce() -> Result<Store, Error> + Send + 'static,
    ) -> Result<(Self, Thread), Error> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let (ended, thread) = oneshot::channel();
        let (feed, feed_watch) = watch::channel(Head::default());
        let news = News {
            feed,
            demand: watch::Sender::new(0),
            gauges,
        };
        let engine = Self {
            queue,
            feed: feed_watch,
            demand: news.demand.clone(),
        };
        Tasks::spawn_thread("database", move || {
            let outcome =
                open().and_then(|store| Turns::new(store, jobs, clock, news, Chores::new()).run());
            // Nobody listens when the process left without waiting.
            let _ = ended.send(outcome);
        })?;
        Ok((engine, Thread(thread)))
    }

    /// Asks for something that changes nothing. Keep it under a few milliseconds.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store, Now) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.touch(|store, now| work(store, now)).await
    }

    /// Makes a change. An OK answer means that it is on disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Write<'_>, Now) -> Result<T, store_core::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (job, answer) = Writing::new(work);
        self.submit(Job::Write(Box::new(job)))?;
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    /// Leases tasks, waiting for some if the request says so. Grants that are dropped unread are
    /// given back.
    pub(crate) async fn lease(&self, request: LeaseRequest) -> Result<Grants, Error> {
        let (job, answer) = lease::Waiter::new(request, self.clone());
        self.submit(Job::Lease(Box::new(job)))?;
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    /// Notes that a person, told apart by any number, wants nodes of a kind.
    pub(crate) async fn request_capacity(&self, kind: ModelKind, caller: u64) -> Result<(), Error> {
        self.touch(move |store, now| {
            store.request_capacity(kind, caller, now);
            Ok(())
        })
        .await?;
        self.demand.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Follows the head of the feed.
    pub(crate) fn feed(&self) -> watch::Receiver<Head> {
        self.feed.clone()
    }

    /// Follows a number that grows whenever demand may have changed.
    pub(crate) fn demand(&self) -> watch::Receiver<u64> {
        self.demand.subscribe()
    }

    /// Tells the thread to end when it has done what waits.
    pub(crate) fn close(&self) {
        // If the queue is full or the thread gone, the end of the process does the same.
        let _ = self.queue.try_send(Job::Close);
    }

    async fn touch<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store, Now) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.submit(Job::Read(Box::new(move |store, now| {
            if !reply.is_closed() {
                // A caller that left in the meantime wants no answer.
                let _ = reply.send(caught(|| work(store, now)).and_then(|outcome| outcome));
            }
        })))?;
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    fn submit(&self, job: Job) -> Result<(), Error> {
        self.queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::Busy { waiting: QUEUE },
            TrySendError::Disconnected(_) => Error::Stopping,
        })
    }
}

impl Future for Thread {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|ended| ended.unwrap_or(Err(Error::EngineDied)))
    }
}

#[cfg(test)]
mod tests;
