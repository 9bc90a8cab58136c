//! Listening to store, watcher and similarity: demand, figures, scans, how far the index is. Each
//! follower reports to the event loop and comes back by itself when its service does.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kit::{Credential, Shutdown, Tasks, client::Peer};
use proto::{
    media::v1::{WatchProgressRequest, media_service_client::MediaServiceClient},
    similarity::v1::{GetIndexRequest, similarity_service_client::SimilarityServiceClient},
    store::v1::{
        GetStatsRequest, ModelKind, ReportCrashRequest, WatchDemandRequest, WatchDemandResponse,
        admin_service_client::AdminServiceClient, capacity_service_client::CapacityServiceClient,
        task_service_client::TaskServiceClient,
    },
};
use tokio::sync::{Notify, mpsc, watch};

use super::{cluster::Event, idle::Figures, supervise::Kind};
use crate::{connection::Connection, error::Error, models, roots};

/// How long to wait before asking somebody again who did not answer.
const AGAIN: Duration = Duration::from_millis(500);
/// How often to ask for figures while something moves, and while nothing does.
const BUSY: Duration = Duration::from_millis(500);
const QUIET: Duration = Duration::from_secs(10);
/// Longest silence of a stream that has a sign of life every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// What all followers need.
#[derive(Debug, Clone)]
pub(super) struct Followers {
    pub(super) connection: Arc<Connection>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) tasks: Tasks,
    pub(super) shutdown: Shutdown,
    /// Whether something moves.
    pub(super) busy: Arc<AtomicBool>,
    /// Rung when figures are wanted now.
    pub(super) ring: Arc<Notify>,
}

impl Followers {
    /// Starts a follower that ends with the shutdown.
    fn start(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(name, async move {
            shutdown.or(work).await;
        });
    }

    /// Follows the store's demand for nodes of each kind.
    pub(super) fn demand(&self) {
        let (connection, events) = (self.connection.clone(), self.events.clone());
        self.start("demand", async move {
            loop {
                let mut client = CapacityServiceClient::new(connection.store());
                if let Ok(answer) = client.watch_demand(WatchDemandRequest {}).await {
                    let mut stream = answer.into_inner();
                    while let Ok(Ok(Some(demand))) =
                        tokio::time::timeout(SILENCE, stream.message()).await
                    {
                        for kind in Kind::ALL {
                            let wanted = Event::Demand(kind, wanted(kind, &demand));
                            let _ = events.send(wanted).await;
                        }
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }

    /// Asks the store for its figures again and again.
    pub(super) fn figures(&self) {
        let (connection, events) = (self.connection.clone(), self.events.clone());
        let (busy, ring) = (self.busy.clone(), self.ring.clone());
        self.start("figures", async move {
            loop {
                let asked = Instant::now();
                let pause = match figures(&connection).await {
                    Ok(figures) => {
                        let figures = Event::Figures(asked, Box::new(figures));
                        let _ = events.send(figures).await;
                        pause(&busy)
                    }
                    Err(_) => AGAIN,
                };
                // At most twice a second, however often it rings.
                tokio::time::sleep(pause.min(BUSY)).await;
                let rest = tokio::time::sleep(pause.saturating_sub(BUSY));
                tokio::select! {
                    () = rest => {}
                    () = ring.notified() => {}
                }
            }
        });
    }

    /// Follows the watcher, wherever it listens at the moment.
    pub(super) fn files(&self, mut address: watch::Receiver<Option<String>>, token: Credential) {
        let events = self.events.clone();
        self.start("files", async move {
            loop {
                let here = address.borrow_and_update().clone();
                if let Some(Ok(peer)) = here.map(|address| Peer::new(&address, &token)) {
                    let mut client = MediaServiceClient::new(peer.channel());
                    if let Ok(answer) = client.watch_progress(WatchProgressRequest {}).await {
                        let mut stream = answer.into_inner();
                        while let Ok(Some(files)) = stream.message().await {
                            let _ = events.send(Event::Files(files)).await;
                        }
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    changed = address.changed() => if changed.is_err() { return },
                }
            }
        });
    }

    /// Asks the similarity service how far its index is, wherever it listens at the moment.
    pub(super) fn index(&self, mut address: watch::Receiver<Option<String>>, token: Credential) {
        let (events, busy) = (self.events.clone(), self.busy.clone());
        self.start("index", async move {
            loop {
                let here = address.borrow_and_update().clone();
                if let Some(Ok(peer)) = here.map(|address| Peer::new(&address, &token)) {
                    let mut client = SimilarityServiceClient::new(peer.channel());
                    if let Ok(answer) = client.get_index(GetIndexRequest {}).await {
                        let _ = events.send(Event::Index(answer.into_inner())).await;
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(pause(&busy)) => {}
                    changed = address.changed() => if changed.is_err() { return },
                }
            }
        });
    }

    /// Finds out what to watch: the folders given, or those that this watcher had before.
    pub(super) fn roots(&self, given: Vec<PathBuf>, watcher: String) {
        let (connection, events) = (self.connection.clone(), self.events.clone());
        self.start("roots", async move {
            let found = loop {
                match roots_to_watch(&connection, &given, &watcher).await {
                    Err(Error::Unreachable { .. }) => tokio::time::sleep(AGAIN).await,
                    Err(Error::Refused {
                        code: kit::Code::Unavailable,
                        ..
                    }) => {
                        tokio::time::sleep(AGAIN).await;
                    }
                    found => break found,
                }
            };
            let _ = events.send(Event::Roots(found)).await;
        });
    }

    /// Tells the store that a node died, so that what it was running is looked at with care.
    pub(super) fn report_crash(&self, node: String, incarnation: u64) {
        let (connection, events) = (self.connection.clone(), self.events.clone());
        self.start("crash", async move {
            let request = ReportCrashRequest { node, incarnation };
            let mut client = TaskServiceClient::new(connection.store());
            while let Err(status) = client.report_crash(request.clone()).await {
                if !kit::retry::is_transient(&status) {
                    let text = format!(
                        "the store refuses the report of a crash: {}",
                        status.message()
                    );
                    let _ = events.send(Event::Notice(text)).await;
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

/// How long to wait before asking again somebody who answered.
fn pause(busy: &AtomicBool) -> Duration {
    if busy.load(Ordering::Relaxed) {
        BUSY
    } else {
        QUIET
    }
}

async fn figures(connection: &Connection) -> Result<Figures, Error> {
    let mut client = AdminServiceClient::new(connection.store());
    let stats = connection.ask(client.get_stats(GetStatsRequest {}));
    Ok(Figures {
        stats: stats.await?,
        models: models::list(connection).await?,
    })
}

/// Everything that wants a node of this kind. Posts that the backfill has yet to reach count once
/// they have tasks.
fn wanted(kind: Kind, demand: &WatchDemandResponse) -> u64 {
    let kind = match kind {
        Kind::Tag => ModelKind::Tag,
        Kind::Embed => ModelKind::Embed,
    };
    let demands = demand.demands.iter();
    demands
        .filter(|demand| demand.kind() == kind)
        .map(|demand| demand.leasable + demand.leased + demand.interactive)
        .sum()
}

async fn roots_to_watch(
    connection: &Connection,
    given: &[PathBuf],
    watcher: &str,
) -> Result<Vec<PathBuf>, Error> {
    use std::os::unix::ffi::OsStringExt;
    let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()));
    let known = roots::list(connection).await?;
    let known: Vec<PathBuf> = known
        .into_iter()
        .filter(|root| root.watcher == watcher)
        .map(|root| path(&root.path))
        .collect();
    if given.is_empty() {
        return match known.is_empty() {
            true => Err(super::nothing_to_watch()),
            false => Ok(known),
        };
    }
    // A folder that was watched before may be away: its disk comes back. One that was never there
    // is a slip of the pen.
    match given
        .iter()
        .find(|dir| !dir.is_dir() && !known.contains(dir))
    {
        Some(dir) => Err(Error::Usage(format!(
            "there is no folder {}",
            dir.display()
        ))),
        None => Ok(given.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use proto::store::v1::Demand;

    use super::*;

    #[test]
    fn demand_is_what_can_be_leased_what_is_and_who_waits() {
        let tag = Demand {
            kind: ModelKind::Tag.into(),
            leasable: 5,
            leased: 2,
            interactive: 1,
            parked: 100,
            backfill_left: 1000,
            ..Demand::default()
        };
        let embed = |leasable, interactive| Demand {
            kind: ModelKind::Embed.into(),
            leasable,
            interactive,
            ..Demand::default()
        };
        let demand = WatchDemandResponse {
            demands: vec![tag, embed(50, 0), embed(0, 2)],
        };
        assert_eq!(wanted(Kind::Tag, &demand), 8);
        assert_eq!(wanted(Kind::Embed, &demand), 52);
    }
}
