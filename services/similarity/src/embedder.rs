//! Embedding nodes: finding one that is awake, and letting it look at a picture.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use kit::{Credential, client::Peer};
use proto::embedder::v1::{EmbedImageRequest, embedder_service_client::EmbedderServiceClient};
use tokio::sync::mpsc;
use tonic::{Request, Status};

use crate::store::Store;

/// Most bytes of one piece.
pub(crate) const PIECE: usize = 256 << 10;
/// Longest call: an upload may take a minute, and then it has to be answered.
const CALL: Duration = Duration::from_secs(90);

/// All embedding nodes, as the store knows them.
#[derive(Debug)]
pub(crate) struct Embedders {
    store: Store,
    credential: Credential,
}

/// An embedding node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its name, `nodes/den`.
    pub(crate) name: String,
    peer: Peer,
    /// Revision of the model that it must use.
    revision: String,
}

impl Embedders {
    pub(crate) fn new(store: Store, credential: Credential) -> Self {
        Self { store, credential }
    }

    /// The node with the least to do that serves a model; asks the store for one in any case.
    ///
    /// # Errors
    /// If the store does not answer.
    pub(crate) async fn find(&self, model: &str, revision: &str) -> Result<Option<Node>, Status> {
        let mut nodes = self.store.embedders().await?;
        nodes.retain(|node| node.models.iter().any(|serves| serves == model));
        nodes.sort_by(|a, b| (a.leased, &a.name).cmp(&(b.leased, &b.name)));
        Ok(nodes.into_iter().find_map(|node| {
            let peer = Peer::new(&node.address, &self.credential).ok()?;
            Some(Node {
                name: node.name,
                peer,
                revision: revision.to_owned(),
            })
        }))
    }

    /// What a node makes of a picture that comes in pieces; what went wrong, as text.
    pub(crate) async fn embed(
        &self,
        node: &Node,
        pieces: mpsc::Receiver<Bytes>,
    ) -> Result<Vec<f32>, String> {
        let pieces = stream::unfold((pieces, Bytes::new()), |(mut pieces, mut rest)| async {
            if rest.is_empty() {
                rest = pieces.recv().await?;
            }
            let data = rest.split_to(rest.len().min(PIECE));
            Some((EmbedImageRequest { data }, (pieces, rest)))
        });
        let mut request = Request::new(pieces);
        request.set_timeout(CALL);
        let mut client = EmbedderServiceClient::new(node.peer.channel());
        let answer = client.embed_image(request).await;
        let answer = answer.map_err(|status| status.message().to_owned())?;
        let answer = answer.into_inner();
        if answer.revision != node.revision {
            return Err(format!("it serves another revision, {:?}", answer.revision));
        }
        Ok(answer.vector)
    }
}
