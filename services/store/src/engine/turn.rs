//! What the thread does over and over: take what waits, answer the reads, commit the writes as
//! one group, do a slice of the chores.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use store_core::{Error as Core, Published, Store, lease::Notice};

use super::{
    Head, News,
    chores::{Chores, Due},
    gauges::SAMPLE_EVERY_MS,
    job::{Job, ReadJob, WriteJob, caught},
    lease::{Line, Waiter},
};
use crate::{Clock, Error};

/// Most requests taken at once, and most in one group.
const BATCH: usize = 128;
/// A group that has worked for this long takes no further request.
const BUDGET: Duration = Duration::from_millis(20);

/// The thread's own state.
pub(super) struct Turns {
    store: Store,
    jobs: Receiver<Job>,
    clock: Clock,
    news: News,
    chores: Chores,
    reads: VecDeque<ReadJob>,
    writes: VecDeque<Box<dyn WriteJob>>,
    line: Line,
    closing: bool,
    /// When memory was counted last; `None` after a change since.
    sampled_at: Option<u64>,
    changed: bool,
}

/// A request of the open group, and why it failed if it did.
type Done = (Box<dyn WriteJob>, Option<Error>);

impl Turns {
    pub(super) fn new(
        store: Store,
        jobs: Receiver<Job>,
        clock: Clock,
        news: News,
        chores: Chores,
    ) -> Self {
        let mut turns = Self {
            store,
            jobs,
            clock,
            news,
            chores,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            line: Line::default(),
            closing: false,
            sampled_at: None,
            changed: true,
        };
        turns.tell_followers();
        turns
    }

    /// Runs until it is closed, or until the database cannot be trusted any more. Closing the
    /// store, when it is dropped, writes the log back into the database.
    pub(super) fn run(mut self) -> Result<(), Error> {
        loop {
            self.receive();
            if self.closing && self.reads.is_empty() && self.writes.is_empty() {
                let (commits, requests) = self.news.gauges.commits();
                tracing::info!(
                    store.commits = commits,
                    store.requests = requests,
                    "closing the database: {requests} requests in {commits} commits"
                );
                return Ok(());
            }
            self.read();
            self.write()?;
            self.sample();
        }
    }

    fn receive(&mut self) {
        let now = self.clock.now();
        let due = self.line.due(now.mono_ms);
        self.retry(due);
        if self.reads.is_empty() && self.writes.is_empty() && !self.closing {
            let idle = self.chores.idle_for(&self.store, self.line.next_due(), now);
            match self.jobs.recv_timeout(idle) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.closing = true,
            }
        }
        while self.reads.len() + self.writes.len() < BATCH {
            match self.jobs.try_recv() {
                Ok(job) => self.take(job),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Read(job) => self.reads.push_back(job),
            Job::Write(job) => self.writes.push_back(job),
            Job::Lease(job) => self.writes.push_back(job),
            Job::Close => self.closing = true,
        }
    }

    /// Reads are answered before the group, so they see what is committed and need not wait for
    /// its COMMIT.
    fn read(&mut self) {
        let started = Instant::now();
        while let Some(job) = self.reads.pop_front() {
            job(&mut self.store, self.clock.now());
            if started.elapsed() > BUDGET {
                return;
            }
        }
    }

    /// One group: what the clock brings, so that no request meets a lease that has run out; the
    /// requests; a slice of upkeep; then COMMIT, publish, reply. An error means that the process
    /// must end.
    fn write(&mut self) -> Result<(), Error> {
        let due = self
            .chores
            .due(&self.store, self.clock.now(), self.writes.is_empty());
        if due.pulse {
            self.line.sweep();
        }
        if self.writes.is_empty() && !due.tick && !due.upkeep {
            self.chores.done(due, false, self.clock.now());
            return Ok(());
        }
        let (done, committed) = match self.store.begin() {
            Ok(()) => {
                let ticked = self.tick(due);
                let done = self.requests();
                let more = ticked.and_then(|()| self.upkeep(due));
                let committed = self.store.commit();
                self.settle_chores(due, more, committed.is_ok());
                (done, committed)
            }
            Err(error) => {
                self.settle_chores(due, None, false);
                let waiting = self.writes.drain(..).map(|job| (job, None)).collect();
                (waiting, Err(error))
            }
        };
        self.finish(done, &committed)
    }

    fn requests(&mut self) -> Vec<Done> {
        let started = Instant::now();
        let mut done: Vec<Done> = Vec::new();
        while done.len() < BATCH && (done.is_empty() || started.elapsed() < BUDGET) {
            let Some(mut job) = self.writes.pop_front() else {
                break;
            };
            if !job.is_wanted() {
                continue;
            }
            let now = self.clock.now();
            let outcome = caught(|| self.store.request(|write| job.run(write, now)));
            let failure = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Error::Core(error)),
                Err(panic) => Some(panic),
            };
            done.push((job, failure));
        }
        done
    }

    /// Ends leases, back-offs and parking that are due; `None` if that failed.
    fn tick(&mut self, due: Due) -> Option<()> {
        let now = self.clock.now();
        if due.tick {
            let ticked = caught(|| self.store.request(|write| write.tick(now)));
            chore("ending what is due", ticked)?;
        }
        Some(())
    }

    /// A slice of upkeep; `None` if it failed, else whether there is more.
    fn upkeep(&mut self, due: Due) -> Option<bool> {
        let now = self.clock.now();
        if !due.upkeep {
            return Some(false);
        }
        let kept = caught(|| self.store.request(|write| write.upkeep(now)));
        chore("upkeep", kept)
    }

    fn settle_chores(&mut self, due: Due, more: Option<bool>, committed: bool) {
        let now = self.clock.now();
        match more.filter(|_| committed) {
            Some(more) => self.chores.done(due, more, now),
            None if due.tick || due.upkeep => self.chores.failed(now),
            None => {}
        }
    }

    fn finish(
        &mut self,
        done: Vec<Done>,
        committed: &Result<Published, Core>,
    ) -> Result<(), Error> {
        let lost = match committed {
            Ok(published) => {
                self.news.gauges.committed(done.len());
                self.publish(published);
                None
            }
            Err(error) => {
                tracing::error!("a group of {} requests was lost: {error}", done.len());
                Some(error)
            }
        };
        let mut fatal = lost
            .filter(|error| error.is_fatal())
            .map(Error::for_neighbour);
        for (job, failure) in done {
            if let Some(Error::Core(error)) = &failure
                && error.is_fatal()
            {
                fatal = Some(Error::for_neighbour(error));
            }
            let failure = failure.or_else(|| lost.map(Error::for_neighbour));
            if let Some(waiter) = job.finish(failure) {
                self.line.park(waiter);
            }
        }
        if let Some(error) = fatal {
            return Err(error);
        }
        if let Ok(published) = committed {
            for &model in &published.woken {
                let line = self.line.of(model);
                self.retry(line);
            }
        }
        Ok(())
    }

    /// Those in line go before what came later, in their order.
    fn retry(&mut self, line: Vec<Waiter>) {
        for waiter in line.into_iter().rev() {
            self.writes.push_front(Box::new(waiter));
        }
    }

    fn publish(&mut self, published: &Published) {
        self.changed |= published.changed;
        self.tell_followers();
        if published.demand_changed || published.upkeep {
            self.chores.stir(self.clock.now());
        }
        if published.demand_changed {
            self.news.demand.send_modify(|count| *count += 1);
        }
        for notice in &published.notices {
            match notice {
                Notice::NodeStopped { node, failures } => tracing::warn!(
                    node.id = node,
                    node.failures = failures,
                    "node {node} gets no more tasks: it failed {failures} in a row while others \
                     succeed; `ResumeQueue` with its name lets it lease again"
                ),
                Notice::Suspected { task, crashes } => tracing::warn!(
                    task.id = task,
                    task.crashes = crashes,
                    "task {task} was running when its node died ({crashes} times)"
                ),
                Notice::Wake(_) => {}
            }
        }
    }

    /// Says where the feed stands now, if that has changed.
    fn tell_followers(&mut self) {
        let embed_model = match self.store.embed_model() {
            Ok(model) => model.map(|model| model.id),
            Err(error) => {
                tracing::error!("the embedding model cannot be read: {error}");
                return;
            }
        };
        let head = Head {
            seq: self.store.cursor().seq,
            embed_model,
        };
        self.news.feed.send_if_modified(|told| {
            let before = std::mem::replace(told, head);
            before != head
        });
    }

    fn sample(&mut self) {
        let now = self.clock.now().mono_ms;
        let old = |at: u64| now.saturating_sub(at) >= SAMPLE_EVERY_MS;
        if self.changed && self.sampled_at.is_none_or(old) {
            self.news.gauges.sample(&self.store);
            self.sampled_at = Some(now);
            self.changed = false;
        }
    }
}

/// What a chore answered; a failure is logged, and tried again later.
fn chore<T>(what: &str, outcome: Result<Result<T, Core>, Error>) -> Option<T> {
    match outcome {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::error!("{what} failed: {error}");
            None
        }
        Err(panic) => {
            tracing::error!("{what} failed: {panic}");
            None
        }
    }
}
