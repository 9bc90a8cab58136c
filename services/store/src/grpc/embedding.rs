//! Embeddings: the bulk from which a follower starts, and what it reads of posts that changed.
//!
//! The bulk is read a page at a time, when the one before has been taken: a slow reader costs no
//! memory, and no page holds the store's thread for long. Posts that come, go or change meanwhile
//! are in the feed after the cursor that every page carries.

use std::time::{Duration, Instant};

use futures_util::stream;
use kit::Shutdown;
use proto::store::v1::{
    BatchGetEmbeddingsRequest, BatchGetEmbeddingsResponse, PostEmbedding, StreamEmbeddingsRequest,
    StreamEmbeddingsResponse, embedding_service_server::EmbeddingService,
};
use store_core::{ModelId, ModelKind, PostId, Store, embedding::Look, feed::Cursor, model::Model};
use tonic::{Request, Response, Status};

use super::{ANSWER, Answers, Door, at_most, feed, model, refuse};
use crate::{Error, engine::Engine};

/// Most names in one BatchGetEmbeddings.
const MAX_NAMES: usize = 500;
/// Most rows read at once, before the clock is looked at again.
const ROWS: usize = 100;
/// A page of the stream is sent when it has this many bytes of vectors.
const PAGE: usize = 512 << 10;
/// Reading holds the thread for about this long at once.
const HELD: Duration = Duration::from_millis(8);
/// Bytes of a message besides its vector, at most: its name, hash, numbers and colours.
const BESIDES: usize = 320;

#[tonic::async_trait]
impl EmbeddingService for Door {
    type StreamEmbeddingsStream = Answers<StreamEmbeddingsResponse>;

    async fn stream_embeddings(
        &self,
        request: Request<StreamEmbeddingsRequest>,
    ) -> Result<Response<Self::StreamEmbeddingsStream>, Status> {
        let request = request.into_inner();
        let asked = asked_model(&request.model).map_err(refuse)?;
        let after = match request.after.as_str() {
            "" => 0,
            name => kit::id::parse("posts/", name).map_err(refuse)?,
        };
        let read = self
            .engine
            .read(move |store, _| Ok((store.cursor(), serving(store, asked)?)));
        let (cursor, model) = read.await.map_err(refuse)?;
        let reader = Reader {
            engine: self.engine.clone(),
            shutdown: self.shutdown.clone(),
            cursor,
            model,
            after,
            over: false,
        };
        let pages = stream::unfold(reader, |mut reader| async move {
            let page = reader.next().await?;
            Some((page.map_err(refuse), reader))
        });
        Ok(Response::new(Box::pin(pages)))
    }

    async fn batch_get_embeddings(
        &self,
        request: Request<BatchGetEmbeddingsRequest>,
    ) -> Result<Response<BatchGetEmbeddingsResponse>, Status> {
        let BatchGetEmbeddingsRequest { names, model } = request.into_inner();
        at_most("names", names.len(), MAX_NAMES).map_err(refuse)?;
        let asked = asked_model(&model).map_err(refuse)?;
        let ids: Vec<PostId> = names
            .iter()
            .map(|name| kit::id::parse("posts/", name))
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        let answer = self.embeddings(names, ids, asked).await;
        Ok(Response::new(answer.map_err(refuse)?))
    }
}

impl Door {
    /// Reads posts by number in slices. The model is chosen once, so all vectors are of one.
    async fn embeddings(
        &self,
        names: Vec<String>,
        ids: Vec<PostId>,
        asked: Option<ModelId>,
    ) -> Result<BatchGetEmbeddingsResponse, Error> {
        let chosen = self.engine.read(move |store, _| serving(store, asked));
        let chosen = chosen.await?.map(|model| model.id);
        let mut response = BatchGetEmbeddingsResponse {
            model: model::optional_name(chosen),
            ..BatchGetEmbeddingsResponse::default()
        };
        let (mut done, mut bytes) = (0, 0);
        while done < ids.len() {
            let rest = ids[done..].to_vec();
            let read = self.engine.read(move |store, _| some(store, chosen, &rest));
            for look in read.await? {
                match look {
                    Some(look) => {
                        bytes += look.vector.len() + BESIDES;
                        response.embeddings.push(message(look));
                    }
                    None => response.missing.push(names[done].clone()),
                }
                done += 1;
            }
            if bytes > ANSWER {
                return Err(Error::AnswerTooLarge { limit: ANSWER });
            }
        }
        Ok(response)
    }
}

/// One who reads the bulk.
struct Reader {
    engine: Engine,
    shutdown: Shutdown,
    cursor: Cursor,
    model: Option<Model>,
    /// Last post told.
    after: PostId,
    over: bool,
}

impl Reader {
    /// The next page; `None` at the end.
    async fn next(&mut self) -> Option<Result<StreamEmbeddingsResponse, Error>> {
        if self.over {
            return None;
        }
        // At a shutdown an end would say that these were all.
        let page = match self.shutdown.is_begun() {
            true => Err(Error::Stopping),
            false => self.page().await,
        };
        self.over |= page.is_err();
        Some(page)
    }

    async fn page(&mut self) -> Result<StreamEmbeddingsResponse, Error> {
        let mut embeddings = Vec::new();
        let mut bytes = 0;
        let id = self.model.as_ref().map(|model| model.id);
        let dimensions = self.model.as_ref().map_or(0, |model| model.dimensions);
        let row = dimensions as usize * 2 + BESIDES;
        while bytes < PAGE && !self.over {
            let (after, rows) = (self.after, (PAGE - bytes).div_ceil(row));
            let read = self
                .engine
                .read(move |store, _| slice(store, id, after, rows));
            let slice = read.await?;
            self.after = slice.last;
            self.over = slice.over;
            bytes += slice.looks.len() * row;
            embeddings.extend(slice.looks.into_iter().map(message));
        }
        Ok(StreamEmbeddingsResponse {
            embeddings,
            cursor: Some(feed::cursor_message(self.cursor)),
            model: model::optional_name(id),
            dimensions,
        })
    }
}

/// A part of a page.
struct Slice {
    looks: Vec<Look>,
    /// Last post looked at.
    last: PostId,
    /// Whether there is none after it.
    over: bool,
}

/// Posts outside the trash after `after`: as many as can be read in a few milliseconds, at most
/// `rows`.
fn slice(
    store: &Store,
    model: Option<ModelId>,
    after: PostId,
    rows: usize,
) -> Result<Slice, Error> {
    let started = Instant::now();
    let mut slice = Slice {
        looks: Vec::with_capacity(rows),
        last: after,
        over: false,
    };
    while !slice.over && slice.looks.len() < rows && started.elapsed() < HELD {
        let limit = ROWS.min(rows - slice.looks.len());
        let looks = store.looks(model, slice.last, limit as u32)?;
        slice.over = looks.len() < limit;
        slice.last = looks.last().map_or(slice.last, |look| look.post);
        let live = |look: &Look| store.index().is_live(look.post);
        slice.looks.extend(looks.into_iter().filter(live));
    }
    Ok(slice)
}

/// The first of these posts, as many as can be read in a few milliseconds and at least one; `None`
/// for those that are gone or in the trash.
fn some(store: &Store, model: Option<ModelId>, ids: &[PostId]) -> Result<Vec<Option<Look>>, Error> {
    let started = Instant::now();
    let mut looks = Vec::with_capacity(ids.len());
    for &id in ids {
        looks.push(match store.index().is_live(id) {
            true => store.look(model, id)?,
            false => None,
        });
        if started.elapsed() > HELD {
            break;
        }
    }
    Ok(looks)
}

/// A model asked for by name, if one is.
fn asked_model(name: &str) -> Result<Option<ModelId>, Error> {
    match name {
        "" => Ok(None),
        name => model::name(name).map(Some),
    }
}

/// The model whose vectors are told: the one asked for, else the one that look-alike search goes
/// by, if there is any.
fn serving(store: &Store, asked: Option<ModelId>) -> Result<Option<Model>, Error> {
    let Some(id) = asked else {
        return Ok(store.embed_model()?);
    };
    let model = store.model(id)?;
    if model.kind != ModelKind::Embed {
        let name = format!("models/{id}");
        return Err(Error::field("model", &name, "an embedding model"));
    }
    Ok(Some(model))
}

fn message(look: Look) -> PostEmbedding {
    PostEmbedding {
        post: format!("posts/{}", look.post),
        vector: look.vector.into(),
        perceptual_hash: kit::hex::encode(&look.perceptual_hash),
        detail: u32::from(look.detail),
        colours: look.colours,
    }
}
