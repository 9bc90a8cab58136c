//! What waits in the queue.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use store_core::{Now, Store, Write};
use tokio::sync::oneshot;

use super::lease::Waiter;
use crate::Error;

/// A request for the thread.
pub(super) enum Job {
    /// Changes nothing on disk; answers by itself.
    Read(ReadJob),
    /// Takes part in a group.
    Write(Box<dyn WriteJob>),
    /// Takes part in a group, and may wait for tasks after it.
    Lease(Box<Waiter>),
    /// The last one.
    Close,
}

pub(super) type ReadJob = Box<dyn FnOnce(&mut Store, Now) + Send>;

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read(_) => "Read",
            Self::Write(_) => "Write",
            Self::Lease(_) => "Lease",
            Self::Close => "Close",
        })
    }
}

/// A request that takes part in a group.
pub(super) trait WriteJob: Send {
    /// Whether anybody still waits for the answer.
    fn is_wanted(&self) -> bool;

    /// Does it, and keeps the answer to itself.
    fn run(&mut self, write: &mut Write<'_>, now: Now) -> Result<(), store_core::Error>;

    /// Answers, after the COMMIT or with why there was none. A request for tasks that found none
    /// comes back, to wait for some.
    fn finish(self: Box<Self>, failure: Option<Error>) -> Option<Waiter>;
}

/// A change that is asked for by a closure.
pub(super) struct Writing<F, T> {
    work: Option<F>,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<F, T> Writing<F, T> {
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (reply, answer) = oneshot::channel();
        let job = Self {
            work: Some(work),
            done: None,
            reply,
        };
        (job, answer)
    }
}

impl<F, T> WriteJob for Writing<F, T>
where
    F: FnOnce(&mut Write<'_>, Now) -> Result<T, store_core::Error> + Send,
    T: Send,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, write: &mut Write<'_>, now: Now) -> Result<(), store_core::Error> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(write, now)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, failure: Option<Error>) -> Option<Waiter> {
        let outcome = match failure {
            Some(error) => Err(error),
            None => self.done.ok_or(Error::Stopping),
        };
        // The change is on disk whether or not its caller still waits.
        let _ = self.reply.send(outcome);
        None
    }
}

/// Runs something of which a panic must end no more than itself.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Error::Panicked(text(&*panic)))
}

fn text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
