//! A store as small as can be: maps in memory behind the real contract. It can go away and return.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use kit::{Code, Fault};
use proto::store::v1::{
    admin_service_server::AdminServiceServer,
    capacity_service_server::CapacityServiceServer,
    embedding_service_server::{EmbeddingService, EmbeddingServiceServer},
    feed_service_server::{FeedService, FeedServiceServer},
    match_service_server::{MatchService, MatchServiceServer},
    model_service_server::ModelServiceServer,
    post_service_server::PostServiceServer,
    *,
};
use tokio::{net::TcpListener, sync::oneshot};
use tonic::{Request, Response, Status, transport::Server};

use super::state::{State, dimensions};

/// The store.
pub(super) struct Store {
    state: Arc<Mutex<State>>,
    pub(super) address: SocketAddr,
    running: Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

impl Store {
    /// A store that runs.
    pub(super) fn start() -> Self {
        let mut store = Self {
            state: Arc::new(Mutex::new(State::new())),
            address: ([127, 0, 0, 1], 0).into(),
            running: None,
        };
        store.come();
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
        let (fake, wanted) = (Fake(self.state.clone()), self.address);
        let thread = thread::spawn(move || {
            // A runtime of its own: dropping it cuts every connection, as a crash would.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(wanted).await.expect("binds");
                let address = listener.local_addr().expect("has an address");
                bound.send(address).expect("is awaited");
                let incoming = stream::unfold(listener, |listener| async {
                    let connection = listener.accept().await.map(|(socket, _)| socket);
                    Some((connection, listener))
                });
                let serving = Server::builder()
                    .add_service(AdminServiceServer::new(fake.clone()))
                    .add_service(CapacityServiceServer::new(fake.clone()))
                    .add_service(EmbeddingServiceServer::new(fake.clone()))
                    .add_service(FeedServiceServer::new(fake.clone()))
                    .add_service(MatchServiceServer::new(fake.clone()))
                    .add_service(ModelServiceServer::new(fake.clone()))
                    .add_service(PostServiceServer::new(fake))
                    .serve_with_incoming(incoming);
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

/// A refusal with a reason, as the real store's.
#[derive(Debug, thiserror::Error)]
#[error("{1}")]
struct Refusal(Code, &'static str, &'static str);

impl Fault for Refusal {
    fn code(&self) -> Code {
        self.0
    }
    fn reason(&self) -> &'static str {
        self.2
    }
}

fn refuse(code: Code, message: &'static str, reason: &'static str) -> Status {
    kit::code::status(&Refusal(code, message, reason))
}

pub(super) fn number(name: &str) -> u32 {
    kit::id::parse("posts/", name).expect("a name of a post")
}

/// Every service of it.
#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    /// Answers never while the store is frozen.
    async fn thaw(&self) {
        while self.state().frozen {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn page(&self, walk: &mut Walk) -> Option<Result<StreamEmbeddingsResponse, Status>> {
        let mut state = self.state();
        if walk.done || state.end == Some(walk.pages) {
            return None;
        }
        if state.cut == Some(walk.pages) {
            walk.done = true;
            return Some(Err(Status::unavailable("cut off")));
        }
        let posts: Vec<u32> = state.posts.keys().copied().collect();
        let posts = posts.into_iter().filter(|post| *post > walk.after);
        let embeddings: Vec<_> = posts
            .filter_map(|post| state.embedding(post, &walk.model))
            .take(state.page)
            .collect();
        walk.pages += 1;
        walk.done = embeddings.is_empty();
        if let Some(last) = embeddings.last() {
            walk.after = number(&last.post);
            if let Some(change) = state.meanwhile.take() {
                change(&mut state);
            }
        }
        Some(Ok(StreamEmbeddingsResponse {
            embeddings,
            cursor: Some(walk.cursor),
            dimensions: u32::from(!walk.model.is_empty()) * dimensions(&walk.model),
            model: walk.model.clone(),
        }))
    }
}

/// How far a stream of everything is.
struct Walk {
    after: u32,
    model: String,
    cursor: Cursor,
    pages: usize,
    done: bool,
}

pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl EmbeddingService for Fake {
    type StreamEmbeddingsStream = Answers<StreamEmbeddingsResponse>;

    async fn stream_embeddings(
        &self,
        request: Request<StreamEmbeddingsRequest>,
    ) -> Result<Response<Self::StreamEmbeddingsStream>, Status> {
        let request = request.into_inner();
        let mut state = self.state();
        state
            .bulks
            .push((request.model.clone(), request.after.clone()));
        let model = match request.model.as_str() {
            "" => state.model.clone(),
            model => model.to_owned(),
        };
        if !model.is_empty() && !state.models.contains(&model) {
            return Err(refuse(Code::NotFound, "no such model", "NO_SUCH_MODEL"));
        }
        let walk = Walk {
            after: match request.after.as_str() {
                "" => 0,
                after => number(after),
            },
            model,
            cursor: state.cursor(),
            pages: 0,
            done: false,
        };
        let pages = stream::unfold((self.clone(), walk), |(fake, mut walk)| async {
            Some((fake.page(&mut walk)?, (fake, walk)))
        });
        Ok(Response::new(Box::pin(pages)))
    }

    async fn batch_get_embeddings(
        &self,
        request: Request<BatchGetEmbeddingsRequest>,
    ) -> Result<Response<BatchGetEmbeddingsResponse>, Status> {
        let request = request.into_inner();
        let state = self.state();
        let model = match request.model.as_str() {
            "" => state.model.clone(),
            model => model.to_owned(),
        };
        let mut answer = BatchGetEmbeddingsResponse::default();
        for name in request.names {
            match state.embedding(number(&name), &model) {
                Some(embedding) => answer.embeddings.push(embedding),
                None => answer.missing.push(name),
            }
        }
        answer.model = model;
        Ok(Response::new(answer))
    }
}

#[tonic::async_trait]
impl FeedService for Fake {
    type WatchChangesStream = Answers<WatchChangesResponse>;

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let cursor = request
            .into_inner()
            .cursor
            .expect("a follower has a cursor");
        {
            let mut state = self.state();
            if cursor.epoch != state.epoch || cursor.seq > state.seq {
                return Err(refuse(Code::OutOfRange, "another epoch", "RESYNC_REQUIRED"));
            }
            state.followed.push(cursor.seq);
        }
        // What was told last; `None` before the first message.
        let told: Option<(u64, String)> = None;
        let from = (self.clone(), cursor.seq, told);
        let changes = stream::unfold(from, |(fake, seq, mut told)| async move {
            loop {
                {
                    let state = fake.state();
                    let mut changes = state.changes(seq);
                    let silent = state.silent && told.is_some();
                    if silent {
                        changes.clear();
                    }
                    let to = changes.last().map_or(seq, |change| change.seq);
                    let now = Some((to, state.model.clone()));
                    if !changes.is_empty() || now != told {
                        told = now;
                        let message = WatchChangesResponse {
                            changes,
                            cursor: Some(Cursor {
                                epoch: state.epoch,
                                seq: to,
                            }),
                            embed_model: state.model.clone(),
                        };
                        drop(state);
                        return Some((Ok(message), (fake, to, told)));
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

#[tonic::async_trait]
impl MatchService for Fake {
    type MatchQueryStream = Answers<MatchQueryResponse>;

    async fn match_query(
        &self,
        request: Request<MatchQueryRequest>,
    ) -> Result<Response<Self::MatchQueryStream>, Status> {
        self.thaw().await;
        let query = request.into_inner().query;
        let Some(found) = self.state().queries.get(&query).cloned() else {
            let message = "unknown word at 1";
            return Err(refuse(Code::InvalidArgument, message, "QUERY_SYNTAX"));
        };
        let pages: Vec<_> = found
            .chunks(2)
            .map(|ids| Ok(MatchQueryResponse { ids: ids.to_vec() }))
            .collect();
        Ok(Response::new(stream::iter(pages).boxed()))
    }

    async fn match_tags(
        &self,
        request: Request<MatchTagsRequest>,
    ) -> Result<Response<MatchTagsResponse>, Status> {
        self.thaw().await;
        let request = request.into_inner();
        let state = self.state();
        let post = number(&request.post);
        let Some(subject) = state.posts.get(&post) else {
            return Err(refuse(Code::NotFound, "no such post", "NO_SUCH_POST"));
        };
        let allowed = state.queries.get(&request.query);
        let mut matches: Vec<TagMatch> = state
            .posts
            .keys()
            .filter(|other| **other != post)
            .filter(|other| allowed.is_none_or(|allowed| allowed.contains(other)))
            .map(|other| TagMatch {
                post: format!("posts/{other}"),
                score: state.match_tags(post, *other),
            })
            .filter(|found| found.score > 0.0)
            .collect();
        matches.truncate(usize::try_from(request.page_size).expect("is not negative"));
        let also = request.also.iter();
        Ok(Response::new(MatchTagsResponse {
            matches,
            also: also.map(|other| state.match_tags(post, *other)).collect(),
            tags: u32::try_from(subject.tags.len()).expect("are few"),
        }))
    }
}
