//! Telling the store what was found out, in batches, and remembering it once the store has
//! acknowledged it. While the store is away the batch is kept, and everything before it waits.

mod batch;
mod evict;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kit::{Condition, Shutdown, Tasks};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    Error, board::Board, dirty::Dirty, known::Table, link::Link, renditions::Renditions,
    work::Finding,
};
use batch::Batch;
use evict::Cache;

/// Findings told at once.
const MOST: usize = 64;
/// How long to wait for more while files are being read.
const GATHER: Duration = Duration::from_millis(100);
/// How long to wait before writing to a disk again that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// The one who tells.
#[derive(Debug)]
pub struct Apply {
    /// The link to the store.
    pub link: Arc<Link>,
    /// The known table.
    pub table: Table,
    /// Renditions on disk.
    pub renditions: Arc<Renditions>,
    /// Where to tell that work has ended.
    pub dirty: Arc<Dirty>,
    /// Counts.
    pub board: Board,
    /// What to tell.
    pub findings: mpsc::Receiver<Finding>,
    /// Files being read or rendered now.
    pub under_way: Arc<AtomicUsize>,
    /// Whether renditions can be written.
    pub disk: Condition,
    /// Runs what blocks.
    pub tasks: Tasks,
    /// Tells when to end.
    pub shutdown: Shutdown,
    /// Most bytes of samples to keep.
    pub sample_cache: u64,
}

impl Apply {
    /// Tells until there is nothing more to tell, or the shutdown begins.
    ///
    /// # Errors
    /// If the known table cannot be used any more.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut cache = Cache::open(&self.table, self.sample_cache).await?;
        loop {
            let next = tokio::select! {
                first = self.shutdown.or(self.findings.recv()) => Ok(first.flatten()),
                bytes = self.renditions.remade() => Err(bytes),
            };
            let added = match next {
                Ok(None) => return Ok(()),
                Ok(Some(first)) => {
                    let batch = self.gather(first).await;
                    let Some(added) = self.tell(batch).await? else {
                        return Ok(());
                    };
                    added
                }
                Err(remade) => remade,
            };
            cache
                .add(added, &self.table, &self.renditions, &self.tasks)
                .await?;
        }
    }

    /// Collects a batch: at once if nobody is reading, since then nothing else will come.
    async fn gather(&mut self, first: Finding) -> Batch {
        let mut batch = Batch::default();
        batch.add(first);
        let deadline = Instant::now() + GATHER;
        while batch.len() < MOST {
            match self.findings.try_recv() {
                Ok(finding) => batch.add(finding),
                Err(_) if self.under_way.load(Ordering::Relaxed) == 0 => break,
                Err(_) => match tokio::time::timeout_at(deadline, self.findings.recv()).await {
                    Ok(Some(finding)) => batch.add(finding),
                    Ok(None) | Err(_) => break,
                },
            }
        }
        batch
    }

    /// Tells one batch. The answer is how many bytes of samples were added; `None` if the shutdown
    /// has begun.
    async fn tell(&self, mut batch: Batch) -> Result<Option<i64>, Error> {
        if !batch.pictures.is_empty() && self.sync().await?.is_none() {
            return Ok(None);
        }
        let _gate = self.link.changing().await;
        let (gone, held) = (batch.gone(), batch.held());
        if !gone.is_empty() || !held.is_empty() {
            let moves = self.table.ask(move |known| known.moves(&gone, &held));
            batch.resolve(moves.await?);
        }
        if batch.send(&self.link).await.is_none() {
            return Ok(None);
        }
        let (records, checks) = (
            std::mem::take(&mut batch.records),
            std::mem::take(&mut batch.checks),
        );
        let added = self
            .table
            .ask(move |known| known.record_all(&records, &checks))
            .await?;
        self.board.update(|progress| {
            progress.registered += batch.registered;
            progress.failed += batch.failed;
        });
        for (place, end) in batch.ends {
            self.dirty.end(place, end);
        }
        Ok(Some(added))
    }

    /// Makes the renditions of the batch survive a power cut, before the store hears of them.
    async fn sync(&self) -> Result<Option<()>, Error> {
        loop {
            let renditions = self.renditions.clone();
            let synced = self.tasks.spawn_blocking(move || renditions.sync());
            match synced.await.map_err(|_| Error::PartEnded("syncing"))? {
                Ok(()) => {
                    self.disk.ready();
                    return Ok(Some(()));
                }
                Err(error) => {
                    if self.disk.waiting(format!("cannot sync samples: {error}")) {
                        tracing::error!("cannot sync samples: {error}; waiting");
                    }
                    if self.shutdown.or(tokio::time::sleep(PAUSE)).await.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
