//! The index as it lives: one writer, many readers, and how fresh it is.
//!
//! A clone of the index is cheap and frozen (blocks are shared until they are written to). Readers
//! take one and work on it without any lock, so that a search, a snapshot or a second of looking
//! for duplicates never holds up the writer, nor the writer them; and the steps of one search see
//! one state, although the store is asked in between. The lock is held to clone, or to take in at
//! most [`crate::store::BATCH`] posts. Both happen on blocking threads.
//!
//! What clones cost is bounded: at most [`Live::places`] searches hold one, each at worst as much
//! as was written since it was taken.

use std::sync::{Arc, PoisonError, RwLock};

use kit::Tasks;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::Error;
use crate::index::{Index, Model};
use crate::snapshot::Position;

/// The index and what is known about it.
#[derive(Debug)]
pub(crate) struct Live {
    view: RwLock<View>,
    standing: watch::Sender<Standing>,
    places: Semaphore,
    tasks: Tasks,
}

/// A state of the index.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// What is searched.
    pub(crate) index: Index,
    /// How far the feed was taken in; `None` while the index is filled for the first time.
    pub(crate) cursor: Option<Position>,
    /// Name of the model at the store, `models/3`; empty until the store was asked.
    pub(crate) model: String,
    /// Grows with every change of what is searched.
    pub(crate) version: u64,
}

/// Figures that are read without touching the index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// Posts.
    pub(crate) posts: u64,
    /// Posts with a vector.
    pub(crate) vectors: u64,
    /// As in [`View`].
    pub(crate) model: String,
    /// Revision of the model in lower-case hex; empty without one.
    pub(crate) revision: String,
    /// Numbers in a vector; 0 without a model.
    pub(crate) dimensions: u32,
    /// As in [`View`].
    pub(crate) cursor: Option<Position>,
    /// The last position of the feed that was heard of.
    pub(crate) head: u64,
    /// Posts that are still to be read again because the model is another.
    pub(crate) pending: u64,
    /// Whether the first load is complete: all was read, or a snapshot and what changed since.
    pub(crate) settled: bool,
    /// Whether the store can be reached.
    pub(crate) following: bool,
    /// What became of the snapshot: `LOADED`, `ABSENT`, `DAMAGED`, `STALE`.
    pub(crate) snapshot: &'static str,
    /// Bytes by part.
    pub(crate) memory: Vec<(&'static str, u64)>,
}

impl Standing {
    /// Changes of the feed that were not taken in, as far as is known.
    pub(crate) fn behind(&self) -> u64 {
        let taken = self.cursor.map_or(0, |cursor| cursor.seq);
        self.head.saturating_sub(taken)
    }

    /// The same, and the posts that must be read again; never 0 before everything was read once.
    pub(crate) fn lag(&self) -> u64 {
        let whole = self.settled && self.cursor.is_some();
        (self.behind() + self.pending).max(u64::from(!whole))
    }

    fn copy(&mut self, view: &View) {
        let model = view.index.model();
        self.posts = view.index.posts();
        self.vectors = view.index.vectors();
        self.model.clone_from(&view.model);
        self.revision = model.map_or_else(String::new, revision);
        self.dimensions = model.map_or(0, |model| {
            u32::try_from(model.dimensions).unwrap_or(u32::MAX)
        });
        self.cursor = view.cursor;
        self.head = self.head.max(view.cursor.map_or(0, |cursor| cursor.seq));
        self.memory = view.index.memory().to_vec();
    }
}

/// The revision of a model as text.
pub(crate) fn revision(model: &Model) -> String {
    kit::hex::encode(&model.revision)
}

impl View {
    /// Nothing yet, with vectors of this model.
    pub(crate) fn new(model: Option<Model>, name: &str) -> Self {
        Self {
            index: Index::new(model),
            cursor: None,
            model: name.to_owned(),
            version: 0,
        }
    }
}

impl Live {
    /// An empty index.
    pub(crate) fn new(tasks: Tasks) -> Self {
        let view = View::new(None, "");
        let mut standing = Standing::default();
        standing.copy(&view);
        Self {
            view: RwLock::new(view),
            standing: watch::Sender::new(standing),
            places: Semaphore::new(2 * kit::config::processors() + 2),
            tasks,
        }
    }

    /// The figures now.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Follows the figures.
    pub(crate) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Changes a figure that is not the index's own.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Standing)) {
        self.standing.send_modify(change);
    }

    /// Refuses to answer while the index is being filled.
    pub(crate) fn loaded(&self) -> Result<(), Error> {
        let standing = self.standing.borrow();
        if standing.settled && standing.cursor.is_some() {
            return Ok(());
        }
        Err(Error::Loading {
            posts: standing.posts,
        })
    }

    /// Waits for one of the places that there are for work on the index.
    pub(crate) async fn place(&self) -> Result<SemaphorePermit<'_>, Error> {
        let place = self.places.acquire().await;
        Ok(place.expect("invariant: the semaphore is never closed"))
    }

    /// Works on a frozen state of the index, on a blocking thread. Whoever has much of it to do
    /// takes a [`Live::place`] before.
    pub(crate) async fn read<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(View) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let live = Arc::clone(self);
        let working = self.tasks.spawn_blocking(move || work(live.view()));
        Ok(working.await?)
    }

    /// Runs something long on a blocking thread that needs no state of the index, or has one.
    pub(crate) async fn compute<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Error> {
        Ok(self.tasks.spawn_blocking(work).await?)
    }

    /// Changes the index, on a blocking thread. Only the follower does.
    pub(crate) async fn change<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut View) -> R + Send + 'static,
    ) -> Result<R, Error> {
        let live = Arc::clone(self);
        let working = self.tasks.spawn_blocking(move || {
            // A writer that panicked leaves posts of one batch out, which come again.
            let mut view = live.view.write().unwrap_or_else(PoisonError::into_inner);
            let made = work(&mut view);
            live.standing.send_modify(|standing| standing.copy(&view));
            made
        });
        Ok(working.await?)
    }

    fn view(&self) -> View {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.clone()
    }
}
