//! What every inference node does all day: lease tasks, fetch and prepare their samples while the
//! device runs the batch before, run, deliver; and, between two batches, run what somebody waits
//! for. The store is never needed to be there: without it nothing is leased, nothing is lost, and
//! memory stands still.
//!
//! [`Node::start`] takes a loaded session; [`Node::pull`] runs the loop until the shutdown;
//! [`Node::infer`] runs one sample out of turn.
//!
//! The parts: [`pull`] owns the state; [`link`] and [`store`] talk to the store, [`report`]
//! delivers and renews, [`ledger`] knows what is held, [`samples`] fetches, [`decoders`] prepare,
//! [`engine`] runs.

mod activity;
mod decoders;
mod engine;
mod error;
mod ledger;
mod link;
mod pace;
mod pull;
mod registration;
mod report;
mod samples;
mod store;
mod task;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kit::client::Peer;
use tokio::sync::{mpsc, oneshot};

pub use engine::Run;
pub use error::Error;
pub use pull::Read;
pub use registration::{Registration, category};
pub use store::Finding;

use crate::batch::Batch;
use crate::model::Model;
use crate::model::spec::InputSpec;
use activity::Activity;
use decoders::{Decoders, Job};
use engine::{Engine, Ran};
use pull::{Parts, Pull};

/// How a node works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Threads that decode and prepare, at least 1.
    pub decoders: usize,
    /// Most pictures in a batch; never more than the model's own maximum, or 256.
    pub max_batch: usize,
    /// The shutdown begins after so long without work; `None`: never.
    pub idle_exit: Option<Duration>,
}

/// A node at work.
pub struct Node {
    engine: Arc<Engine>,
    decoders: Arc<Decoders>,
    activity: Activity,
    pattern: Batch,
    config: Config,
    ran: Mutex<Option<mpsc::UnboundedReceiver<Ran>>>,
}

/// A sample that was run out of turn.
#[derive(Debug)]
pub struct Inferred {
    /// The row of outputs.
    pub row: Vec<f32>,
    /// From the sample to the row: waiting, preparing, running.
    pub time: Duration,
}

impl Node {
    /// Starts the threads around `run`, which takes inputs as `input` says.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(run: impl Run, input: &InputSpec, config: Config) -> Result<Self, Error> {
        let pattern = run.batch(1);
        let (done, ran) = mpsc::unbounded_channel();
        Ok(Self {
            engine: Arc::new(Engine::start(run, done)?),
            decoders: Arc::new(Decoders::start(input, config.decoders.max(1))?),
            activity: Activity::new(),
            pattern,
            config,
            ran: Mutex::new(Some(ran)),
        })
    }

    /// Leases and works until the shutdown of `cx` begins, then finishes within its grace period.
    /// `read` names what a row of outputs says. To be called once.
    ///
    /// # Errors
    /// If the store refuses this node, another process took its place, or nothing runs any more.
    pub async fn pull(
        &self,
        cx: &kit::Context,
        peer: &Peer,
        registration: Registration,
        read: Read,
    ) -> Result<(), Error> {
        let taken = self
            .ran
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let ran = taken.ok_or(Error::Stopping)?;
        let store = store::Store::new(peer, &cx.process);
        let link = Arc::new(link::Link::new(
            store,
            cx.health.condition("store"),
            registration,
        ));
        match link.register(&cx.shutdown).await {
            None => return Ok(()),
            Some(registered) => registered?,
        }
        let ledger = ledger::Ledger::new();
        let give_up = kit::Shutdown::new();
        let (reports, inbox) = mpsc::unbounded_channel();
        let deliver = report::deliver(Arc::clone(&link), ledger.clone(), inbox, give_up.clone());
        let deliver = cx.tasks.spawn("deliver", deliver);
        let renew = report::renew(Arc::clone(&link), ledger.clone(), give_up.clone());
        let renew = cx.tasks.spawn("renew", renew);
        let pull = Pull::new(self.parts(cx, link, ledger, ran, reports, read));
        let ended = pull.work(cx.shared.grace).await;
        let grace = cx.shared.grace;
        // What is left of the grace period but for the drain's own last steps.
        if tokio::time::timeout(grace.mul_f64(0.2), deliver)
            .await
            .is_err()
        {
            tracing::warn!("the store did not take the last results in time");
        }
        give_up.begin();
        // It ends at once now; a panic in it has been logged.
        let _ = renew.await;
        ended
    }

    fn parts(
        &self,
        cx: &kit::Context,
        link: Arc<link::Link>,
        ledger: ledger::Ledger,
        ran: mpsc::UnboundedReceiver<Ran>,
        reports: mpsc::UnboundedSender<report::Report>,
        read: Read,
    ) -> Parts {
        let samples = samples::Samples::new(cx.credential.clone());
        cx.process.memory_part("samples", samples.gauge());
        cx.process.memory_part("rows", self.decoders.gauge());
        let condition = cx.health.condition("device");
        condition.ready();
        Parts {
            stop: cx.shutdown.clone(),
            tasks: cx.tasks.clone(),
            link,
            ledger,
            samples,
            decoders: Arc::clone(&self.decoders),
            engine: Arc::clone(&self.engine),
            ran,
            reports,
            read,
            pace: pace::Pace::new(self.config.max_batch.min(256)),
            pattern: self.pattern.another(1),
            condition,
            process: cx.process.clone(),
            activity: self.activity.clone(),
            idle_exit: self.config.idle_exit,
        }
    }

    /// Runs one sample before everything that is queued. Its checksum is the caller's business.
    ///
    /// # Errors
    /// [`Error::Busy`] if too many wait already, [`Error::Stopping`], or [`Error::Run`].
    pub async fn infer(&self, sample: Vec<u8>) -> Result<Inferred, Error> {
        self.activity.touch();
        let started = Instant::now();
        let (reply, prepared) = oneshot::channel();
        let job = Job {
            sample,
            share: None,
            then: Box::new(move |row| {
                // Who asked may have left.
                let _ = reply.send(row);
            }),
        };
        if !self.decoders.submit_urgent(job) {
            return Err(Error::Busy);
        }
        let row = prepared.await.map_err(|_| Error::Stopping)??;
        let answer = self.engine.submit_urgent(row).ok_or(Error::Busy)?;
        let row = answer.await.map_err(|_| Error::Stopping)??;
        self.activity.touch();
        Ok(Inferred {
            row,
            time: started.elapsed(),
        })
    }

    /// Samples prepared out of turn that wait for the device.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.engine.waiting()
    }

    /// Ends the device thread and with it the session. To be called after [`Node::pull`] has
    /// ended, and before the process does.
    pub async fn close(&self) {
        let engine = Arc::clone(&self.engine);
        // Only the end of the runtime takes this away.
        let _ = tokio::task::spawn_blocking(move || engine.close()).await;
    }
}

/// Registers a model with the store, for programs that do nothing else; gives its resource name.
///
/// # Errors
/// If the store does not answer or does not take it.
pub async fn register_model(
    peer: &Peer,
    process: &kit::Process,
    model: &Model,
) -> Result<String, Error> {
    let store = store::Store::new(peer, process);
    let request = registration::register_model(model);
    let registered = kit::retry::calls(|| store.register_model(&request)).await;
    registered.map_err(|status| Error::Refused(Box::new(status)))
}
