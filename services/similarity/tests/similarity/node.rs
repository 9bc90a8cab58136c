//! An embedding node that does what a test wants of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::stream;
use proto::embedder::v1::{
    EmbedImageRequest, EmbedImageResponse, GetModelRequest, GetModelResponse,
    embedder_service_server::{EmbedderService, EmbedderServiceServer},
};
use proto::store::v1::Node as Listed;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming, transport::Server};

use super::state::{revision, towards};

/// What the node does with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Gives a vector of `models/1`.
    Well,
    /// Gives one of another model.
    Other,
    /// Gives numbers that are none.
    Nonsense,
    /// Fails.
    Ill,
    /// Takes no byte and says nothing.
    Frozen,
}

/// The node.
pub(super) struct Node {
    address: SocketAddr,
    /// What it was sent, whole.
    pub(super) seen: Arc<Mutex<Vec<Vec<u8>>>>,
    serving: JoinHandle<()>,
}

impl Node {
    pub(super) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let seen = Arc::default();
        let fake = Fake {
            mood,
            seen: Arc::clone(&seen),
        };
        let incoming = stream::unfold(listener, |listener| async {
            let connection = listener.accept().await.map(|(socket, _)| socket);
            Some((connection, listener))
        });
        let serving = kit::Tasks::new().spawn("node", async move {
            let server = Server::builder().add_service(EmbedderServiceServer::new(fake));
            server.serve_with_incoming(incoming).await.expect("serves");
        });
        Self {
            address,
            seen,
            serving,
        }
    }

    /// As the store lists it.
    pub(super) fn listed(&self) -> Listed {
        Listed {
            name: "nodes/den".to_owned(),
            online: true,
            models: vec!["models/1".to_owned()],
            address: format!("http://{}", self.address),
            ..Listed::default()
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Fake {
    mood: Mood,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[tonic::async_trait]
impl EmbedderService for Fake {
    async fn embed_image(
        &self,
        request: Request<Streaming<EmbedImageRequest>>,
    ) -> Result<Response<EmbedImageResponse>, Status> {
        let mut pieces = request.into_inner();
        let model = match self.mood {
            Mood::Well | Mood::Nonsense => "models/1",
            Mood::Other => "models/2",
            Mood::Ill => return Err(Status::internal("out of order")),
            Mood::Frozen => std::future::pending().await,
        };
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.message().await? {
            bytes.extend(piece.data);
        }
        self.seen.lock().expect("no test panics here").push(bytes);
        let vector = match self.mood {
            Mood::Nonsense => vec![f32::NAN; 8],
            _ => towards(model, 0.5),
        };
        Ok(Response::new(EmbedImageResponse {
            vector,
            revision: revision(model),
            ..EmbedImageResponse::default()
        }))
    }

    async fn get_model(
        &self,
        _: Request<GetModelRequest>,
    ) -> Result<Response<GetModelResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}
