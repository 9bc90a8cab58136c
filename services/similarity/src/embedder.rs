//! Embedding nodes: finding one that is awake, and letting it look at a picture.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use kit::{Credential, client::Peer};
use proto::embedder::v1::{EmbedImageRequest, embedder_service_client::EmbedderServiceClient};
use tokio::sync::mpsc;
use tonic::{Code, Request, Status};

use crate::find::Missing;
use crate::store::{Store, is_away};

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

    /// The node with the least to do that serves a model, rather not the one that was `away` a
    /// moment ago; asks the store for one in any case.
    ///
    /// # Errors
    /// If the store does not answer.
    pub(crate) async fn find(
        &self,
        model: &str,
        revision: &str,
        away: &str,
    ) -> Result<Option<Node>, Status> {
        let mut nodes = self.store.embedders().await?;
        nodes.retain(|node| node.models.iter().any(|serves| serves == model));
        nodes.sort_by_key(|node| (node.name == away, node.leased, node.name.clone()));
        Ok(nodes.into_iter().find_map(|node| {
            let peer = Peer::new(&node.address, &self.credential).ok()?;
            Some(Node {
                name: node.name,
                peer,
                revision: revision.to_owned(),
            })
        }))
    }

    /// What a node makes of a picture that comes in pieces. One that cannot be reached is none,
    /// though the store may list it for a while.
    pub(crate) async fn embed(
        &self,
        node: &Node,
        pieces: mpsc::Receiver<Bytes>,
    ) -> Result<Vec<f32>, Missing> {
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
        let answer = answer.map_err(|status| {
            if is_away(&status) && status.code() != Code::DeadlineExceeded {
                Missing::NoEmbedder
            } else {
                node.failed(status.message().to_owned())
            }
        })?;
        let answer = answer.into_inner();
        if answer.revision != node.revision {
            let why = format!("it serves another revision, {:?}", answer.revision);
            return Err(node.failed(why));
        }
        Ok(answer.vector)
    }
}

impl Node {
    /// That it could not be used, and why.
    pub(crate) fn failed(&self, why: String) -> Missing {
        Missing::EmbedderFailed {
            node: self.name.clone(),
            why,
        }
    }
}
