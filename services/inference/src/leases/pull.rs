//! The loop: leases ahead, has samples fetched and prepared, fills batches, keeps one ready while
//! another runs, and hands on what came out. One task owns all of this state; threads and calls
//! send it events.

mod fill;
mod finish;

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use kit::{Condition, Shutdown, Tasks};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::activity::Activity;
use super::decoders::{Decoders, Job, Row};
use super::engine::{Engine, Filled, Ran};
use super::error::Error;
use super::ledger::Ledger;
use super::link::Link;
use super::pace::Pace;
use super::report::Report;
use super::samples::Samples;
use super::store::{Done, Finding, Granted};
use super::task::{Failure, Lease, Task};
use crate::batch::Batch;

/// The longest long poll.
const POLL: Duration = Duration::from_secs(30);
/// How long ready pictures wait for their fellows while the device is free.
const LINGER: Duration = Duration::from_millis(100);
/// Results that may wait for the store before leasing stops, in batches.
const UNDELIVERED: usize = 2;
/// A device on which nothing runs is tried again so often before the process gives up; the wait
/// before each is twice the one before.
const PROBES: u32 = 5;

/// What threads and calls tell the loop.
pub(super) enum Event {
    /// A sample was decoded, or is no picture.
    Prepared(Task, crate::Result<Row>),
    /// A sample could not be had.
    NotFetched(Task, Failure),
}

/// Names what a row of outputs says.
pub type Read = Arc<dyn Fn(&[f32]) -> crate::Result<Finding> + Send + Sync>;

/// What the loop works with.
pub(super) struct Parts {
    pub(super) stop: Shutdown,
    pub(super) tasks: Tasks,
    pub(super) link: Arc<Link>,
    pub(super) ledger: Ledger,
    pub(super) samples: Samples,
    pub(super) decoders: Arc<Decoders>,
    pub(super) engine: Arc<Engine>,
    pub(super) ran: mpsc::UnboundedReceiver<Ran>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
    pub(super) read: Read,
    pub(super) pace: Pace,
    /// An empty batch, from which the others are made.
    pub(super) pattern: Batch,
    pub(super) condition: Condition,
    pub(super) process: kit::Process,
    pub(super) activity: Activity,
    pub(super) idle_exit: Option<Duration>,
}

/// The state of the loop.
pub(super) struct Pull {
    parts: Parts,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
    held: watch::Receiver<usize>,
    /// Tasks whose samples are being fetched or decoded.
    preparing: usize,
    /// Prepared, and waiting for a place in a batch.
    ready: VecDeque<(Task, Row)>,
    filling: Option<Filled>,
    /// When the first picture came into the batch that is being filled.
    since: Instant,
    /// A full batch, of which the store is being told that it runs next.
    marking: Option<BoxFuture<'static, (Filled, bool)>>,
    /// The leases of the batches that the device has, the first of them running.
    device: VecDeque<Vec<Lease>>,
    /// A task that waits until nothing else is held; no more are leased until it is done.
    alone: Option<Alone>,
    sick: Option<u32>,
    spare: Vec<Batch>,
    /// Bytes of all batches, for the memory report.
    bytes: Arc<AtomicU64>,
}

enum Alone {
    Waiting(Box<Task>),
    Running,
}

impl Pull {
    pub(super) fn new(parts: Parts) -> Self {
        let bytes = Arc::<AtomicU64>::default();
        let gauge = Arc::clone(&bytes);
        let count = move || gauge.load(Ordering::Relaxed);
        parts.process.memory_part("batches", count);
        Self {
            bytes,
            held: parts.ledger.watch(),
            parts,
            events: mpsc::unbounded_channel(),
            preparing: 0,
            ready: VecDeque::new(),
            filling: None,
            since: Instant::now(),
            marking: None,
            device: VecDeque::new(),
            alone: None,
            sick: None,
            spare: Vec::new(),
        }
    }

    /// Works until the shutdown begins, then finishes within `grace`.
    pub(super) async fn work(mut self, grace: Duration) -> Result<(), Error> {
        let ended = self.run().await;
        self.finish(grace).await;
        ended
    }

    async fn run(&mut self) -> Result<(), Error> {
        let mut lease: Option<BoxFuture<'static, Option<Result<Granted, Error>>>> = None;
        let mut probe: Option<BoxFuture<'static, bool>> = None;
        let stop = self.parts.stop.clone();
        loop {
            if lease.is_none() {
                lease = self.next_lease();
            }
            if probe.is_none() {
                probe = self.next_probe();
            }
            let linger = self.linger();
            tokio::select! {
                () = stop.begun() => return Ok(()),
                answer = maybe(&mut lease) => {
                    lease = None;
                    match answer {
                        Some(granted) => self.granted(granted?),
                        None => return Ok(()),
                    }
                }
                Some(event) = self.events.1.recv() => self.event(event),
                // It never ends while the thread of the device lives.
                ran = self.parts.ran.recv() => self.ran(ran.ok_or(Error::ModelBroken)?),
                (filled, mine) = maybe(&mut self.marking) => {
                    self.marking = None;
                    self.marked(filled, mine);
                }
                well = maybe(&mut probe) => {
                    probe = None;
                    self.probed(well)?;
                }
                Ok(()) = self.held.changed() => {}
                () = until(linger) => {}
            }
            self.advance();
        }
    }

    /// Asks for as much as keeps the device busy, and nobody else waiting.
    fn next_lease(&self) -> Option<BoxFuture<'static, Option<Result<Granted, Error>>>> {
        let ahead =
            self.preparing + self.ready.len() + self.filling.as_ref().map_or(0, Filled::len);
        let marked: usize = self.device.iter().map(Vec::len).sum();
        let undelivered = self.parts.ledger.len().saturating_sub(ahead + marked);
        let size = self.parts.pace.size();
        let most = size * 2;
        let busy = self.alone.is_some() || self.sick.is_some();
        if busy || ahead >= most || undelivered > size * (UNDELIVERED + 1) {
            return None;
        }
        let link = Arc::clone(&self.parts.link);
        let stop = self.parts.stop.clone();
        let wait = self.parts.idle_exit.map_or(POLL, |limit| {
            let left = limit.saturating_sub(self.parts.activity.idle());
            left.clamp(Duration::from_millis(100), POLL)
        });
        Some(Box::pin(async move {
            link.lease(&stop, most - ahead, wait).await
        }))
    }

    fn granted(&mut self, granted: Granted) {
        self.tell_idle(&granted.idle_reason);
        if granted.tasks.is_empty() {
            self.leave_if_idle();
            return;
        }
        self.parts.activity.touch();
        for task in &granted.tasks {
            self.parts.ledger.add(&task.lease);
        }
        if granted.alone {
            let mut tasks = granted.tasks.into_iter();
            self.alone = tasks.next().map(|task| Alone::Waiting(Box::new(task)));
            // The contract sends exactly one; more would be run in company elsewhere.
            tasks.for_each(|task| self.report(Report::Released(task.lease)));
        } else {
            self.prepare(granted.tasks);
        }
    }

    /// What holds the queue up is for people to know.
    fn tell_idle(&self, reason: &str) {
        let process = &self.parts.process;
        match reason {
            "" => {
                process.clear_notice("PAUSED");
                process.clear_notice("NODE_STOPPED");
            }
            "PAUSED" => process.notice("PAUSED", "the queue is paused; `kumo tasks` resumes it"),
            _ => process.notice(
                "NODE_STOPPED",
                format!("the store gives this node no work ({reason}): too much failed here"),
            ),
        }
    }

    fn leave_if_idle(&self) {
        let Some(limit) = self.parts.idle_exit else {
            return;
        };
        if self.parts.ledger.len() == 0 && self.parts.activity.idle() >= limit {
            tracing::info!("nothing to do for {limit:?}: leaving");
            self.parts.stop.begin();
        }
    }

    /// Has samples fetched and decoded; each comes back as an event.
    fn prepare(&mut self, tasks: Vec<Task>) {
        self.preparing += tasks.len();
        let samples = self.parts.samples.clone();
        let (stop, ledger) = (self.parts.stop.clone(), self.parts.ledger.clone());
        let decoders = Arc::clone(&self.parts.decoders);
        let events = self.events.0.clone();
        self.parts.tasks.spawn("fetch", async move {
            let wanted = |task: &Task| ledger.holds(&task.lease);
            // An event that nobody hears is of a loop that has ended.
            let fetch = samples.fetch(tasks, wanted, |(task, sample)| match sample {
                Err(failure) => {
                    let _ = events.send(Event::NotFetched(task, failure));
                }
                Ok(sample) => {
                    tracing::debug!(trace_id = task.trace.trace_id(), task = %task.lease.task, "fetched");
                    let events = events.clone();
                    decoders.submit(Job {
                        sample: sample.bytes,
                        share: Some(sample.share),
                        then: Box::new(move |row| {
                            tracing::debug!(trace_id = task.trace.trace_id(), task = %task.lease.task, "decoded");
                            let _ = events.send(Event::Prepared(task, row));
                        }),
                    });
                }
            });
            stop.or(fetch).await;
        });
    }

    fn event(&mut self, event: Event) {
        self.preparing = self.preparing.saturating_sub(1);
        match event {
            Event::Prepared(task, Ok(row)) => self.ready.push_back((task, row)),
            Event::Prepared(task, Err(error)) => {
                self.report(Report::Failed(task.lease, Failure::of(&error)));
            }
            Event::NotFetched(task, failure) => self.report(Report::Failed(task.lease, failure)),
        }
    }

    fn ran(&mut self, ran: Ran) {
        self.parts.activity.touch();
        self.device.pop_front();
        self.parts.pace.learn(ran.rows.len(), ran.time);
        self.recycle(ran.batch);
        if ran.sick && self.sick.is_none() {
            self.sick = Some(0);
            tracing::error!("nothing runs on this device any more; giving the tasks back");
            self.parts
                .condition
                .waiting("not even a blank picture runs on the device");
        }
        for (task, outcome) in ran.rows {
            match outcome.and_then(|row| (self.parts.read)(&row)) {
                Ok(finding) => {
                    let done = Done {
                        lease: task.lease,
                        render_revision: task.render_revision,
                        finding,
                    };
                    self.report(Report::Done(done, task.trace));
                }
                Err(crate::Error::RunCancelled) => self.report(Report::Released(task.lease)),
                Err(_) if ran.sick => self.report(Report::Released(task.lease)),
                Err(error) => self.report(Report::Failed(task.lease, Failure::of(&error))),
            }
        }
    }

    /// While nothing runs, tries a blank picture now and then.
    fn next_probe(&self) -> Option<BoxFuture<'static, bool>> {
        let tries = self.sick.filter(|_| self.device.is_empty())?;
        let engine = Arc::clone(&self.parts.engine);
        Some(Box::pin(async move {
            sleep(Duration::from_secs(1 << tries.min(6))).await;
            engine.probe().await
        }))
    }

    fn probed(&mut self, well: bool) -> Result<(), Error> {
        if well {
            tracing::info!("the device runs again");
            self.sick = None;
            self.parts.condition.ready();
            return Ok(());
        }
        let tries = self.sick.unwrap_or_default() + 1;
        self.sick = Some(tries);
        if tries < PROBES {
            Ok(())
        } else {
            Err(Error::ModelBroken)
        }
    }

    fn report(&self, report: Report) {
        // The other end outlives the loop, unless the store was given up at the end.
        let _ = self.parts.reports.send(report);
    }
}

/// The future, if there is one; for ever otherwise.
async fn maybe<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
