//! A picture that a caller sends: hashed by a confined child, and seen by an embedding node if one
//! is awake.
//!
//! A node that is awake gets the same bytes at the same time. If none is, and the caller waits for
//! one, the bytes are not kept: the child also makes a sample, which is what nodes see of the
//! library's pictures too, and the node gets that when it comes.

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use renderer::{Job, Rendered, Upload, Wanted, pipe};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{Finder, Found, Missing, Query, Source, Want};
use crate::Error;
use crate::blend::Channel;
use crate::colours::Colours;
use crate::embedder::{Node, PIECE};
use crate::index::Subject;

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
    pub(crate) async fn like_picture<S, E>(
        &self,
        label: String,
        upload: Upload<S>,
        want: Want,
    ) -> Result<Found, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: Send,
    {
        self.loaded()?;
        let seen = self.see(label, upload, &want).await?;
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
                unit.map_err(|refused| embedding = Err(failed("", refused.to_string())))
                    .ok()
            }
        };
        let subject = Subject::outside(unit, Some(hash), colours);
        let source = Source::Outside(Box::new(subject));
        self.search(Query { embedding, source }, want).await
    }

    async fn see<S, E>(&self, label: String, upload: Upload<S>, want: &Want) -> Result<Seen, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: Send,
    {
        let deadline = Instant::now() + want.wait;
        // As many as the pool has children, so that nobody waits for one with a node at the line.
        let turn = self.pictures.acquire().await;
        let turn = turn.expect("invariant: the semaphore is never closed");
        let node = if want.weights.of(Channel::Embedding) > 0.0 {
            self.node().await
        } else {
            Err(Missing::NotInSubject)
        };
        let waits = matches!(node, Err(Missing::NoEmbedder)) && !want.wait.is_zero();
        let wanted = Wanted {
            sample: waits,
            preview: false,
            hashes: true,
        };
        let (mut rendered, vector) = match node {
            Ok(node) => self.render_and_embed(label, upload, wanted, &node).await?,
            Err(missing) => {
                let rendered = self.pool.render_upload(label, wanted, upload).await?;
                (rendered, Err(missing))
            }
        };
        drop(turn);
        if !waits {
            return Ok(Seen { rendered, vector });
        }
        let sample = rendered.sample.take().ok_or(Error::NotRendered("sample"))?;
        let vector = self.embed_later(sample.jpeg.into(), deadline).await;
        Ok(Seen { rendered, vector })
    }

    /// A node that serves the model of the index; asks for one if there is none.
    async fn node(&self) -> Result<Node, Missing> {
        let standing = self.live.standing();
        if standing.revision.is_empty() {
            return Err(Missing::NoModel);
        }
        let found = self.embedders.find(&standing.model, &standing.revision);
        match found.await {
            Ok(Some(node)) => Ok(node),
            Ok(None) => Err(Missing::NoEmbedder),
            Err(status) => Err(Missing::StoreUnavailable(status.message().to_owned())),
        }
    }

    /// Sends the pieces to a child and to a node.
    async fn render_and_embed<S, E>(
        &self,
        label: String,
        mut upload: Upload<S>,
        wanted: Wanted,
        node: &Node,
    ) -> Result<(Rendered, Result<Vec<f32>, Missing>), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: Send,
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
            None if stalled => Err(format!("it took nothing for {STALL:?}")),
            None => timeout(ANSWER, embedding)
                .await
                .unwrap_or_else(|_| Err(format!("it did not answer within {ANSWER:?}"))),
        };
        let vector = match vector {
            Ok(_) if stalled => Err(format!("it took nothing for {STALL:?}")),
            vector => vector,
        };
        Ok((rendered, vector.map_err(|why| failed(&node.name, why))))
    }

    /// Waits for a node and sends it the sample.
    async fn embed_later(&self, sample: Bytes, deadline: Instant) -> Result<Vec<f32>, Missing> {
        let node = loop {
            match self.node().await {
                Ok(node) => break node,
                Err(Missing::NoEmbedder) if Instant::now() < deadline => {
                    let soon = Instant::now() + Duration::from_millis(250);
                    tokio::time::sleep_until(soon.min(deadline)).await;
                }
                Err(missing) => return Err(missing),
            }
        };
        let (line, pieces) = mpsc::channel(sample.len().div_ceil(PIECE).max(1));
        for piece in sample.chunks(PIECE) {
            // There is room for all of it: it is in memory already.
            let _ = line.try_send(sample.slice_ref(piece));
        }
        drop(line);
        let answer = deadline.max(Instant::now() + Duration::from_secs(1));
        let limit = answer.min(Instant::now() + ANSWER);
        let seen = tokio::time::timeout_at(limit, self.embedders.embed(&node, pieces)).await;
        let seen = seen.unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
        seen.map_err(|why| failed(&node.name, why))
    }
}

fn failed(node: &str, why: String) -> Missing {
    Missing::EmbedderFailed {
        node: node.to_owned(),
        why,
    }
}
