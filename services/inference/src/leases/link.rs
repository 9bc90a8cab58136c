//! The store as something that comes and goes: who we are is told again after each absence, what
//! must be said is said until it is heard, and the health of the process tells what is waited for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kit::{Code, Condition, Shutdown};
use tokio::sync::watch;
use tonic::Status;

use super::error::Error;
use super::registration::Registration;
use super::store::{Granted, RENEW_EVERY, Store, wants_registration};

/// An answer without work that came faster than this was no long poll: a paused queue, a stopped
/// node. Asking again at once would only make noise.
const SOON: Duration = Duration::from_secs(1);
/// Wait after a refusal that trying again at once does not change.
const LATER: Duration = Duration::from_secs(5);
/// If others register under our name this often, so soon after us, there are two of us.
const RIVALS: u32 = 3;
const RIVAL_SOON: Duration = Duration::from_secs(60);

/// The store and where we stand with it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) store: Store,
    condition: Condition,
    registration: Registration,
    standing: Mutex<Standing>,
    renew_every: watch::Sender<Duration>,
}

#[derive(Debug, Default)]
struct Standing {
    /// Resource name of the model, while registered.
    model: Option<String>,
    since: Option<Instant>,
    rivals: u32,
}

impl Link {
    pub(super) fn new(store: Store, condition: Condition, registration: Registration) -> Self {
        condition.waiting("waiting for the store");
        Self {
            store,
            condition,
            registration,
            standing: Mutex::default(),
            renew_every: watch::Sender::new(RENEW_EVERY),
        }
    }

    /// How often leases are to be renewed, as the store says.
    pub(super) fn renew_every(&self) -> watch::Receiver<Duration> {
        self.renew_every.subscribe()
    }

    /// Registers, waiting for the store as long as it takes; `None` if `stop` begins.
    ///
    /// # Errors
    /// If the store refuses us.
    pub(super) async fn register(&self, stop: &Shutdown) -> Option<Result<(), Error>> {
        let registered = kit::retry::until_up(stop, &self.condition, "store", || self.model());
        Some(match registered.await? {
            Ok(_) => Ok(()),
            Err(status) => Err(Error::Refused(Box::new(status))),
        })
    }

    /// Leases at most `max` tasks, waiting up to `wait`; `None` if `stop` begins.
    ///
    /// # Errors
    /// If another process took our place.
    pub(super) async fn lease(
        &self,
        stop: &Shutdown,
        max: usize,
        wait: Duration,
    ) -> Option<Result<Granted, Error>> {
        loop {
            let begun = Instant::now();
            let call = || async {
                let model = self.model().await?;
                let answer = self.store.lease(&model, max, wait).await;
                answer.inspect_err(|status| self.forget(status))
            };
            match kit::retry::until_up(stop, &self.condition, "store", call).await? {
                Ok(granted) => {
                    self.renew_every.send_if_modified(|every| {
                        std::mem::replace(every, granted.renew_every) != granted.renew_every
                    });
                    if granted.tasks.is_empty() {
                        stop.or(tokio::time::sleep(SOON.saturating_sub(begun.elapsed())))
                            .await?;
                    }
                    return Some(Ok(granted));
                }
                Err(status) if wants_registration(&status) => {
                    if self.standing().rivals >= RIVALS {
                        let node = self.registration.node.node.clone();
                        return Some(Err(Error::Superseded { node }));
                    }
                    tracing::info!(
                        "the store wants this node registered again: {}",
                        status.message()
                    );
                    stop.or(tokio::time::sleep(SOON)).await?;
                }
                Err(status) => {
                    tracing::error!("the store refuses to lease: {}", status.message());
                    stop.or(tokio::time::sleep(LATER)).await?;
                }
            }
        }
    }

    /// Says something until it is heard. `None` if `stop` begins before.
    ///
    /// # Errors
    /// What the store refuses for good: the request itself, or this node.
    pub(super) async fn insist<T, F, Fut>(
        &self,
        stop: &Shutdown,
        mut call: F,
    ) -> Option<Result<T, Status>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let mut introduced = false;
        loop {
            match kit::retry::until_up(stop, &self.condition, "store", &mut call).await? {
                Ok(answer) => return Some(Ok(answer)),
                // The store may have been replaced by one that must be told first who we are.
                Err(status) if wants_registration(&status) && !introduced => {
                    introduced = true;
                    self.forget(&status);
                    if let Err(error) = self.register(stop).await? {
                        tracing::error!("{error}");
                    }
                }
                Err(status) if is_final(&status) => return Some(Err(status)),
                Err(status) => {
                    tracing::error!("the store refuses: {}; trying again", status.message());
                    stop.or(tokio::time::sleep(LATER)).await?;
                }
            }
        }
    }

    /// The model's resource name; registers first if the store may not know us.
    async fn model(&self) -> Result<String, Status> {
        if let Some(model) = self.standing().model.clone() {
            return Ok(model);
        }
        let registered = self.store.register(&self.registration).await;
        let model = registered.inspect_err(|status| self.turned_away(status))?;
        tracing::info!(model, "registered with the store");
        self.condition.ready();
        let mut standing = self.standing();
        standing.model = Some(model.clone());
        standing.since = Some(Instant::now());
        Ok(model)
    }

    /// A process that is refused even when it registers was replaced for good.
    fn turned_away(&self, status: &Status) {
        if kit::code::reason(status).as_deref() == Some("STALE_INCARNATION") {
            self.standing().rivals = RIVALS;
        }
    }

    /// After a call that failed, the store may be another process that does not know us.
    fn forget(&self, status: &Status) {
        let mut standing = self.standing();
        if kit::code::reason(status).as_deref() == Some("STALE_INCARNATION") {
            let soon = standing
                .since
                .is_some_and(|since| since.elapsed() < RIVAL_SOON);
            standing.rivals = if soon { standing.rivals + 1 } else { 1 };
        }
        standing.model = None;
    }

    /// Whole after every statement, so a panic elsewhere does not spoil it.
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_final(status: &Status) -> bool {
    wants_registration(status) || kit::code::of(status) == Code::InvalidArgument
}
