//! The snapshot on disk: a quick start, and nothing else depends on it.
//!
//! It is written from a frozen clone on a blocking thread, one at a time, while following and
//! answering go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kit::Process;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::index::Index;
use crate::live::{Live, View, revision};
use crate::snapshot::{Error, Position};

/// When to look again while one is being written.
const SOON: Duration = Duration::from_secs(1);

/// What a snapshot is of: a position of the feed, and the revision of the model.
type Held = (Position, String);
/// What was written; `None` if the index was no more what was to be written.
type Saved = Option<Result<(Held, u64), Error>>;

/// The snapshots of one process.
pub(super) struct Snapshots {
    path: PathBuf,
    every: Duration,
    process: Process,
    /// When the next one may be written.
    next: Instant,
    /// What the last one holds.
    written: Option<Held>,
    writing: Option<JoinHandle<Saved>>,
    tasks: kit::Tasks,
}

impl Snapshots {
    pub(super) fn new(path: PathBuf, every: Duration, process: Process) -> Self {
        Self {
            path,
            every,
            process,
            next: Instant::now(),
            written: None,
            writing: None,
            tasks: kit::Tasks::new(),
        }
    }

    /// When it is worth asking again whether one is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Makes one due at once.
    pub(super) fn hurry(&mut self) {
        self.next = Instant::now();
    }

    /// Starts from the last one, if it is there and whole.
    pub(super) async fn load(&mut self, live: &Arc<Live>) {
        let path = self.path.clone();
        let loaded = live.compute(move || Index::load(&path)).await;
        let state = match loaded {
            Ok(Ok((index, position))) => {
                tracing::info!(
                    posts = index.posts(),
                    "starting from the snapshot: {} posts",
                    index.posts()
                );
                let model = index.model().map_or_else(String::new, revision);
                self.written = Some((position, model));
                let view = View {
                    index,
                    cursor: Some(position),
                    model: String::new(),
                    version: 1,
                };
                match live.change(|held| *held = view).await {
                    Ok(()) => "LOADED",
                    Err(_) => "DAMAGED",
                }
            }
            Ok(Err(error)) => said(&error),
            Err(error) => {
                tracing::warn!("{error}: reading everything from the store");
                "DAMAGED"
            }
        };
        live.note(|standing| standing.snapshot = state);
    }

    /// Begins to write one if something changed and it is time. `whole` is false while the index
    /// holds less than its cursor says.
    pub(super) async fn write_if_due(&mut self, live: &Arc<Live>, whole: bool) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + self.every;
        if self.writing.as_ref().is_some_and(|one| !one.is_finished()) {
            self.next = Instant::now() + SOON;
            return;
        }
        self.finish().await;
        let standing = live.standing();
        let held = standing.cursor.map(|cursor| (cursor, standing.revision));
        if !whole || held == self.written {
            return;
        }
        let Some((position, of)) = held else {
            return;
        };
        let (path, live) = (self.path.clone(), Arc::clone(live));
        self.writing = Some(self.tasks.spawn("snapshot", async move {
            let saved = live.read(move |view| {
                // Of another model, it may lack vectors that its position says it has.
                let model = view.index.model().map_or_else(String::new, revision);
                let position = view.cursor.unwrap_or(position);
                let whole = (model == of).then(|| save(&view, &path, position));
                whole.map(|saved| saved.map(|bytes| ((position, model), bytes)))
            });
            let failed = |error| Some(Err(Error::Io(std::io::Error::other(error))));
            saved.await.unwrap_or_else(failed)
        }));
    }

    /// Writes the last one, and waits for it.
    pub(super) async fn last(&mut self, live: &Arc<Live>, whole: bool) {
        self.finish().await;
        self.next = Instant::now();
        self.write_if_due(live, whole).await;
        self.finish().await;
    }

    /// Waits for the one that is being written.
    async fn finish(&mut self) {
        let Some(writing) = self.writing.take() else {
            return;
        };
        match writing.await {
            Ok(None) => {}
            Ok(Some(Ok((held, bytes)))) => {
                self.written = Some(held);
                self.process.clear_notice("SNAPSHOT_FAILED");
                tracing::debug!(bytes, "wrote a snapshot");
            }
            Ok(Some(Err(error))) => {
                let text = format!("cannot write {}: {error}", self.path.display());
                tracing::warn!("{text}; the next start will read everything from the store");
                self.process.notice("SNAPSHOT_FAILED", text);
            }
            Err(error) => tracing::error!("writing a snapshot was interrupted: {error}"),
        }
    }
}

fn save(view: &View, path: &Path, position: Position) -> Result<u64, Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::Io)?;
    }
    view.index.save(path, position)
}

/// Says why there is no snapshot to start from.
fn said(error: &Error) -> &'static str {
    match error.reason() {
        "ABSENT" => {
            tracing::info!("no snapshot yet: reading everything from the store");
            "ABSENT"
        }
        "STALE" => {
            tracing::warn!("{error}: reading everything from the store");
            "STALE"
        }
        _ => {
            tracing::warn!("{error}: reading everything from the store");
            "DAMAGED"
        }
    }
}
