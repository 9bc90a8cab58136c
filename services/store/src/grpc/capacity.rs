//! Demand as a stream, and people who ask for nodes.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use futures_util::stream;
use kit::{Shutdown, server};
use proto::store::v1::{
    Demand, DeviceClass, RequestCapacityRequest, RequestCapacityResponse, WatchDemandRequest,
    WatchDemandResponse, capacity_service_server::CapacityService,
};
use store_core::capacity::{self, HELD_MS};
use tokio::{sync::watch, time::Instant};
use tonic::{Request, Response, Status};

use super::{Answers, Door, duration, model, node, refuse};
use crate::{Error, engine::Engine};

/// At most four times a second.
const AT_MOST_EVERY: Duration = Duration::from_millis(250);
/// At least every ten seconds.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);

#[tonic::async_trait]
impl CapacityService for Door {
    type WatchDemandStream = Answers<WatchDemandResponse>;

    async fn request_capacity(
        &self,
        request: Request<RequestCapacityRequest>,
    ) -> Result<Response<RequestCapacityResponse>, Status> {
        let caller = {
            let mut hasher = DefaultHasher::new();
            server::principal(&request).name.hash(&mut hasher);
            hasher.finish()
        };
        let kind = model::kind("kind", request.into_inner().kind).map_err(refuse)?;
        let asked = self.engine.request_capacity(kind, caller);
        asked.await.map_err(refuse)?;
        let read = self.engine.read(move |store, now| {
            let nodes = store.nodes(now)?;
            let there = nodes
                .iter()
                .filter(|n| n.online && n.announced.kind == kind);
            Ok(there.map(node::node_message).collect())
        });
        Ok(Response::new(RequestCapacityResponse {
            held: duration(Duration::from_millis(HELD_MS)),
            nodes: read.await.map_err(refuse)?,
        }))
    }

    async fn watch_demand(
        &self,
        _: Request<WatchDemandRequest>,
    ) -> Result<Response<Self::WatchDemandStream>, Status> {
        let watcher = Watcher {
            changes: self.engine.demand(),
            engine: self.engine.clone(),
            shutdown: self.shutdown.clone(),
            told: None,
            over: false,
        };
        let answers = stream::unfold(watcher, |mut watcher| async move {
            let demand = watcher.next().await?;
            Some((demand.map_err(refuse), watcher))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One who watches demand.
struct Watcher {
    changes: watch::Receiver<u64>,
    engine: Engine,
    shutdown: Shutdown,
    /// What was told last, and when.
    told: Option<(WatchDemandResponse, Instant)>,
    over: bool,
}

impl Watcher {
    /// The next figures; `None` at the end.
    async fn next(&mut self) -> Option<Result<WatchDemandResponse, Error>> {
        let shutdown = self.shutdown.clone();
        let next = shutdown.or(self.different()).await??;
        if let Ok(demand) = &next {
            self.told = Some((demand.clone(), Instant::now()));
        }
        self.over = next.is_err();
        Some(next)
    }

    /// Waits until the figures are others than those told, or it is time to tell them again.
    async fn different(&mut self) -> Option<Result<WatchDemandResponse, Error>> {
        if self.over {
            return None;
        }
        loop {
            let Some((told, at)) = &self.told else {
                self.changes.mark_unchanged();
                return Some(self.read().await);
            };
            let (told, at) = (told.clone(), *at);
            tokio::time::sleep_until(at + AT_MOST_EVERY).await;
            let again = at + AT_LEAST_EVERY;
            match tokio::time::timeout_at(again, self.changes.changed()).await {
                Err(_) => return Some(self.read().await),
                // The engine has ended: so does the stream.
                Ok(Err(_)) => return None,
                Ok(Ok(())) => {}
            }
            let now = self.read().await;
            if now.as_ref().is_ok_and(|now| *now == told) {
                tokio::time::sleep(AT_MOST_EVERY).await;
                continue;
            }
            return Some(now);
        }
    }

    async fn read(&self) -> Result<WatchDemandResponse, Error> {
        let read = self.engine.read(|store, now| Ok(store.demand(now)?));
        let demands = read.await?.into_iter().map(message).collect();
        Ok(WatchDemandResponse { demands })
    }
}

fn message(demand: capacity::Demand) -> Demand {
    let device = demand
        .device_class
        .map_or(DeviceClass::Unspecified, node::device_message);
    Demand {
        kind: model::kind_message(demand.work.kind).into(),
        model: format!("models/{}", demand.work.model),
        device_class: device.into(),
        leasable: demand.work.leasable,
        leased: demand.work.leased,
        parked: demand.work.parked,
        interactive: demand.interactive,
        backfill_left: demand.work.backfill_left,
    }
}
