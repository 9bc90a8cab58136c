//! The link to the store: announcing this watcher, keeping it online, and calling.

mod reconcile;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kit::{Condition, Shutdown, client::Channel, client::Peer, retry};
use proto::store::v1::{
    HeartbeatWatcherRequest, HeartbeatWatcherResponse, NewLocation, RegisterWatcherRequest,
    RegisterWatcherResponse, RootState, WatchedRoot, WatcherProgress,
    location_service_client::LocationServiceClient, node_service_client::NodeServiceClient,
    post_service_client::PostServiceClient,
};
use tonic::Status;

use crate::{
    Error,
    board::Board,
    dirty::Dirty,
    known::Table,
    place::{Place, RootId},
    roots::Root,
    stamp::Stamp,
};

/// How often to call if the store does not say.
const EVERY: Duration = Duration::from_secs(10);
/// How long to wait after a refusal that may pass.
const REFUSED: Duration = Duration::from_secs(2);

/// Who this watcher is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Name, stable over restarts.
    pub watcher: String,
    /// Number of this start.
    pub incarnation: u64,
    /// Address of its media service.
    pub address: String,
    /// Folder of its samples.
    pub sample_dir: Vec<u8>,
}

/// The link.
#[derive(Debug)]
pub struct Link {
    peer: Peer,
    identity: Identity,
    condition: Condition,
    shutdown: Shutdown,
    board: Board,
    table: Table,
    dirty: Arc<Dirty>,
    names: Mutex<HashMap<RootId, String>>,
    // Rung when the store seems not to know this watcher any more.
    nudge: tokio::sync::Notify,
    // Held between an answer of the store and its being remembered, and while the two are compared.
    gate: tokio::sync::Mutex<()>,
}

impl Link {
    /// A link that has not been used.
    #[must_use]
    pub fn new(
        peer: Peer,
        identity: Identity,
        condition: Condition,
        shutdown: Shutdown,
        board: Board,
        table: Table,
        dirty: Arc<Dirty>,
    ) -> Self {
        Self {
            peer,
            identity,
            condition,
            shutdown,
            board,
            table,
            dirty,
            names: Mutex::default(),
            nudge: tokio::sync::Notify::new(),
            gate: tokio::sync::Mutex::default(),
        }
    }

    /// A client of the store's posts.
    #[must_use]
    pub fn posts(&self) -> PostServiceClient<Channel> {
        PostServiceClient::new(self.peer.channel())
    }

    /// A client of the store's locations.
    #[must_use]
    pub fn locations(&self) -> LocationServiceClient<Channel> {
        LocationServiceClient::new(self.peer.channel())
    }

    /// To be held from a call that changes the store until that is remembered.
    pub async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.gate.lock().await
    }

    /// Calls until the store answers, or the shutdown begins (`None`).
    pub async fn call<T, F, Fut>(&self, mut call: F) -> Option<Result<T, Status>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let answer = retry::until_up(&self.shutdown, &self.condition, "store", || {
            let answer = call();
            async {
                let answer = answer.await;
                if answer.as_ref().is_err_and(retry::is_transient) {
                    self.board
                        .update(|progress| progress.waiting_for = "STORE_UNREACHABLE");
                }
                answer
            }
        })
        .await;
        self.board.update(|progress| progress.waiting_for = "");
        answer
    }

    /// Calls until the store answers or says that the request itself is wrong, or the shutdown
    /// begins (`None`). Whatever else it says (that it does not know this watcher any more, that
    /// its disk is full) may pass, and nothing is to be lost meanwhile.
    pub async fn insist<T, F, Fut>(&self, mut call: F) -> Option<Result<T, Status>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        loop {
            let status = match self.call(&mut call).await? {
                Err(status) if !is_own_fault(&status) => status,
                answer => return Some(answer),
            };
            let message = status.message();
            if self
                .condition
                .waiting(format!("the store refuses: {message}"))
            {
                tracing::error!("the store refuses: {message}; trying again");
            }
            self.board
                .update(|progress| progress.waiting_for = "STORE_REFUSES");
            self.nudge.notify_one();
            self.shutdown.or(tokio::time::sleep(REFUSED)).await?;
        }
    }

    /// A file as the store wants to hear of it.
    #[must_use]
    pub fn location(&self, place: &Place, stamp: &Stamp) -> NewLocation {
        NewLocation {
            root: self.name(place.root),
            path: place.path.to_vec().into(),
            byte_size: stamp.size,
            mtime_ns: stamp.mtime_ns,
        }
    }

    fn name(&self, root: RootId) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&root).cloned().unwrap_or_default()
    }

    fn root_named(&self, name: &str) -> Option<RootId> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names
            .iter()
            .find(|(_, other)| *other == name)
            .map(|(root, _)| *root)
    }

    /// Announces this watcher and its roots, and makes sure that the known table does not claim
    /// more than the store knows. `None` if the shutdown has begun. The answer is how often to
    /// call.
    ///
    /// # Errors
    /// If the store refuses, or the known table cannot be used.
    pub async fn register(&self) -> Result<Option<Duration>, Error> {
        loop {
            let roots = self.board.roots();
            let request = RegisterWatcherRequest {
                watcher: self.identity.watcher.clone(),
                incarnation: self.identity.incarnation,
                address: self.identity.address.clone(),
                sample_dir: self.identity.sample_dir.clone().into(),
                roots: roots.iter().map(watched).collect(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            };
            let answer = self
                .call(|| {
                    let (mut nodes, request) = (self.nodes(), request.clone());
                    async move { nodes.register_watcher(request).await }
                })
                .await;
            match answer {
                None => return Ok(None),
                Some(Ok(answer)) => {
                    return self.registered(&roots, answer.into_inner()).await.map(Some);
                }
                Some(Err(status)) => {
                    let message = status.message();
                    tracing::error!("the store refuses this watcher: {message}; trying again");
                    if self.shutdown.or(tokio::time::sleep(EVERY)).await.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn registered(
        &self,
        roots: &[Root],
        answer: RegisterWatcherResponse,
    ) -> Result<Duration, Error> {
        if answer.roots.len() != roots.len() {
            let (got, wanted) = (answer.roots.len(), roots.len());
            return Err(Error::Store(format!(
                "answered {got} roots where {wanted} were announced"
            )));
        }
        for (root, named) in roots.iter().zip(&answer.roots) {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.insert(root.id, named.name.clone());
        }
        for (root, named) in roots.iter().zip(&answer.roots) {
            self.reconcile(root, named).await?;
        }
        let every = answer
            .every
            .and_then(|every| Duration::try_from(every).ok());
        Ok(every.filter(|every| !every.is_zero()).unwrap_or(EVERY))
    }

    /// Keeps this watcher online until the shutdown begins.
    ///
    /// # Errors
    /// If the known table cannot be used any more.
    pub async fn keep(&self, mut every: Duration) -> Result<(), Error> {
        let mut roots = self.board.watch_roots();
        loop {
            tokio::select! {
                () = self.shutdown.begun() => return Ok(()),
                () = tokio::time::sleep(every) => {}
                () = self.nudge.notified() => {}
                // The board lives as long as this link.
                _ = roots.changed() => {}
            }
            match self.beat().await {
                Ok(answer) => {
                    self.condition.ready();
                    let retry = answer.retry.into_iter();
                    let places = retry.filter_map(|retry| {
                        let root = self.root_named(&retry.root)?;
                        Some(Place::new(root, retry.path.as_ref()))
                    });
                    let places: Vec<Place> = places.collect();
                    if !places.is_empty() {
                        self.dirty.retry(places);
                    }
                }
                // Down, restarted, or restored from a backup: announce again.
                Err(_) => match self.register().await? {
                    Some(asked) => every = asked,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn beat(&self) -> Result<HeartbeatWatcherResponse, Status> {
        let progress = self.board.progress.borrow().clone();
        let request = HeartbeatWatcherRequest {
            watcher: self.identity.watcher.clone(),
            incarnation: self.identity.incarnation,
            roots: self.board.roots().iter().map(watched).collect(),
            progress: Some(WatcherProgress {
                pending: progress.pending,
                scanning: progress.scanning,
                scanned: progress.scanned,
            }),
        };
        let answer = self.nodes().heartbeat_watcher(request).await?;
        Ok(answer.into_inner())
    }

    fn nodes(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.peer.channel())
    }
}

/// Whether the same request would be refused again.
fn is_own_fault(status: &Status) -> bool {
    matches!(
        status.code(),
        tonic::Code::InvalidArgument | tonic::Code::OutOfRange
    )
}

fn watched(root: &Root) -> WatchedRoot {
    use std::os::unix::ffi::OsStrExt;
    let state = if root.is_online() {
        RootState::Online
    } else {
        RootState::Offline
    };
    let mut notice = root.notice();
    // The store takes 1,000 bytes.
    while notice.len() > 1_000 {
        notice.pop();
    }
    WatchedRoot {
        path: root.path.as_os_str().as_bytes().to_vec().into(),
        state: state.into(),
        notice,
    }
}
