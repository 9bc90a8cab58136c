//! A picture that a caller sends: hashed by a confined child, and seen by an embedding node if one
//! is awake.
//!
//! A node that is awake gets the same bytes at the same time. If none is, and the caller waits for
//! one, the bytes are not kept: the child also makes a sample, which is what nodes see of the
//! library's pictures too, and the node gets that when it comes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use renderer::{Cut, Job, Rendered, Upload, Wanted, pipe};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{Finder, Found, Missing, Query, Source, Want};
use crate::Error;
use crate::blend::Channel;
use crate::colours::Colours;
use crate::embedder::{Node, PIECE};
use crate::index::{PostId, Refused, Subject};

/// Pieces on their way to a node.
const PIECES: usize = 4;
/// A node that takes nothing for so long is left behind; the child has 20 s for the whole picture.
const STALL: Duration = Duration::from_secs(3);
/// After the last byte a node has this long to answer.
const ANSWER: Duration = Duration::from_secs(15);

/// What was made of a picture.
struct Seen {
    rendered: Rendered,
    vector: Result<Vec<f32>, Missing>,
}

impl Finder {
    /// Posts like a picture.
    pub(crate) async fn like_picture<S>(
        &self,
        label: String,
        pieces: S,
        want: Want,
    ) -> Result<Found, Error>
    where
        S: Stream<Item = Result<Bytes, Cut>> + Unpin + Send,
    {
        self.live.loaded()?;
        let sum = Arc::new(Mutex::new(Sha256::new()));
        let summing = Arc::clone(&sum);
        let pieces = pieces.inspect(move |piece| {
            if let Ok(piece) = piece {
                let mut sum = summing.lock().unwrap_or_else(PoisonError::into_inner);
                sum.update(piece);
            }
        });
        let seen = self.see(label, Upload::new(pieces), &want).await?;
        let sum = sum.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let same = self.same(&kit::hex::encode(&sum.finalize())).await;
        let hash = seen.rendered.hash.ok_or(Error::NotRendered("hash"))?;
        let blur = seen.rendered.blur_hash.as_deref();
        let colours = Colours::parse(blur.ok_or(Error::NotRendered("colour layout"))?);
        let (vector, mut embedding) = match seen.vector {
            Ok(values) => (Some(values), Ok(())),
            Err(missing) => (None, Err(missing)),
        };
        let unit = match vector {
            None => None,
            Some(values) => {
                let unit = self.live.read(move |view| view.index.unit(&values)).await?;
                // The model was switched in the meantime, or the node sent nonsense.
                unit.map_err(|refused| embedding = Err(refuse(&refused)))
                    .ok()
            }
        };
        let subject = Subject::outside(unit, Some(hash), colours);
        let source = Source::Outside(Box::new(subject));
        let query = Query {
            embedding,
            source,
            same,
        };
        self.search(query, want).await
    }

    /// The post with the very same bytes, as far as the store can say.
    async fn same(&self, sha256: &str) -> Option<PostId> {
        let asked = self.store.post_of(sha256);
        let asked = timeout(self.patience(), asked).await.ok()?;
        asked.unwrap_or_else(|status| {
            tracing::debug!("whether the picture is a post: {}", status.message());
            None
        })
    }

    async fn see<S>(&self, label: String, upload: Upload<S>, want: &Want) -> Result<Seen, Error>
    where
        S: Stream<Item = Result<Bytes, Cut>> + Unpin + Send,
    {
        let deadline = Instant::now() + want.wait;
        // As many as the pool has children, so that nobody waits for one with a node at the line.
        let turn = self.pictures.acquire().await;
        let turn = turn.expect("invariant: the semaphore is never closed");
        let node = if want.weights.of(Channel::Embedding) > 0.0 {
            self.node("").await
        } else {
            Err(Missing::NotInSubject)
        };
        // Also with a node: one that stopped a moment ago may still be listed.
        let waits = matches!(node, Ok(_) | Err(Missing::NoEmbedder)) && !want.wait.is_zero();
        let mut away = String::new();
        let wanted = Wanted {
            sample: waits,
            preview: false,
            hashes: true,
        };
        let (mut rendered, vector) = match node {
            Ok(node) => {
                let made = self.render_and_embed(label, upload, wanted, &node).await?;
                away = node.name;
                made
            }
            Err(missing) => {
                let rendered = self.pool.render_upload(label, wanted, upload).await?;
                (rendered, Err(missing))
            }
        };
        drop(turn);
        if !waits || !matches!(vector, Err(Missing::NoEmbedder)) {
            return Ok(Seen { rendered, vector });
        }
        let sample = rendered.sample.take().ok_or(Error::NotRendered("sample"))?;
        let vector = self.embed_later(sample.jpeg.into(), away, deadline).await;
        Ok(Seen { rendered, vector })
    }

    /// A node that serves the model of the index; asks for one if there is none.
    async fn node(&self, away: &str) -> Result<Node, Missing> {
        let standing = self.live.standing();
        if standing.revision.is_empty() {
            return Err(Missing::NoModel);
        }
        let found = self
            .embedders
            .find(&standing.model, &standing.revision, away);
        match found.await {
            Ok(Some(node)) => Ok(node),
            Ok(None) => Err(Missing::NoEmbedder),
            Err(status) => Err(Missing::StoreUnavailable(status.message().to_owned())),
        }
    }

    /// Sends the pieces to a child and to a node.
    async fn render_and_embed<S>(
        &self,
        label: String,
        mut upload: Upload<S>,
        wanted: Wanted,
        node: &Node,
    ) -> Result<(Rendered, Result<Vec<f32>, Missing>), Error>
    where
        S: Stream<Item = Result<Bytes, Cut>> + Unpin + Send,
    {
        let (pipe, source) = pipe();
        let (to_node, pieces) = mpsc::channel(PIECES);
        let rendering = self.pool.render(Job::new(label, source).wanting(wanted));
        let sending = async {
            let (mut pipe, mut to_node) = (Some(pipe), Some(to_node));
            let mut stalled = false;
            while let Some(piece) = upload.next().await? {
                if let Some(line) = &to_node {
                    match timeout(STALL, line.send(piece.clone())).await {
                        Ok(Ok(())) => {}
                        // Its answer says why it takes no more.
                        Ok(Err(_)) => to_node = None,
                        Err(_) => (stalled, to_node) = (true, None),
                    }
                }
                if let Some(line) = &pipe
                    && !line.send(piece).await
                {
                    // It has heard enough; the node may want the rest.
                    pipe = None;
                }
            }
            if let Some(line) = pipe {
                line.finish().await;
            }
            Ok::<bool, renderer::Error>(stalled)
        };
        let making = async { tokio::try_join!(rendering, sending) };
        let (mut making, mut embedding) = (
            Box::pin(making),
            Box::pin(self.embedders.embed(node, pieces)),
        );
        let mut vector = None;
        let (rendered, stalled) = loop {
            tokio::select! {
                made = &mut making => break made?,
                seen = &mut embedding, if vector.is_none() => vector = Some(seen),
            }
        };
        drop(making);
        let vector = match vector {
            Some(vector) => vector,
            // It saw an end that was none: what it says now is of another picture.
            None if stalled => Err(node.failed(format!("it took nothing for {STALL:?}"))),
            None => timeout(ANSWER, embedding).await.unwrap_or_else(|_| {
                Err(node.failed(format!("it did not answer within {ANSWER:?}")))
            }),
        };
        let vector = match vector {
            Ok(_) if stalled => Err(node.failed(format!("it took nothing for {STALL:?}"))),
            vector => vector,
        };
        Ok((rendered, vector))
    }

    /// Waits for a node that can be reached and sends it the sample.
    async fn embed_later(
        &self,
        sample: Bytes,
        mut away: String,
        deadline: Instant,
    ) -> Result<Vec<f32>, Missing> {
        loop {
            let seen = match self.node(&away).await {
                Ok(node) => {
                    let seen = self.embed_sample(&sample, &node, deadline).await;
                    away = node.name;
                    seen
                }
                Err(missing) => Err(missing),
            };
            match seen {
                Err(Missing::NoEmbedder) if Instant::now() < deadline => {
                    let soon = Instant::now() + Duration::from_millis(250);
                    tokio::time::sleep_until(soon.min(deadline)).await;
                }
                seen => return seen,
            }
        }
    }

    async fn embed_sample(
        &self,
        sample: &Bytes,
        node: &Node,
        deadline: Instant,
    ) -> Result<Vec<f32>, Missing> {
        let (line, pieces) = mpsc::channel(sample.len().div_ceil(PIECE).max(1));
        for piece in sample.chunks(PIECE) {
            // There is room for all of it: it is in memory already.
            let _ = line.try_send(sample.slice_ref(piece));
        }
        drop(line);
        let answer = deadline.max(Instant::now() + Duration::from_secs(1));
        let limit = answer.min(Instant::now() + ANSWER);
        let seen = tokio::time::timeout_at(limit, self.embedders.embed(node, pieces)).await;
        seen.unwrap_or_else(|_| Err(node.failed("it did not answer in time".to_owned())))
    }
}

fn refuse(refused: &Refused) -> Missing {
    Missing::EmbedderFailed {
        node: "that was asked".to_owned(),
        why: refused.to_string(),
    }
}
