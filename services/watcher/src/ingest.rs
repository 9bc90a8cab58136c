//! Reading files: open safely, hash, render, and make sure that nothing changed meanwhile.

mod read;

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kit::{Condition, Shutdown, Tasks};
use renderer::{Pool, Reason, Rendered, Source};
use tokio::sync::{Mutex, mpsc};

use crate::{
    Error,
    board::Board,
    dirty::{Dirty, End},
    known::{Checks, Table},
    place::Place,
    plan::{AfterReading, after_reading},
    renditions::{Kind, Renditions},
    stamp::Stamp,
    work::{Failure, Finding, Job, Picture, UNREADABLE},
};
use read::{Content, Outcome};

/// How long to wait before trying again what is not the picture's fault.
const PAUSE: Duration = Duration::from_secs(2);

/// What the readers share.
#[derive(Debug)]
pub struct Ingest {
    /// The roots.
    pub board: Board,
    /// The known table.
    pub table: Table,
    /// Where renditions go.
    pub renditions: Arc<Renditions>,
    /// Who renders.
    pub pool: Pool,
    /// The largest file that is read, bytes.
    pub largest: u64,
    /// Where to tell what needs no telling the store.
    pub dirty: Arc<Dirty>,
    /// Where findings go.
    pub findings: mpsc::Sender<Finding>,
    /// Files being read or rendered now.
    pub under_way: Arc<AtomicUsize>,
    /// Whether pictures can be rendered.
    pub renderer: Condition,
    /// Whether renditions can be written.
    pub disk: Condition,
    /// Runs what blocks.
    pub tasks: Tasks,
    /// Tells when to end.
    pub shutdown: Shutdown,
}

/// How the reading of one file ended.
enum Told {
    Store(Finding),
    Watch(End),
}

impl Ingest {
    /// Reads files until there are no more, or the shutdown begins.
    ///
    /// # Errors
    /// If the known table cannot be used any more.
    pub async fn run(self: Arc<Self>, jobs: Arc<Mutex<mpsc::Receiver<Job>>>) -> Result<(), Error> {
        loop {
            let next = async { jobs.lock().await.recv().await };
            let Some(Some(job)) = self.shutdown.or(next).await else {
                return Ok(());
            };
            self.under_way.fetch_add(1, Ordering::Relaxed);
            let place = job.place.clone();
            let told = self
                .shutdown
                .or(kit::trace::scope(job.trace, self.ingest(job)))
                .await;
            let sent = match told {
                Some(Ok(Told::Store(finding))) => self.findings.send(finding).await.is_ok(),
                Some(Ok(Told::Watch(end))) => {
                    self.dirty.end(place, end);
                    true
                }
                Some(Err(error)) => return Err(error),
                None => false,
            };
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            if !sent {
                return Ok(());
            }
        }
    }

    async fn ingest(&self, job: Job) -> Result<Told, Error> {
        let Some(root) = self.board.root(job.place.root) else {
            return Ok(Told::Watch(End::Dropped));
        };
        let (place, largest) = (job.place.clone(), self.largest);
        let reading = self
            .tasks
            .spawn_blocking(move || read::read(&root, &place, largest));
        let outcome = reading.await.map_err(|_| Error::PartEnded("reading"))?;
        let content = match outcome {
            Outcome::Content(content) => content,
            Outcome::Ignored(stamp) => return Ok(Told::Store(Finding::Ignored(job.place, stamp))),
            Outcome::Refused(stamp, reason, message) => {
                return Ok(failed(&job.place, stamp, reason, message, None));
            }
            Outcome::Changed(stamp) => {
                let tries = job.tries + 1;
                return Ok(Told::Watch(End::Changed { stamp, tries }));
            }
            Outcome::Gone => return Ok(Told::Watch(End::Done)),
            // Perhaps only for a moment: whether it is gone, another look tells.
            Outcome::Away => {
                let (stamp, tries) = (Stamp::default(), job.tries);
                return Ok(Told::Watch(End::Changed { stamp, tries }));
            }
        };
        let stamp = content.stamp;
        let sha256 = content.digests.sha256;
        let asked = job.place.clone();
        let question = move |known: &mut crate::known::Known| {
            let row = known.compare_place(&asked, &stamp)?.row;
            Ok((row, known.is_held(&sha256)?))
        };
        let (row, held) = self.table.ask(question).await?;
        let step = if job.again {
            AfterReading::Render
        } else {
            after_reading(row.as_ref(), &stamp, &sha256, held)
        };
        match step {
            AfterReading::Remember => Ok(Told::Store(Finding::Seen(job.place, stamp, sha256))),
            AfterReading::Tell => Ok(Told::Store(Finding::Held(job.place, stamp, sha256))),
            AfterReading::Render => self.render(job, content).await,
        }
    }

    async fn render(&self, job: Job, content: Content) -> Result<Told, Error> {
        let (stamp, sha256) = (content.stamp, content.digests.sha256);
        let fail = |reason, message| Ok(failed(&job.place, stamp, reason, message, Some(sha256)));
        let rendered = match self.rendered(&job.place, &content).await {
            Ok(rendered) => rendered,
            Err(error) => return fail(reason_code(&error), error.to_string()),
        };
        // The renderer read the file once more; what it read must be what was hashed.
        let content = Arc::new(content);
        let checked = content.clone();
        let still = self.tasks.spawn_blocking(move || checked.is_unchanged());
        if let Err(now) = still.await.map_err(|_| Error::PartEnded("reading"))? {
            let tries = job.tries + 1;
            return Ok(Told::Watch(End::Changed { stamp: now, tries }));
        }
        let Some(sample_size) = rendered
            .sample
            .as_ref()
            .map(|sample| (sample.width, sample.height))
        else {
            return fail(
                Reason::RendererCrashed.code(),
                "the renderer made no sample".to_owned(),
            );
        };
        let rendered = Arc::new(rendered);
        let checks = self.write(&sha256, &rendered).await?;
        Ok(Told::Store(Finding::Picture(Box::new(Picture {
            place: job.place,
            stamp,
            digests: content.digests.clone(),
            checks,
            sample_size,
            size: (rendered.width, rendered.height),
            frames: rendered.frames,
            has_alpha: rendered.has_alpha,
            partial: rendered.partial,
            perceptual_hash: rendered.hash.map(|hash| hash.bits).unwrap_or_default(),
            detail: rendered.hash.map(|hash| hash.detail),
            colours: rendered.blur_hash.clone().unwrap_or_default(),
            trace: job.trace,
        }))))
    }

    /// Renders; waits while the renderer program itself is the trouble. A picture whose child died
    /// is tried once more: it may have been killed for another's sake.
    async fn rendered(
        &self,
        place: &Place,
        content: &Content,
    ) -> Result<Rendered, renderer::Error> {
        let mut crashes = 0;
        loop {
            let source = Source::Reader {
                reader: Box::new(FromStart {
                    file: content.file.clone(),
                    at: 0,
                }),
                size_hint: content.stamp.size,
            };
            let label = place.display();
            match self.pool.render(renderer::Job::new(label, source)).await {
                Ok(rendered) => {
                    self.renderer.ready();
                    return Ok(rendered);
                }
                Err(renderer::Error::Refused(refusal))
                    if refusal.reason == Reason::RendererCrashed && crashes == 0 =>
                {
                    tracing::warn!(file.path = place.display(), "{refusal}; trying once more");
                    crashes += 1;
                }
                Err(error @ (renderer::Error::Refused(_) | renderer::Error::Source(_))) => {
                    self.renderer.ready();
                    return Err(error);
                }
                Err(
                    error @ (renderer::Error::Missing { .. }
                    | renderer::Error::Start { .. }
                    | renderer::Error::Closed),
                ) => {
                    if self.renderer.waiting(error.to_string()) {
                        tracing::error!("{error}; waiting");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Writes the renditions; waits while the disk is full or fails.
    async fn write(&self, sha256: &[u8; 32], rendered: &Arc<Rendered>) -> Result<Checks, Error> {
        loop {
            let (renditions, rendered) = (self.renditions.clone(), rendered.clone());
            let sha256 = *sha256;
            let writing = self
                .tasks
                .spawn_blocking(move || write_both(&renditions, &sha256, &rendered));
            match writing.await.map_err(|_| Error::PartEnded("writing"))? {
                Ok(checks) => {
                    self.disk.ready();
                    return Ok(checks);
                }
                Err(error) => {
                    if self.disk.waiting(format!("cannot write samples: {error}")) {
                        tracing::error!("cannot write samples: {error}; waiting");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Writes sample and preview, and gives their checks.
///
/// # Errors
/// What the file system answers.
pub fn write_both(
    renditions: &Renditions,
    sha256: &[u8; 32],
    rendered: &Rendered,
) -> io::Result<Checks> {
    let revision = renderer::RENDER_REVISION;
    let write = |kind, rendition: &Option<renderer::Rendition>| {
        rendition
            .as_ref()
            .map(|rendition| renditions.write(kind, sha256, revision, &rendition.jpeg))
            .transpose()
    };
    Ok(Checks {
        media_type: rendered.format.media_type().to_owned(),
        revision,
        sample: write(Kind::Sample, &rendered.sample)?,
        preview: write(Kind::Preview, &rendered.preview)?,
    })
}

fn reason_code(error: &renderer::Error) -> &'static str {
    match error {
        renderer::Error::Source(_) => UNREADABLE,
        other => other.code(),
    }
}

fn failed(
    place: &Place,
    stamp: Stamp,
    reason: &'static str,
    message: String,
    sha256: Option<[u8; 32]>,
) -> Told {
    Told::Store(Finding::Failed(Box::new(Failure {
        place: place.clone(),
        stamp,
        reason,
        message,
        sha256,
    })))
}

/// Reads an open file from its beginning, without moving an offset that others share.
#[derive(Debug)]
pub struct FromStart {
    /// The file.
    pub file: Arc<File>,
    /// What was read so far, bytes.
    pub at: u64,
}

impl io::Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
