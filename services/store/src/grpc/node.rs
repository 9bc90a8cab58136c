//! Nodes and watchers.

use std::time::Duration;

use proto::store::v1::{
    DeviceClass, HeartbeatWatcherRequest, HeartbeatWatcherResponse, ListNodesRequest,
    ListNodesResponse, Node, RegisterNodeRequest, RegisterNodeResponse, RegisterWatcherRequest,
    RegisterWatcherResponse, RetryPath, WatcherProgress, node_service_server::NodeService,
};
use store_core::{
    ModelId, ModelKind,
    node::{self, NewNode},
    root::MAX_ROOTS,
    watcher::{self, NewWatcher},
};
use tonic::{Request, Response, Status};

use super::{Door, at_most, duration, location, model, refuse, subject, timestamp};
use crate::Error;

/// How often a watcher is to be heard of.
const HEARTBEAT: Duration = Duration::from_secs(10);

#[tonic::async_trait]
impl NodeService for Door {
    async fn register_node(
        &self,
        request: Request<RegisterNodeRequest>,
    ) -> Result<Response<RegisterNodeResponse>, Status> {
        let subject = subject(&request);
        let new = new_node(request.into_inner()).map_err(refuse)?;
        let write = self
            .engine
            .write(move |write, now| write.register_node(&new, &subject, now));
        Ok(Response::new(RegisterNodeResponse {
            suspects: write.await.map_err(refuse)?,
        }))
    }

    async fn register_watcher(
        &self,
        request: Request<RegisterWatcherRequest>,
    ) -> Result<Response<RegisterWatcherResponse>, Status> {
        let request = request.into_inner();
        at_most("roots", request.roots.len(), MAX_ROOTS).map_err(refuse)?;
        let roots = location::watched_roots(request.roots).map_err(refuse)?;
        let new = NewWatcher {
            name: request.watcher,
            incarnation: request.incarnation,
            address: request.address,
            sample_dir: request.sample_dir.into(),
            version: request.version,
        };
        let write = self.engine.write(move |write, now| {
            let roots = write.register_watcher(&new, &roots, now)?;
            Ok((roots, write.watchers(now)?, write.roots()?))
        });
        let (roots, watchers, all) = write.await.map_err(refuse)?;
        let names = location::Roots::new(all, watchers);
        Ok(Response::new(RegisterWatcherResponse {
            roots: roots.iter().map(|root| names.message(root)).collect(),
            every: duration(HEARTBEAT),
        }))
    }

    async fn heartbeat_watcher(
        &self,
        request: Request<HeartbeatWatcherRequest>,
    ) -> Result<Response<HeartbeatWatcherResponse>, Status> {
        let request = request.into_inner();
        at_most("roots", request.roots.len(), MAX_ROOTS).map_err(refuse)?;
        let roots = location::watched_roots(request.roots).map_err(refuse)?;
        let said = request.progress.unwrap_or_default();
        let progress = watcher::WatcherProgress {
            pending: said.pending,
            scanning: said.scanning,
            scanned: said.scanned,
        };
        let (name, incarnation) = (request.watcher, request.incarnation);
        let write = self.engine.write(move |write, now| {
            write.heartbeat_watcher(&name, incarnation, &roots, progress, now)
        });
        let retry = write.await.map_err(refuse)?.into_iter();
        Ok(Response::new(HeartbeatWatcherResponse {
            retry: retry
                .map(|(root, path)| RetryPath {
                    root: format!("roots/{root}"),
                    path: path.into(),
                })
                .collect(),
        }))
    }

    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let read = self.engine.read(|store, now| {
            let watchers = store.watchers(now)?;
            let nodes = store.nodes(now)?;
            let watchers = watchers.iter().map(watcher_message);
            Ok(watchers.chain(nodes.iter().map(node_message)).collect())
        });
        Ok(Response::new(ListNodesResponse {
            nodes: read.await.map_err(refuse)?,
        }))
    }
}

fn new_node(request: RegisterNodeRequest) -> Result<NewNode, Error> {
    at_most("models", request.models.len(), 1_000)?;
    let models = request.models.iter();
    Ok(NewNode {
        kind: model::kind("kind", request.kind)?,
        models: models
            .map(|name| kit::id::parse::<ModelId>("models/", name))
            .collect::<Result<_, _>>()?,
        device_class: device("device_class", request.device_class)?,
        name: request.node,
        incarnation: request.incarnation,
        device_proof: request.device_proof,
        address: request.address,
        version: request.version,
    })
}

/// A node as a message.
pub(super) fn node_message(node: &node::Node) -> Node {
    let announced = &node.announced;
    let stopped_reason = match (node.stopped, node.paused) {
        (true, _) => "NODE_STOPPED",
        (false, true) => "PAUSED",
        (false, false) => "",
    };
    Node {
        name: format!("nodes/{}", announced.name),
        role: match announced.kind {
            ModelKind::Tag => "tagger",
            ModelKind::Embed => "embedder",
        }
        .to_owned(),
        incarnation: announced.incarnation,
        online: node.online,
        stopped_reason: stopped_reason.to_owned(),
        device_class: device_message(announced.device_class).into(),
        device_proof: announced.device_proof.clone(),
        models: announced
            .models
            .iter()
            .map(|model| format!("models/{model}"))
            .collect(),
        leased: node.leased,
        address: announced.address.clone(),
        version: announced.version.clone(),
        last_seen_time: timestamp(node.last_seen_ms),
        progress: None,
    }
}

fn watcher_message(watcher: &watcher::Watcher) -> Node {
    let announced = &watcher.announced;
    Node {
        name: format!("watchers/{}", announced.name),
        role: "watcher".to_owned(),
        incarnation: announced.incarnation,
        online: watcher.online,
        address: announced.address.clone(),
        version: announced.version.clone(),
        last_seen_time: timestamp(watcher.last_seen_ms),
        progress: Some(WatcherProgress {
            pending: watcher.progress.pending,
            scanning: watcher.progress.scanning,
            scanned: watcher.progress.scanned,
        }),
        ..Node::default()
    }
}

fn device(field: &str, message: i32) -> Result<store_core::DeviceClass, Error> {
    match DeviceClass::try_from(message) {
        Ok(DeviceClass::Cpu) => Ok(store_core::DeviceClass::Cpu),
        Ok(DeviceClass::Cuda) => Ok(store_core::DeviceClass::Cuda),
        Ok(DeviceClass::Xpu) => Ok(store_core::DeviceClass::Xpu),
        Ok(DeviceClass::Rocm) => Ok(store_core::DeviceClass::Rocm),
        Ok(DeviceClass::Unspecified) | Err(_) => {
            Err(Error::field(field, &message, "a DeviceClass other than 0"))
        }
    }
}

/// A device class as a message.
pub(super) fn device_message(class: store_core::DeviceClass) -> DeviceClass {
    match class {
        store_core::DeviceClass::Cpu => DeviceClass::Cpu,
        store_core::DeviceClass::Cuda => DeviceClass::Cuda,
        store_core::DeviceClass::Xpu => DeviceClass::Xpu,
        store_core::DeviceClass::Rocm => DeviceClass::Rocm,
    }
}
