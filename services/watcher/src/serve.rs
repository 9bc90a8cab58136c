//! Assembly: opens what the watcher has, starts its parts, and serves until the shutdown.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::try_join_all;
use kit::{Context, client::Peer, server::Api};
use renderer::Pool;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

use crate::{
    Config, Error,
    apply::Apply,
    board::Board,
    dirty::Dirty,
    grpc::{Door, SCOPES},
    ingest::Ingest,
    known::{Found, Known, Table},
    link::{Identity, Link},
    media::Media,
    notices,
    renditions::Renditions,
    roots::{self, FileSystem, Reach, Root},
    watch::{Pace, Parts, Watch},
    work::{Finding, Job, Picture},
};

/// Findings that may wait for the store.
const FINDINGS: usize = 64;

/// What all parts share.
struct House {
    config: Config,
    cx: Context,
    table: Table,
    board: Board,
    dirty: Arc<Dirty>,
    renditions: Arc<Renditions>,
    pool: Pool,
    largest: u64,
    link: Arc<Link>,
}

/// Watches and serves until the shutdown begins.
///
/// # Errors
/// If the watcher cannot start, or a part of it cannot go on.
pub async fn serve(config: Config, cx: Context) -> Result<(), Error> {
    let checked = roots::check(&config.roots, cx.data())?;
    let (table, found) = Table::open(
        cx.data().join("watcher"),
        cx.health.condition("known"),
        cx.shutdown.clone(),
    )
    .await?;
    match found {
        Found::Kept => {}
        Found::Absent => {
            tracing::info!("no table of known files yet: everything will be looked at");
        }
        Found::Replaced(why) => {
            tracing::warn!("the table of known files is rebuilt: {why}");
        }
    }
    let roots = known_roots(&table, checked).await?;
    if roots.is_empty() {
        tracing::warn!("no folder to watch: name one (kumo-watcher DIR…)");
        cx.process.notice("NO_ROOTS", "no folder to watch");
    }
    let house = open(config, cx, table)?;
    let cx = house.cx.clone();
    let media = Media::new(
        house.board.clone(),
        house.table.clone(),
        house.renditions.clone(),
        house.pool.clone(),
        cx.tasks.clone(),
    );
    let door = Door::service(
        media,
        house.board.clone(),
        house.dirty.clone(),
        cx.tasks.clone(),
        cx.shutdown.clone(),
    );
    let stop = StopWatching(house.dirty.clone());
    let serving = async {
        let served = cx.serve(Api::new().scopes(SCOPES).add(door)).await;
        drop(stop);
        served.map_err(Error::from)
    };
    let watching = async {
        let watched = unless_unwritten(house.watch(roots).await);
        // Nobody may think that the watcher is well without its watching part.
        cx.shutdown.begin();
        watched
    };
    let (served, watched) = tokio::join!(serving, watching);
    watched.and(served)
}

/// To be stopped while the disk is full is no failure: what could not be remembered of files is
/// found again by the scan of the next start, and the store takes it twice.
fn unless_unwritten(watched: Result<(), Error>) -> Result<(), Error> {
    match watched {
        Err(error @ Error::StoppedUnwritten(_)) => {
            tracing::warn!(
                "{error}; nothing is lost: the next start finds again what could not be remembered"
            );
            Ok(())
        }
        watched => watched,
    }
}

/// Ends the watching thread when serving ends, in whatever way.
struct StopWatching(Arc<Dirty>);

impl Drop for StopWatching {
    fn drop(&mut self) {
        self.0.tell(|news| news.stop = true);
    }
}

fn open(config: Config, cx: Context, table: Table) -> Result<House, Error> {
    let data = cx.data().to_owned();
    let renditions = Renditions::open(&data).map_err(|source| Error::Folder {
        path: data.clone(),
        source,
    })?;
    let renditions = Arc::new(renditions);
    let pool_config = renderer::Config {
        program: config.renderer.clone(),
        size: config.renderers(),
        ..renderer::Config::default()
    };
    let largest = pool_config.limits.file_bytes;
    let (board, dirty) = (Board::default(), Arc::new(Dirty::default()));
    let identity = Identity {
        watcher: cx.process.instance().to_owned(),
        incarnation: cx.process.incarnation(),
        address: config
            .advertise
            .clone()
            .unwrap_or_else(|| format!("http://{}", cx.local_addr())),
        sample_dir: renditions.sample_dir(),
    };
    let link = Link::new(
        Peer::new(&config.store, &cx.credential)?,
        identity,
        cx.health.condition("store"),
        cx.shutdown.clone(),
        board.clone(),
        table.clone(),
        dirty.clone(),
    );
    cx.process.memory_part("known.cache", Known::memory_bytes);
    let counted = dirty.clone();
    cx.process.memory_part("dirty.set", move || counted.bytes());
    Ok(House {
        pool: Pool::new(pool_config),
        link: Arc::new(link),
        config,
        cx,
        table,
        board,
        dirty,
        renditions,
        largest,
    })
}

/// The roots with their numbers; those of the last start if none are named.
async fn known_roots(table: &Table, named: Vec<PathBuf>) -> Result<Vec<Root>, Error> {
    let paths = if named.is_empty() {
        table.ask(Known::watched_roots).await?
    } else {
        let paths: Vec<Vec<u8>> = named
            .iter()
            .map(|path| path.as_os_str().as_bytes().to_vec())
            .collect();
        let watched = paths.clone();
        table
            .ask(move |known| known.set_watched_roots(&watched))
            .await
            .map_err(|error| match error {
                // No scan finds again what was to be watched, so this is a failure.
                Error::StoppedUnwritten(full) => Error::RootsNotRemembered(full),
                error => error,
            })?;
        paths
    };
    let mut roots = Vec::new();
    for path in paths {
        let asked = path.clone();
        let known = table.ask(move |known| known.root(&asked)).await?;
        roots.push(Root {
            id: known.id,
            path: Path::new(std::ffi::OsStr::from_bytes(&path)).to_owned(),
            file_system: FileSystem::Local,
            reach: Reach::Offline("it has not been looked at yet".to_owned()),
            polled: None,
        });
    }
    Ok(roots)
}

impl House {
    /// Starts the parts that watch, read and tell, and waits until they have ended: by the
    /// shutdown, or the first by an error.
    async fn watch(self, roots: Vec<Root>) -> Result<(), Error> {
        let tasks = self.cx.tasks.clone();
        tasks.spawn(
            "notices",
            notices::roots(self.cx.clone(), self.board.clone()),
        );
        let (jobs_in, jobs) = mpsc::channel(2 * self.config.renderers());
        let (findings_in, findings) = mpsc::channel(FINDINGS);
        let parts = Parts {
            roots,
            table: self.table.clone(),
            dirty: self.dirty.clone(),
            board: self.board.clone(),
            jobs: jobs_in,
            findings: findings_in.clone(),
            pace: Pace {
                rescan: self.config.rescan_every,
                poll: self.config.poll,
            },
        };
        let looking = tasks.spawn_blocking(move || Watch::open(parts));
        let watch = looking.await.map_err(|_| Error::PartEnded("watch"))??;
        let Some(every) = self.link.register().await? else {
            return Ok(());
        };

        let link = self.link.clone();
        let mut running = vec![
            (
                "link",
                tasks.spawn("link", async move { link.keep(every).await }),
            ),
            ("watch", tasks.spawn_blocking(move || watch.run())),
        ];
        self.start_pipeline(jobs, findings_in, findings, &mut running);
        let ends = running
            .into_iter()
            .map(|(name, part)| async move { part.await.map_err(|_| Error::PartEnded(name))? });
        try_join_all(ends).await.map(drop)
    }

    /// Starts those who read files, and the one who tells the store.
    fn start_pipeline(
        self,
        jobs: mpsc::Receiver<Job>,
        findings_in: mpsc::Sender<Finding>,
        findings: mpsc::Receiver<Finding>,
        running: &mut Vec<(&'static str, JoinHandle<Result<(), Error>>)>,
    ) {
        let cx = self.cx;
        let renderer = cx.health.condition("renderer");
        let disk = cx.health.condition("disk");
        disk.ready();
        let under_way = Arc::new(AtomicUsize::new(0));
        let (waiting, reading) = (findings_in.clone(), under_way.clone());
        cx.process.memory_part("pipeline", move || {
            let queued = waiting.max_capacity() - waiting.capacity();
            (queued * size_of::<Picture>() + reading.load(Ordering::Relaxed) * (256 << 10)) as u64
        });
        cx.tasks.spawn(
            "renderer",
            notices::renderer(cx.clone(), self.pool.clone(), renderer.clone()),
        );
        let ingest = Arc::new(Ingest {
            board: self.board.clone(),
            table: self.table.clone(),
            renditions: self.renditions.clone(),
            pool: self.pool,
            largest: self.largest,
            dirty: self.dirty.clone(),
            findings: findings_in,
            under_way: under_way.clone(),
            renderer,
            disk: disk.clone(),
            tasks: cx.tasks.clone(),
            shutdown: cx.shutdown.clone(),
        });
        let jobs = Arc::new(Mutex::new(jobs));
        // One more than pictures are rendered at once: it hashes meanwhile.
        for _ in 0..=self.config.renderers() {
            let reader = ingest.clone().run(jobs.clone());
            running.push(("ingest", cx.tasks.spawn("ingest", reader)));
        }
        let apply = Apply {
            link: self.link,
            table: self.table,
            renditions: self.renditions,
            dirty: self.dirty,
            board: self.board,
            findings,
            under_way,
            disk,
            tasks: cx.tasks.clone(),
            shutdown: cx.shutdown,
            sample_cache: self.config.sample_cache.saturating_mul(1_000_000),
        };
        running.push(("apply", cx.tasks.spawn("apply", apply.run())));
    }
}
