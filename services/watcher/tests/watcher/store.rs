//! A store as small as can be: maps in memory behind the real contract. It can go away and return.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use proto::store::v1::{
    location_service_server::{LocationService, LocationServiceServer},
    node_service_server::{NodeService, NodeServiceServer},
    post_service_server::{PostService, PostServiceServer},
    *,
};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// Path below the only root, as text.
pub(super) type Path = String;

/// What the store knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) posts: BTreeMap<String, NewPost>,
    /// Content, and whether the file is there.
    pub(super) locations: BTreeMap<Path, (String, bool)>,
    pub(super) failures: BTreeMap<Path, String>,
    /// How often each path was registered as a new post.
    pub(super) registrations: BTreeMap<Path, u32>,
    /// When each path was first heard of.
    pub(super) heard: BTreeMap<Path, Instant>,
    pub(super) roots: Vec<WatchedRoot>,
    pub(super) announcements: u32,
    pub(super) retry: Vec<Path>,
    /// How often a file was said to be there without being registered.
    pub(super) told: u32,
    /// How often locations were listed.
    pub(super) listings: u32,
    /// Whether that is refused.
    pub(super) refuses_to_list: bool,
    /// So many files there are not counted in the answer to an announcement, as if they were told
    /// of after it was given.
    pub(super) uncounted: u64,
    raw: BTreeMap<Path, (Vec<u8>, u64, i64)>,
}

impl State {
    /// Paths that are there.
    pub(super) fn present(&self) -> Vec<&str> {
        let there = self.locations.iter().filter(|(_, (_, there))| *there);
        there.map(|(path, _)| path.as_str()).collect()
    }

    /// A path is missing.
    pub(super) fn lose(&mut self, path: &str) {
        if let Some((_, there)) = self.locations.get_mut(path) {
            *there = false;
        }
    }

    /// Paths that were there.
    pub(super) fn missing(&self) -> Vec<&str> {
        let gone = self.locations.iter().filter(|(_, (_, there))| !*there);
        gone.map(|(path, _)| path.as_str()).collect()
    }
}

/// The store.
pub(super) struct Store {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) address: SocketAddr,
    running: Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

impl Store {
    /// A store that runs.
    pub(super) fn start() -> Self {
        let mut store = Self {
            state: Arc::default(),
            address: ([127, 0, 0, 1], 0).into(),
            running: None,
        };
        store.come();
        store
    }

    /// A store that is not there yet; its address is.
    pub(super) fn absent() -> Self {
        let mut store = Self::start();
        store.go();
        store
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test panics while it holds this")
    }

    /// Starts, at the address it had.
    pub(super) fn come(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let (state, wanted) = (self.state.clone(), self.address);
        let thread = thread::spawn(move || {
            // A runtime of its own: dropping it cuts every connection, as a crash would.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(wanted).await.expect("binds");
                bound
                    .send(listener.local_addr().expect("has an address"))
                    .expect("is awaited");
                let serving = Server::builder()
                    .add_service(PostServiceServer::new(Fake(state.clone())))
                    .add_service(LocationServiceServer::new(Fake(state.clone())))
                    .add_service(NodeServiceServer::new(Fake(state)))
                    .serve_with_incoming(TcpListenerStream::new(listener));
                tokio::select! {
                    served = serving => served.expect("serves"),
                    _ = stopped => {}
                }
            });
        });
        self.address = address
            .recv_timeout(Duration::from_secs(10))
            .expect("starts");
        self.running = Some((stop, thread));
    }

    /// Goes away, with all connections.
    pub(super) fn go(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            thread.join().expect("ends");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.go();
    }
}

struct Fake(Arc<Mutex<State>>);

impl Fake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }
}

fn path(location: Option<&NewLocation>) -> Result<Path, Status> {
    let location = location.ok_or_else(|| Status::invalid_argument("no location"))?;
    if location.root != "roots/1" || location.path.is_empty() {
        return Err(Status::invalid_argument("no such root, or no path"));
    }
    Ok(location.path.escape_ascii().to_string())
}

impl State {
    fn roots(&self) -> Vec<Root> {
        let present = self.present().len() as u64;
        let missing = self.missing().len() as u64;
        let root = |(number, root): (usize, &WatchedRoot)| Root {
            name: format!("roots/{}", number + 1),
            path: root.path.clone(),
            state: root.state,
            present,
            missing,
            ..Root::default()
        };
        self.roots.iter().enumerate().map(root).collect()
    }

    fn put(&mut self, location: &NewLocation, path: Path, sha256: String) {
        self.raw.insert(
            path.clone(),
            (
                location.path.to_vec(),
                location.byte_size,
                location.mtime_ns,
            ),
        );
        self.failures.remove(&path);
        self.heard.entry(path.clone()).or_insert_with(Instant::now);
        self.locations.insert(path, (sha256, true));
    }

    /// Forgets a path if its content is there at another; else it is missing.
    fn leave(&mut self, path: &Path) {
        let Some((sha256, _)) = self.locations.get(path).cloned() else {
            return;
        };
        let mut others = self.locations.iter().filter(|(other, _)| *other != path);
        if others.any(|(_, (content, there))| *there && *content == sha256) {
            self.locations.remove(path);
        } else {
            self.locations.insert(path.clone(), (sha256, false));
        }
    }
}

#[tonic::async_trait]
impl PostService for Fake {
    async fn register_posts(
        &self,
        request: Request<RegisterPostsRequest>,
    ) -> Result<Response<RegisterPostsResponse>, Status> {
        let mut state = self.state();
        let mut answer = RegisterPostsResponse::default();
        for post in request.into_inner().posts {
            let path = path(post.location.as_ref())?;
            if post.sha256.len() != 64 || post.md5.len() != 32 || post.sample.is_none() {
                return Err(Status::invalid_argument("an incomplete post"));
            }
            *state.registrations.entry(path.clone()).or_default() += 1;
            let location = post.location.clone().unwrap_or_default();
            state.put(&location, path, post.sha256.clone());
            let created = !state.posts.contains_key(&post.sha256);
            state.posts.entry(post.sha256.clone()).or_insert(post);
            answer.posts.push(RegisteredPost {
                name: "posts/1".to_owned(),
                created,
                rejected: false,
            });
        }
        Ok(Response::new(answer))
    }

    async fn get_post(
        &self,
        _: Request<GetPostRequest>,
    ) -> Result<Response<GetPostResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn batch_get_posts(
        &self,
        _: Request<BatchGetPostsRequest>,
    ) -> Result<Response<BatchGetPostsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn search_posts(
        &self,
        _: Request<SearchPostsRequest>,
    ) -> Result<Response<SearchPostsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

#[tonic::async_trait]
impl LocationService for Fake {
    async fn update_locations(
        &self,
        request: Request<UpdateLocationsRequest>,
    ) -> Result<Response<UpdateLocationsResponse>, Status> {
        let mut state = self.state();
        let mut answer = UpdateLocationsResponse::default();
        for (index, change) in (0..).zip(request.into_inner().changes) {
            let path = path(change.location.as_ref())?;
            match change.state() {
                LocationState::Present if state.posts.contains_key(&change.sha256) => {
                    state.told += 1;
                    let location = change.location.unwrap_or_default();
                    state.put(&location, path, change.sha256);
                }
                LocationState::Present => answer.unknown.push(index),
                LocationState::Missing => {
                    state.failures.remove(&path);
                    state.lose(&path);
                }
                LocationState::Moved => state.leave(&path),
                LocationState::Unspecified => return Err(Status::invalid_argument("no state")),
            }
        }
        Ok(Response::new(answer))
    }

    async fn list_locations(
        &self,
        request: Request<ListLocationsRequest>,
    ) -> Result<Response<ListLocationsResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state.listings += 1;
        if state.refuses_to_list {
            return Err(Status::internal("it cannot be read"));
        }
        // Two a page, so that paging is exercised.
        let start: usize = request.page_token.parse().unwrap_or(0);
        let locations: Vec<KnownLocation> = state
            .locations
            .iter()
            .skip(start)
            .take(2)
            .map(|(path, (sha256, there))| {
                let (raw, byte_size, mtime_ns) = state.raw[path].clone();
                let condition = if *there {
                    LocationState::Present
                } else {
                    LocationState::Missing
                };
                KnownLocation {
                    location: Some(Location {
                        root: request.root.clone(),
                        path: raw.into(),
                        display_path: String::new(),
                        state: condition.into(),
                        byte_size,
                        mtime_ns,
                    }),
                    sha256: sha256.clone(),
                }
            })
            .collect();
        let end = start + locations.len();
        let more = end < state.locations.len();
        Ok(Response::new(ListLocationsResponse {
            locations,
            next_page_token: if more { end.to_string() } else { String::new() },
        }))
    }

    async fn report_ingest_failures(
        &self,
        request: Request<ReportIngestFailuresRequest>,
    ) -> Result<Response<ReportIngestFailuresResponse>, Status> {
        let mut state = self.state();
        for failure in request.into_inner().failures {
            let path = path(failure.location.as_ref())?;
            state.failures.insert(path, failure.reason);
        }
        Ok(Response::new(ReportIngestFailuresResponse {}))
    }

    async fn list_roots(
        &self,
        _: Request<ListRootsRequest>,
    ) -> Result<Response<ListRootsResponse>, Status> {
        let roots = self.state().roots();
        Ok(Response::new(ListRootsResponse { roots }))
    }
}

#[tonic::async_trait]
impl NodeService for Fake {
    async fn register_node(
        &self,
        _: Request<RegisterNodeRequest>,
    ) -> Result<Response<RegisterNodeResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn register_watcher(
        &self,
        request: Request<RegisterWatcherRequest>,
    ) -> Result<Response<RegisterWatcherResponse>, Status> {
        let mut state = self.state();
        state.announcements += 1;
        state.roots = request.into_inner().roots;
        let mut roots = state.roots();
        for root in &mut roots {
            root.present -= state.uncounted;
        }
        Ok(Response::new(RegisterWatcherResponse {
            roots,
            every: Some(Duration::from_millis(200).try_into().expect("is short")),
        }))
    }

    async fn heartbeat_watcher(
        &self,
        request: Request<HeartbeatWatcherRequest>,
    ) -> Result<Response<HeartbeatWatcherResponse>, Status> {
        let mut state = self.state();
        if state.announcements == 0 {
            return Err(Status::failed_precondition("register first"));
        }
        state.roots = request.into_inner().roots;
        let retry = std::mem::take(&mut state.retry)
            .into_iter()
            .map(|path| RetryPath {
                root: "roots/1".to_owned(),
                path: path.into_bytes().into(),
            });
        Ok(Response::new(HeartbeatWatcherResponse {
            retry: retry.collect(),
        }))
    }

    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}
