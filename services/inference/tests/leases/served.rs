//! A real server on loopback that can be stopped, connections and all, and started again at the same
//! address.

use std::net::SocketAddr;

use proto::media::v1::media_service_server::MediaServiceServer;
use proto::store::v1::model_service_server::ModelServiceServer;
use proto::store::v1::node_service_server::NodeServiceServer;
use proto::store::v1::task_service_server::TaskServiceServer;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

use crate::media::Media;
use crate::state::State;

/// A server with a runtime of its own: dropping that cuts every connection, as a kill does.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Served {
    pub(crate) fn store(state: &State, address: Option<SocketAddr>) -> Self {
        let state = state.clone();
        Self::start(address, move |server| {
            server
                .add_service(TaskServiceServer::new(state.clone()))
                .add_service(NodeServiceServer::new(state.clone()))
                .add_service(ModelServiceServer::new(state))
        })
    }

    pub(crate) fn media(media: &Media) -> Self {
        let media = media.clone();
        let service = MediaServiceServer::new(media);
        Self::start(None, move |server| server.add_service(service))
    }

    fn start(
        address: Option<SocketAddr>,
        add: impl FnOnce(&mut Server) -> tonic::transport::server::Router,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let wanted = address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        // Bound here and not in the runtime, where a test must not block.
        let listener = std::net::TcpListener::bind(wanted).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = add(&mut Server::builder());
        let serving = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            router
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
        };
        runtime.handle().spawn(serving);
        Self {
            address,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
