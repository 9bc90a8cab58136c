//! Leasing, and waiting for something to lease.
//!
//! Who finds nothing waits in line, by model, first come first served. When a COMMIT says that a
//! model has tasks, its line tries again in order, in the next group. Nothing holds the thread
//! meanwhile.

use std::collections::BTreeMap;

use store_core::{
    ModelId, Now, Write,
    lease::{Claim, Holder, Refusal},
    node::Subject,
    task::LeasedTask,
    watcher::Source,
};
use tokio::sync::oneshot;

use super::{
    Engine,
    job::{Job, WriteJob},
};
use crate::Error;

/// Who wants how much, and how long he waits for it.
#[derive(Debug, Clone)]
pub(crate) struct LeaseRequest {
    /// Node name.
    pub(crate) node: String,
    /// Incarnation.
    pub(crate) incarnation: u64,
    /// Whose token it shows.
    pub(crate) subject: Subject,
    /// Of which model.
    pub(crate) model: ModelId,
    /// Tasks at most.
    pub(crate) max: usize,
    /// How long to wait for some, milliseconds.
    pub(crate) wait_ms: u64,
}

/// A task with the places where its sample is.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub(crate) task: LeasedTask,
    pub(crate) sources: Vec<Source>,
}

/// Why there was nothing, if not for want of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// A person paused the queue or the node.
    Paused,
    /// Everything failed on this node while others succeeded.
    NodeStopped,
}

/// What was leased. If it is dropped before it was taken, the leases are given back: a caller may
/// leave between the COMMIT and the answer.
#[derive(Debug)]
pub(crate) struct Grants {
    tasks: Vec<Granted>,
    idle: Option<Idle>,
    holder: Option<Holder>,
    engine: Engine,
}

/// One who asks for tasks.
#[derive(Debug)]
pub(super) struct Waiter {
    request: LeaseRequest,
    reply: oneshot::Sender<Result<Grants, Error>>,
    /// Place in line and last moment, both set at the first try.
    place: Option<Place>,
    found: Found,
    engine: Engine,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    ticket: u64,
    until_ms: u64,
}

#[derive(Debug, Default)]
struct Found {
    tasks: Vec<Granted>,
    idle: Option<Idle>,
    holder: Option<Holder>,
    tried_ms: u64,
}

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BTreeMap<(ModelId, u64), Waiter>,
    next_ticket: u64,
}

impl Grants {
    /// Takes the tasks, and with them the duty to return them.
    pub(crate) fn take(mut self) -> (Vec<Granted>, Option<Idle>) {
        self.holder = None;
        (std::mem::take(&mut self.tasks), self.idle)
    }
}

impl Drop for Grants {
    fn drop(&mut self) {
        let Some(holder) = self.holder else { return };
        let claims: Vec<Claim> = self.tasks.iter().map(claim).collect();
        if claims.is_empty() {
            return;
        }
        let job = Release { holder, claims };
        // If the queue is full, the leases run out by themselves.
        let _ = self.engine.submit(Job::Write(Box::new(job)));
    }
}

fn claim(granted: &Granted) -> Claim {
    let grant = granted.task.grant;
    Claim {
        task: grant.task,
        token: grant.token,
    }
}

/// Leases that nobody read of; nobody asks for this either.
struct Release {
    holder: Holder,
    claims: Vec<Claim>,
}

impl WriteJob for Release {
    fn is_wanted(&self) -> bool {
        true
    }

    fn run(&mut self, write: &mut Write<'_>, now: Now) -> Result<(), store_core::Error> {
        let claims = std::mem::take(&mut self.claims);
        write.release_leases(self.holder, claims, now).map(|_| ())
    }

    fn finish(self: Box<Self>, failure: Option<Error>) -> Option<Waiter> {
        if let Some(error) = failure {
            tracing::debug!("unread leases were not given back: {error}");
        }
        None
    }
}

impl Waiter {
    pub(super) fn new(
        request: LeaseRequest,
        engine: Engine,
    ) -> (Self, oneshot::Receiver<Result<Grants, Error>>) {
        let (reply, answer) = oneshot::channel();
        let waiter = Self {
            request,
            reply,
            place: None,
            found: Found::default(),
            engine,
        };
        (waiter, answer)
    }

    fn try_now(&self, write: &mut Write<'_>, now: Now) -> Result<Found, store_core::Error> {
        let request = &self.request;
        let holder = write.holder(&request.node, request.incarnation, &request.subject)?;
        let leased = write.lease_tasks(holder, request.model, request.max, now)?;
        let idle = match leased.refused {
            Some(Refusal::Stopped) => Some(Idle::NodeStopped),
            Some(Refusal::Paused) => Some(Idle::Paused),
            // The core answers the first two with an error, and never this with the third.
            Some(Refusal::Unregistered | Refusal::StaleIncarnation | Refusal::HoldsLeases) => None,
            None => write.model(request.model)?.paused.then_some(Idle::Paused),
        };
        let mut tasks = Vec::with_capacity(leased.tasks.len());
        for task in leased.tasks {
            let sources = write.sources(task.post, now)?;
            tasks.push(Granted { task, sources });
        }
        Ok(Found {
            tasks,
            idle,
            holder: Some(holder),
            tried_ms: now.mono_ms,
        })
    }
}

impl WriteJob for Waiter {
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, write: &mut Write<'_>, now: Now) -> Result<(), store_core::Error> {
        self.found = self.try_now(write, now)?;
        Ok(())
    }

    fn finish(mut self: Box<Self>, failure: Option<Error>) -> Option<Waiter> {
        if let Some(error) = failure {
            // Whoever left needs no reason.
            let _ = self.reply.send(Err(error));
            return None;
        }
        let over = self.place.map_or(self.request.wait_ms == 0, |p| {
            p.until_ms <= self.found.tried_ms
        });
        if self.found.tasks.is_empty() && !over {
            return Some(*self);
        }
        let found = std::mem::take(&mut self.found);
        let grants = Grants {
            tasks: found.tasks,
            idle: found.idle,
            holder: found.holder,
            engine: self.engine,
        };
        // If the caller left, the grants come back and give themselves up.
        drop(self.reply.send(Ok(grants)));
        None
    }
}

impl Line {
    /// Lets one wait, in the place that he has already or else at the end.
    pub(super) fn park(&mut self, mut waiter: Waiter) {
        let place = *waiter.place.get_or_insert_with(|| {
            self.next_ticket += 1;
            Place {
                ticket: self.next_ticket,
                until_ms: waiter.found.tried_ms.saturating_add(waiter.request.wait_ms),
            }
        });
        self.waiting
            .insert((waiter.request.model, place.ticket), waiter);
    }

    /// Those who wait for a model, first come first.
    pub(super) fn of(&mut self, model: ModelId) -> Vec<Waiter> {
        let mut behind = self.waiting.split_off(&(model, 0));
        let mut rest = match model.checked_add(1) {
            Some(next) => behind.split_off(&(next, 0)),
            None => BTreeMap::new(),
        };
        self.waiting.append(&mut rest);
        behind.into_values().collect()
    }

    /// Those whose time is over: they try once more and then have their answer.
    pub(super) fn due(&mut self, now_ms: u64) -> Vec<Waiter> {
        self.extract(|waiter| waiter.until_ms() <= now_ms)
    }

    /// Forgets those who left.
    pub(super) fn sweep(&mut self) {
        self.waiting.retain(|_, waiter| waiter.is_wanted());
    }

    /// When the first one's time is over.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.waiting.values().map(Waiter::until_ms).min()
    }

    fn extract(&mut self, which: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let keys: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, waiter)| which(waiter))
            .map(|(&key, _)| key)
            .collect();
        keys.iter()
            .filter_map(|key| self.waiting.remove(key))
            .collect()
    }
}

impl Waiter {
    fn until_ms(&self) -> u64 {
        self.place.map_or(0, |place| place.until_ms)
    }
}
