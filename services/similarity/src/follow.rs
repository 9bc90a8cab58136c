//! Following the store: a snapshot or the bulk first, then every change, for as long as the process
//! lives.
//!
//! One task does all of it, so that the index has one writer. What is read in bulk never moves the
//! cursor past changes that it may have missed: it is always followed by the feed from where the
//! feed stood before. The store being away costs nothing but freshness: what is in memory answers.

mod bulk;
mod changes;
mod entries;
mod readiness;
mod snapshots;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kit::{Condition, Context, Shutdown};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::live::{Live, View};
use crate::store::Store;
use bulk::Bulk;
use readiness::Readiness;
use snapshots::Snapshots;

/// The store gives a sign of life every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// A store of which nothing was heard for so long is away: then what the snapshot holds answers, however
/// old. Before, the store may only be starting too.
const AWAY: Duration = Duration::from_secs(3);

/// The one who follows.
pub(crate) struct Follower {
    store: Store,
    live: Arc<Live>,
    shutdown: Shutdown,
    readiness: Readiness,
    snapshots: Snapshots,
    /// What is being read in bulk.
    bulk: Option<Bulk>,
    /// Grows with everything that the store has told.
    heard: u64,
    /// Whether anything was heard of the feed since the start.
    followed: bool,
    /// When the store was last heard of; at first, when this began.
    heard_at: Instant,
}

/// Why following was interrupted.
#[derive(Debug)]
enum Trouble {
    /// The store does not answer, or refuses.
    Store(Status),
    /// A stream ended: the store is stopping.
    Ended,
    /// The store is there and says nothing.
    Silent,
    /// The feed is another one.
    Resync,
    /// The store contradicts itself.
    Broken(String),
    /// Work on the index did not come to an end.
    Interrupted(crate::Error),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(status) => f.write_str(status.message()),
            Self::Ended => f.write_str("it ended the stream"),
            Self::Silent => write!(f, "nothing was heard for {SILENCE:?}"),
            Self::Resync => f.write_str("its feed is another one than was followed"),
            Self::Broken(what) => f.write_str(what),
            Self::Interrupted(error) => write!(f, "{error}"),
        }
    }
}

impl From<Status> for Trouble {
    fn from(status: Status) -> Self {
        match kit::code::reason(&status).as_deref() {
            Some("RESYNC_REQUIRED") => Self::Resync,
            _ => Self::Store(status),
        }
    }
}

impl From<crate::Error> for Trouble {
    fn from(error: crate::Error) -> Self {
        Self::Interrupted(error)
    }
}

impl Follower {
    pub(crate) fn new(
        store: Store,
        live: Arc<Live>,
        cx: &Context,
        condition: Condition,
        snapshot_every: Duration,
    ) -> Self {
        let path = cx.data().join("similarity").join("snapshot.bin");
        Self {
            store,
            live,
            shutdown: cx.shutdown.clone(),
            readiness: Readiness::new(condition),
            snapshots: Snapshots::new(path, snapshot_every, cx.process.clone()),
            bulk: None,
            heard: 0,
            followed: false,
            heard_at: Instant::now(),
        }
    }

    /// Follows until the shutdown begins, then writes the last snapshot.
    pub(crate) async fn run(mut self) {
        self.snapshots.load(&self.live).await;
        let shutdown = self.shutdown.clone();
        let mut waits = kit::retry::waits();
        let mut before = self.heard;
        while let Some(ended) = shutdown.or(self.round()).await {
            let trouble = match ended {
                Ok(never) => match never {},
                Err(trouble) => trouble,
            };
            self.lost(&trouble).await;
            if self.heard > before {
                (before, waits) = (self.heard, kit::retry::waits());
            }
            let wait = waits.next().unwrap_or(Duration::from_secs(5));
            if shutdown.or(self.rest(wait)).await.is_none() {
                break;
            }
        }
        let whole = self.bulk.is_none();
        self.snapshots.last(&self.live, whole).await;
    }

    /// Waits; a snapshot that is due meanwhile is written.
    async fn rest(&mut self, wait: Duration) {
        let whole = self.bulk.is_none();
        self.snapshots.write_if_due(&self.live, whole).await;
        tokio::time::sleep(wait).await;
    }

    /// Loads what is to be loaded, and follows; until something goes wrong.
    async fn round(&mut self) -> Result<Infallible, Trouble> {
        loop {
            if self.bulk.is_none() && self.live.standing().cursor.is_none() {
                self.bulk = Some(Bulk::first());
            }
            if self.bulk.is_some() {
                self.read().await?;
            } else {
                self.watch().await?;
            }
        }
    }

    /// Says what went wrong, and does what must be done about it.
    async fn lost(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Resync => self.forget().await,
            Trouble::Broken(_) => self.begin_again().await,
            Trouble::Store(_) | Trouble::Ended | Trouble::Silent | Trouble::Interrupted(_) => {}
        }
        let away = self.heard_at.elapsed() >= AWAY;
        self.live.note(|standing| {
            standing.following = false;
            standing.settled |= away;
        });
        self.readiness.lost(trouble, &self.live.standing());
    }

    /// Drops everything: the store is another one, in which the same numbers mean other posts.
    async fn forget(&mut self) {
        let stale = !self.followed && self.live.standing().snapshot == "LOADED";
        tracing::warn!(
            "the store's feed is not the one {}: reading everything again",
            if stale {
                "that the snapshot belongs to"
            } else {
                "that was followed"
            }
        );
        self.bulk = None;
        let emptied = bulk::replace(&self.live, View::new(None, ""));
        if let Err(error) = emptied.await {
            tracing::error!("{error}");
        }
        self.live.note(|standing| {
            (standing.head, standing.pending) = (0, 0);
            if stale {
                standing.snapshot = "STALE";
            }
        });
    }

    /// The next message; snapshots that fall due while it is waited for are written.
    async fn next<T>(&mut self, stream: &mut Streaming<T>) -> Result<Option<T>, Trouble> {
        let silent = Instant::now() + SILENCE;
        let whole = self.bulk.is_none();
        loop {
            self.snapshots.write_if_due(&self.live, whole).await;
            let until = silent.min(self.snapshots.next());
            match tokio::time::timeout_at(until, stream.message()).await {
                Ok(message) => {
                    let message = message?;
                    if message.is_some() {
                        self.heard += 1;
                        self.heard_at = Instant::now();
                        self.live.note(|standing| standing.following = true);
                    }
                    return Ok(message);
                }
                Err(_) if Instant::now() >= silent => return Err(Trouble::Silent),
                Err(_) => {}
            }
        }
    }
}
