//! Telling the store what became of tasks: many in one call, again and again until it has heard.
//! Meanwhile nothing is dropped; what waits here is bounded by what may be held.

use std::sync::Arc;
use std::time::Duration;

use kit::Shutdown;
use kit::trace::{TraceContext, scope};
use tokio::sync::mpsc;

use super::ledger::Ledger;
use super::link::Link;
use super::store::{Done, Outcome};
use super::task::{Cause, Failure, Lease};

/// A renewal that failed is tried again after this at the latest.
const RENEW_AGAIN: Duration = Duration::from_secs(2);
/// Most that one call takes.
const MOST: usize = 256;

/// What became of a task.
#[derive(Debug)]
pub(super) enum Report {
    /// Done; the trace is the file's.
    Done(Done, TraceContext),
    /// Not done, and why.
    Failed(Lease, Failure),
    /// Given back: nothing of it was the task's fault.
    Released(Lease),
}

/// Delivers until the last sender is gone, or `give_up` begins.
pub(super) async fn deliver(
    link: Arc<Link>,
    ledger: Ledger,
    mut inbox: mpsc::UnboundedReceiver<Report>,
    give_up: Shutdown,
) {
    let delivery = Delivery {
        link: &link,
        ledger: &ledger,
        give_up: &give_up,
    };
    while let Some(first) = inbox.recv().await {
        let mut group = vec![first];
        while group.len() < MOST
            && let Ok(next) = inbox.try_recv()
        {
            group.push(next);
        }
        if delivery.deliver(group).await.is_none() {
            tracing::warn!("the store was not there for the last results; it will lease them anew");
            return;
        }
    }
}

struct Delivery<'a> {
    link: &'a Link,
    ledger: &'a Ledger,
    give_up: &'a Shutdown,
}

impl Delivery<'_> {
    async fn deliver(&self, group: Vec<Report>) -> Option<()> {
        let (mut done, mut failed, mut released) = (Vec::new(), Vec::new(), Vec::new());
        let mut traces = Vec::new();
        for report in group {
            match report {
                Report::Done(result, trace) if self.ledger.holds(&result.lease) => {
                    done.push(result);
                    traces.push(trace);
                }
                Report::Failed(lease, failure) if self.ledger.holds(&lease) => {
                    failed.push((lease, failure));
                }
                Report::Released(lease) if self.ledger.holds(&lease) => released.push(lease),
                Report::Done(..) | Report::Failed(..) | Report::Released(_) => {}
            }
        }
        // One result is its file's own story; several are a story of their own.
        let trace = match traces[..] {
            [only] => only.child(),
            _ => TraceContext::new_root(),
        };
        if !done.is_empty() {
            failed.extend(scope(trace, self.complete(done)).await?);
        }
        if !failed.is_empty() {
            scope(trace, self.fail(failed)).await?;
        }
        // Settled just now, in this very group.
        released.retain(|lease| self.ledger.holds(lease));
        if !released.is_empty() {
            let release = || self.link.store.release(&released);
            let said = self.link.insist(self.give_up, release).await?;
            self.settled(said.err(), released.iter());
        }
        Some(())
    }

    /// Gives back what must be failed, because the store does not take the result.
    async fn complete(&self, done: Vec<Done>) -> Option<Vec<(Lease, Failure)>> {
        let complete = || self.link.store.complete(&done);
        let outcomes = match self.link.insist(self.give_up, complete).await? {
            Ok(outcomes) => outcomes,
            Err(status) if super::store::wants_registration(&status) => {
                self.settled(Some(status), done.iter().map(|done| &done.lease));
                return Some(Vec::new());
            }
            // It does not say which one is malformed.
            Err(status) if done.len() > 1 => {
                tracing::error!(
                    "the store takes none of {} results: {}",
                    done.len(),
                    status.message()
                );
                let mut failed = Vec::new();
                for one in done {
                    failed.extend(Box::pin(self.complete(vec![one])).await?);
                }
                return Some(failed);
            }
            Err(status) => vec![Outcome::Refused(status.message().to_owned())],
        };
        let mut failed = Vec::new();
        let mut heard = Vec::new();
        for (done, outcome) in done.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Stored => heard.push(done.lease),
                Outcome::Stale => {
                    tracing::info!(task = %done.lease.task, "the lease was lost; another does it");
                    heard.push(done.lease);
                }
                Outcome::Refused(why) => {
                    tracing::error!(task = %done.lease.task, "the store refuses the result: {why}");
                    let failure = Failure::new(Cause::Transient, "RESULT_REFUSED", why);
                    failed.push((done.lease, failure));
                }
            }
        }
        self.ledger.remove(&heard);
        Some(failed)
    }

    async fn fail(&self, failed: Vec<(Lease, Failure)>) -> Option<()> {
        for (lease, failure) in &failed {
            tracing::warn!(
                task = %lease.task,
                error.reason = failure.reason,
                "{}", failure.message
            );
        }
        let fail = || self.link.store.fail(&failed);
        let said = self.link.insist(self.give_up, fail).await?;
        self.settled(said.err(), failed.iter().map(|(lease, _)| lease));
        Some(())
    }

    /// Heard, or refused for good: either way nothing more can be said about these.
    fn settled<'l>(&self, refusal: Option<tonic::Status>, leases: impl Iterator<Item = &'l Lease>) {
        if let Some(status) = refusal {
            tracing::error!(
                "the store does not listen: {}; dropping leases",
                status.message()
            );
        }
        self.ledger.remove(leases);
    }
}

/// Renews all leases held, until `stop` begins.
pub(super) async fn renew(link: Arc<Link>, ledger: Ledger, stop: Shutdown) {
    let mut every = link.renew_every();
    let mut failed = false;
    loop {
        let wait = *every.borrow_and_update();
        let wait = if failed {
            (wait / 10).min(RENEW_AGAIN)
        } else {
            wait
        };
        tokio::select! {
            () = stop.begun() => return,
            // The first lease says how often; what was held before is none.
            Ok(()) = every.changed() => continue,
            () = tokio::time::sleep(wait) => {}
        }
        let held = ledger.all();
        if held.is_empty() {
            continue;
        }
        match stop.or(link.store.renew(&held)).await {
            None => return,
            Some(Ok(lost)) => {
                failed = false;
                ledger.lose(&held, &lost);
            }
            Some(Err(status)) => {
                tracing::warn!("leases are not renewed: {}", status.message());
                failed = true;
            }
        }
    }
}
