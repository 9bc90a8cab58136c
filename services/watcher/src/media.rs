//! The bytes of pictures: originals, opened safely and only if they are what they were; samples and
//! previews, verified, and made again if they are damaged or were evicted.

mod original;

use std::sync::Arc;

use kit::{Tasks, hex};
use renderer::{Pool, RENDER_REVISION, Source};
use tokio::sync::Semaphore;

pub use original::Original;

use crate::{
    Error,
    board::Board,
    ingest::{FromStart, write_both},
    known::{Checks, Sha256, Table},
    renditions::{Kind, Renditions},
};

/// Renditions made again at once; ingest has the renderers otherwise.
const REMAKING: usize = 2;
/// Files with one content that are tried, one after the other.
const HOLDERS: u32 = 16;

/// What serving needs.
#[derive(Debug, Clone)]
pub struct Media {
    board: Board,
    table: Table,
    renditions: Arc<Renditions>,
    pool: Pool,
    tasks: Tasks,
    remaking: Arc<Semaphore>,
}

impl Media {
    /// Serves what these parts have.
    #[must_use]
    pub fn new(
        board: Board,
        table: Table,
        renditions: Arc<Renditions>,
        pool: Pool,
        tasks: Tasks,
    ) -> Self {
        Self {
            board,
            table,
            renditions,
            pool,
            tasks,
            remaking: Arc::new(Semaphore::new(REMAKING)),
        }
    }

    /// Opens the original with this content.
    ///
    /// # Errors
    /// [`Error::NoSuchContent`], [`Error::Away`] or [`Error::Changed`].
    pub async fn original(&self, sha256: &Sha256) -> Result<(Original, String), Error> {
        let key = *sha256;
        let question = move |known: &mut crate::known::Known| {
            Ok((known.holders(&key, HOLDERS)?, known.checks(&key)?))
        };
        let (holders, checks) = self.table.ask(question).await?;
        let roots = self.board.roots();
        let opening = self
            .tasks
            .spawn_blocking(move || Original::open(&key, &holders, &roots));
        let original = opening.await.map_err(|_| Error::PartEnded("opening"))??;
        let media_type = checks.map(|checks| checks.media_type).unwrap_or_default();
        Ok((original, media_type))
    }

    /// Reads a rendition whole, of this render revision or of the present one; makes it again if
    /// it is not there or damaged.
    ///
    /// # Errors
    /// [`Error::NoSample`] if it cannot be made, or as [`Media::original`].
    pub async fn rendition(
        &self,
        kind: Kind,
        sha256: &Sha256,
        revision: Option<u32>,
    ) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = self.stored(kind, sha256, revision).await? {
            return Ok(bytes);
        }
        let wanted = revision.unwrap_or(RENDER_REVISION);
        let why_not = |why: String| Error::NoSample {
            sha256: hex::encode(sha256),
            revision: wanted,
            why,
        };
        if wanted != RENDER_REVISION {
            let why = format!("this watcher renders revision {RENDER_REVISION}");
            return Err(why_not(why));
        }
        let _permit = self.remaking.acquire().await.map_err(|_| Error::Busy)?;
        // Somebody else may have made it while this one waited.
        if let Some(bytes) = self.stored(kind, sha256, revision).await? {
            return Ok(bytes);
        }
        let (original, _) = self.original(sha256).await?;
        tracing::info!(post.sha256 = hex::encode(sha256), "making renditions again");
        let label = hex::encode(sha256);
        let source = Source::Reader {
            size_hint: original.bytes(),
            reader: Box::new(FromStart {
                file: original.file(),
                at: 0,
            }),
        };
        let rendered = self.pool.render(renderer::Job::new(label, source)).await;
        let rendered = rendered.map_err(|error| why_not(error.to_string()))?;
        let (renditions, key) = (self.renditions.clone(), *sha256);
        let writing = self.tasks.spawn_blocking(move || {
            original.verify(&key)?;
            let checks =
                write_both(&renditions, &key, &rendered).map_err(|source| Error::Read {
                    what: "renditions back".to_owned(),
                    source,
                })?;
            Ok::<_, Error>((rendered, checks))
        });
        let (rendered, checks) = writing.await.map_err(|_| Error::PartEnded("writing"))??;
        let more = self
            .table
            .ask(move |known| known.set_checks(&key, &checks))
            .await?;
        self.renditions.note_remade(more);
        let rendition = match kind {
            Kind::Sample => rendered.sample,
            Kind::Preview => rendered.preview,
        };
        rendition
            .map(|rendition| rendition.jpeg)
            .ok_or_else(|| why_not("the renderer made none".to_owned()))
    }

    /// The rendition on disk, if it is there and whole.
    async fn stored(
        &self,
        kind: Kind,
        sha256: &Sha256,
        revision: Option<u32>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let key = *sha256;
        let Some(checks) = self.table.ask(move |known| known.checks(&key)).await? else {
            return Ok(None);
        };
        if revision.is_some_and(|wanted| wanted != checks.revision) {
            return Ok(None);
        }
        let Some(check) = check(&checks, kind) else {
            return Ok(None);
        };
        let renditions = self.renditions.clone();
        let reading = self
            .tasks
            .spawn_blocking(move || renditions.read(kind, &key, checks.revision, &check));
        match reading.await.map_err(|_| Error::PartEnded("reading"))? {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                // As good as damaged: it can be made again.
                tracing::warn!("cannot read a rendition: {error}");
                Ok(None)
            }
        }
    }

    /// Reads `length` bytes of an original from `offset`.
    ///
    /// # Errors
    /// [`Error::Changed`] if the file is not what it was, [`Error::Read`] if reading fails.
    pub async fn piece(
        &self,
        original: &Original,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, Error> {
        let original = original.clone();
        let reading = self
            .tasks
            .spawn_blocking(move || original.piece(offset, length));
        reading.await.map_err(|_| Error::PartEnded("reading"))?
    }
}

fn check(checks: &Checks, kind: Kind) -> Option<crate::known::RenditionCheck> {
    match kind {
        Kind::Sample => checks.sample,
        Kind::Preview => checks.preview,
    }
}
