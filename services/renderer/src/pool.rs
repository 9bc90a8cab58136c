//! The client: a pool of children that exist only while there is work.
//!
//! Each child belongs to one thread of its own, which starts it, feeds it and ends it. (A child
//! dies with the *thread* that started it, by `PR_SET_PDEATHSIG`, so that thread may be none that
//! a runtime lends and takes back.) A picture holds a permit from the moment it is handed to a
//! thread until that thread is free again, so a caller who gives up never leaves a hidden queue.

mod link;
mod process;
mod worker;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::confine::Confinement;
use crate::error::{Error, Reason, Refusal};
use crate::limits::Limits;
use crate::rendered::{Rendered, Wanted};
use worker::{Assignment, Worker};

/// How a pool works.
#[derive(Clone, Debug)]
pub struct Config {
    /// The renderer program; `None` means `kumo-renderer` beside the running program.
    pub program: Option<PathBuf>,
    /// Most children at once; each uses at most one processor and [`Limits::memory_bytes`].
    pub size: usize,
    /// Bounds for every picture.
    pub limits: Limits,
    /// A child without work ends after this. 10 s.
    pub idle: Duration,
    /// A child is replaced after this many pictures. 256.
    pub pictures_per_child: u32,
    /// A child is replaced when it still holds this many bytes after a picture. 128 MiB.
    pub resident_bytes_per_child: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            program: None,
            size: 1,
            limits: Limits::default(),
            idle: Duration::from_secs(10),
            pictures_per_child: 256,
            resident_bytes_per_child: 128 << 20,
        }
    }
}

/// Where a picture's bytes come from. They are read once, in small chunks, on the child's own
/// thread, so that reading may block.
pub enum Source {
    /// Bytes already in memory.
    Bytes(Vec<u8>),
    /// Anything that can be read to its end, for instance a file that is hashed on the way.
    Reader {
        /// The bytes; an error while reading is [`Error::Source`].
        reader: Box<dyn Read + Send>,
        /// Their number, if known; need not be right.
        size_hint: u64,
    },
}

impl Source {
    /// Bytes that are known to come, as far as is known.
    fn size_hint(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Reader { size_hint, .. } => *size_hint,
        }
    }

    fn into_reader(self) -> Box<dyn Read + Send> {
        match self {
            Self::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            Self::Reader { reader, .. } => reader,
        }
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<File> for Source {
    fn from(file: File) -> Self {
        let size_hint = file.metadata().map_or(0, |metadata| metadata.len());
        Self::Reader {
            reader: Box::new(file),
            size_hint,
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("size_hint", &self.size_hint())
            .finish_non_exhaustive()
    }
}

/// One picture to render.
#[derive(Debug)]
pub struct Job {
    /// What to call it in the log: a path or a hash. Written there before a byte is decoded.
    pub label: String,
    /// Its bytes.
    pub source: Source,
    /// What to make of it.
    pub wanted: Wanted,
}

impl Job {
    /// Everything from these bytes.
    #[must_use]
    pub fn new(label: impl Into<String>, source: impl Into<Source>) -> Self {
        Self {
            label: label.into(),
            source: source.into(),
            wanted: Wanted::ALL,
        }
    }

    /// Only what is wanted.
    #[must_use]
    pub fn wanting(mut self, wanted: Wanted) -> Self {
        self.wanted = wanted;
        self
    }
}

/// Renders pictures in confined children. Cheap to clone; the last clone's end ends the children.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// The right to one child.
#[derive(Debug)]
pub(crate) struct Turn(OwnedSemaphorePermit);

/// What threads and callers share.
#[derive(Debug)]
struct Shared {
    config: Config,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Threads without work, the last one used last: it has the warmest child.
    idle: Vec<Worker>,
    /// Number of the next thread.
    next: u64,
    /// Children alive.
    children: BTreeSet<u32>,
    /// What the last child said of its confinement.
    confinement: Option<Confinement>,
}

impl Shared {
    /// The state; it is whole after every statement, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A pool without children; they come with the first picture.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            shared: Arc::new(Shared {
                permits: Arc::new(Semaphore::new(config.size.max(1))),
                config,
                state: Mutex::default(),
            }),
        }
    }

    /// Renders one picture; waits while [`Config::size`] others are being rendered. Dropping the
    /// future gives the picture up: its child is ended within 50 ms, unless it answers sooner.
    ///
    /// # Errors
    /// [`Error::Refused`] is about the picture and final. The others say nothing about it.
    pub async fn render(&self, job: Job) -> Result<Rendered, Error> {
        let known = job.source.size_hint();
        let limit = self.shared.config.limits.file_bytes;
        if known > limit {
            return Err(Error::Refused(Refusal::new(
                Reason::TooLarge,
                format!("{known} bytes: the limit is {limit}"),
            )));
        }
        let turn = self.turn().await?;
        self.render_in_turn(job, turn).await
    }

    /// Waits while [`Config::size`] others are being rendered: for whoever must not read a picture
    /// before a child can take it.
    pub(crate) async fn turn(&self) -> Result<Turn, Error> {
        let permits = Arc::clone(&self.shared.permits);
        let permit = permits.acquire_owned().await.map_err(|_| Error::Closed)?;
        Ok(Turn(permit))
    }

    /// As [`Pool::render`], by somebody who has waited already.
    pub(crate) async fn render_in_turn(&self, job: Job, turn: Turn) -> Result<Rendered, Error> {
        let (reply, answer) = oneshot::channel();
        self.assign(Assignment::Render { job, reply }, turn)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Starts a child, if none is warm, and says what holds it: for finding out early that the
    /// program is missing or of another build, and for telling people what the kernel lacks.
    ///
    /// # Errors
    /// When no child can be started.
    pub async fn probe(&self) -> Result<Confinement, Error> {
        let (reply, answer) = oneshot::channel();
        self.assign(Assignment::Probe { reply }, self.turn().await?)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// What people should know of this pool, as a code and a sentence: what the kernel does not
    /// give its children, or why none can be started. `None` if all is well.
    pub async fn complaint(&self) -> Option<(&'static str, String)> {
        match self.probe().await {
            Ok(confinement) => confinement
                .missing()
                .map(|missing| ("LANDLOCK_MISSING", missing.to_owned())),
            Err(error) => Some((error.code(), error.to_string())),
        }
    }

    /// What the last child said of its confinement; `None` before the first.
    #[must_use]
    pub fn confinement(&self) -> Option<Confinement> {
        self.shared.state().confinement
    }

    /// Process ids of the children alive now.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        self.shared.state().children.iter().copied().collect()
    }

    /// Hands work to a warm thread, or to a new one.
    fn assign(&self, work: Assignment, turn: Turn) -> Result<(), Error> {
        let (idle, number) = {
            let mut state = self.shared.state();
            state.next += 1;
            (state.idle.pop(), state.next)
        };
        let worker = match idle {
            Some(worker) => worker,
            None => Worker::spawn(number, &self.shared)?,
        };
        worker.assign(work, turn.0)
    }
}
