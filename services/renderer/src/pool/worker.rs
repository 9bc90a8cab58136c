//! One thread and the child it owns.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::process::{Ended, Process};
use super::{Config, Job, Shared};
use crate::confine::Confinement;
use crate::error::{Error, Reason, Refusal};
use crate::protocol::CHUNK_BYTES;
use crate::rendered::Rendered;

/// Enough for copying chunks; nothing is decoded on this side.
const STACK_BYTES: usize = 256 << 10;

/// What a thread may be told to do.
#[derive(Debug)]
pub(super) enum Assignment {
    Render {
        job: Job,
        reply: oneshot::Sender<Result<Rendered, Error>>,
    },
    Probe {
        reply: oneshot::Sender<Result<Confinement, Error>>,
    },
}

/// The handle of an idle thread. It travels with the work, and comes back when that is done.
#[derive(Debug)]
pub(super) struct Worker {
    number: u64,
    work: SyncSender<Parcel>,
}

#[derive(Debug)]
struct Parcel {
    work: Assignment,
    worker: Worker,
    permit: OwnedSemaphorePermit,
}

impl Worker {
    /// Starts a thread; its child starts with the first work.
    pub(super) fn spawn(number: u64, shared: &Arc<Shared>) -> Result<Self, Error> {
        let (work, parcels) = sync_channel(1);
        let mut desk = Desk {
            number,
            shared: Arc::downgrade(shared),
            config: shared.config.clone(),
            program: program(&shared.config),
            process: None,
            chunk: Vec::new(),
        };
        std::thread::Builder::new()
            .name(format!("renderer-{number}"))
            .stack_size(STACK_BYTES)
            .spawn(move || desk.serve(&parcels))
            .map_err(|error| Error::Start {
                path: program(&shared.config),
                detail: format!("no thread for it: {error}"),
            })?;
        Ok(Self { number, work })
    }

    /// Hands over; never blocks, because an idle thread has an empty channel.
    pub(super) fn assign(
        self,
        work: Assignment,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Error> {
        let channel = self.work.clone();
        let parcel = Parcel {
            work,
            worker: self,
            permit,
        };
        channel.send(parcel).map_err(|_| Error::Closed)
    }
}

/// The explicit program, or the one beside the running one; absolute, because the child's working
/// directory is another.
fn program(config: &Config) -> PathBuf {
    const NAME: &str = "kumo-renderer";
    let named = config.program.clone().unwrap_or_else(|| {
        std::env::current_exe()
            .ok()
            .and_then(|path| path.parent().map(|folder| folder.join(NAME)))
            .unwrap_or_else(|| PathBuf::from(NAME))
    });
    std::path::absolute(&named).unwrap_or(named)
}

/// What the thread works with.
struct Desk {
    number: u64,
    shared: Weak<Shared>,
    config: Config,
    program: PathBuf,
    process: Option<Process>,
    chunk: Vec<u8>,
}

impl Desk {
    /// Works until idle for too long, or until the pool is gone.
    fn serve(&mut self, parcels: &Receiver<Parcel>) {
        loop {
            match parcels.recv_timeout(self.config.idle) {
                Ok(parcel) => self.work(parcel),
                Err(RecvTimeoutError::Timeout) if !self.resign() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        self.dismiss();
    }

    /// Leaves the list of idle threads; `false` if work is already on its way.
    fn resign(&self) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return true;
        };
        let mut state = shared.state();
        let before = state.idle.len();
        state.idle.retain(|worker| worker.number != self.number);
        state.idle.len() < before
    }

    /// Does the work, becomes idle, lets the next caller in, and only then answers: whoever has
    /// the answer sees a pool at rest.
    fn work(&mut self, parcel: Parcel) {
        let Parcel {
            work,
            worker,
            permit,
        } = parcel;
        let home = self.shared.clone();
        let rest = move || {
            if let Some(shared) = home.upgrade() {
                shared.state().idle.push(worker);
            }
            drop(permit);
        };
        // An answer nobody waits for any more is dropped: the caller has given the picture up.
        match work {
            Assignment::Render { job, mut reply } => {
                let result = self.render(job, &mut reply);
                rest();
                let _ = reply.send(result);
            }
            Assignment::Probe { reply } => {
                let result = self.process().map(|process| process.confinement());
                rest();
                let _ = reply.send(result);
            }
        }
    }

    fn render(
        &mut self,
        job: Job,
        reply: &mut oneshot::Sender<Result<Rendered, Error>>,
    ) -> Result<Rendered, Error> {
        if reply.is_closed() {
            return Err(Error::Closed);
        }
        let Job {
            label,
            source,
            wanted,
        } = job;
        // Before the first byte: if this picture takes everything down, the log names it.
        tracing::debug!(picture = %label, size_hint = source.size_hint(), "rendering");
        let size_hint = source.size_hint();
        let mut reader = source.into_reader();
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(CHUNK_BYTES, 0);
        let deadline = Instant::now() + self.config.limits.time;

        let mut fresh_tried = false;
        let result = loop {
            let limits = self.config.limits;
            let process = self.process()?;
            let begun = process.begin(wanted, limits, size_hint, deadline, reply);
            match begun {
                // It was dead or dying before it knew anything of this picture.
                Err(Ended::Gone) if !fresh_tried => {
                    fresh_tried = true;
                    self.discard(&Ended::Gone);
                }
                Err(ended) => break Err(ended),
                Ok(()) => break process.finish(&mut reader, &mut chunk, deadline, reply),
            }
        };
        self.chunk = chunk;
        match result {
            Ok(answer) => {
                self.recycle();
                answer.map_err(Error::Refused)
            }
            Err(ended) => {
                let error = self.discard(&ended);
                tracing::warn!(picture = %label, code = error.code(), %error, "picture lost its renderer");
                Err(error)
            }
        }
    }

    /// The child, started if there is none or if the last one has died in its sleep.
    fn process(&mut self) -> Result<&mut Process, Error> {
        if self.process.as_mut().is_some_and(Process::has_ended) {
            self.dismiss();
        }
        if self.process.is_none() {
            let process = Process::spawn(&self.program, &self.config.limits)?;
            if let Some(shared) = self.shared.upgrade() {
                let mut state = shared.state();
                state.children.insert(process.id());
                state.confinement = Some(process.confinement());
            }
            self.process = Some(process);
        }
        self.process.as_mut().ok_or(Error::Closed)
    }

    /// Ends a child that failed, and says what that means for its picture.
    fn discard(&mut self, ended: &Ended) -> Error {
        let Some(process) = self.process.take() else {
            return Error::Closed;
        };
        self.forget(process.id());
        process.bury(ended, self.config.limits)
    }

    /// Ends a child politely.
    fn dismiss(&mut self) {
        if let Some(process) = self.process.take() {
            let id = process.id();
            process.end();
            self.forget(id);
        }
    }

    /// Replaces a child that has seen enough, or that has grown.
    fn recycle(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.is_spent(&self.config) {
            self.dismiss();
        }
    }

    fn forget(&self, id: u32) {
        if let Some(shared) = self.shared.upgrade() {
            shared.state().children.remove(&id);
        }
    }
}

/// The refusal of a picture that was lost, in words.
pub(super) fn lost(reason: Reason, detail: impl Into<String>) -> Error {
    Error::Refused(Refusal::new(reason, detail))
}

/// A start that failed.
pub(super) fn not_started(path: &Path, detail: impl Into<String>) -> Error {
    Error::Start {
        path: path.to_owned(),
        detail: detail.into(),
    }
}
