//! Asking the store: what the follower reads, and what an answer needs beside the index.

use std::collections::HashMap;
use std::time::Duration;

use kit::client::{Channel, Peer};
use kit::retry::is_transient;
use proto::store::v1::{
    self as wire, MatchQueryRequest, MatchTagsRequest, ModelKind, PostView,
    admin_service_client::AdminServiceClient, capacity_service_client::CapacityServiceClient,
    embedding_service_client::EmbeddingServiceClient, feed_service_client::FeedServiceClient,
    match_service_client::MatchServiceClient, model_service_client::ModelServiceClient,
    post_service_client::PostServiceClient,
};
use roaring::RoaringBitmap;
use tonic::{Request, Status, Streaming};

use crate::Error;
use crate::index::PostId;
use crate::snapshot::Position;

/// Largest answer taken: 256 vectors of 4,096 numbers are 2 MiB.
const LARGEST_ANSWER: usize = 16 << 20;
/// Most posts that are asked for at once, so that answers stay small whatever the vectors.
pub(crate) const BATCH: usize = 256;
/// Most posts that are scored by their tags in one call.
pub(crate) const ALSO: usize = 10_000;
/// A call that a person waits for.
pub(crate) const SHORT: Duration = Duration::from_secs(5);
/// A call that may have much to answer.
const LONG: Duration = Duration::from_secs(30);

/// The store.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    peer: Peer,
}

/// What the tags say.
#[derive(Debug, Default)]
pub(crate) struct TagMatches {
    /// The best, highest score first.
    pub(crate) best: Vec<(PostId, f32)>,
    /// Scores of the posts that were asked for, in their order.
    pub(crate) also: Vec<f32>,
    /// Tags that there were to go by.
    pub(crate) tags: u32,
}

impl Store {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer }
    }

    fn embeddings(&self) -> EmbeddingServiceClient<Channel> {
        EmbeddingServiceClient::new(self.peer.channel()).max_decoding_message_size(LARGEST_ANSWER)
    }

    fn matches(&self) -> MatchServiceClient<Channel> {
        MatchServiceClient::new(self.peer.channel()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Where the feed stands now.
    pub(crate) async fn head(&self) -> Result<Position, Status> {
        let request = timed(wire::GetStatsRequest {}, SHORT);
        let mut client = AdminServiceClient::new(self.peer.channel());
        let stats = client.get_stats(request).await?.into_inner();
        Ok(Position {
            epoch: stats.epoch,
            seq: stats.seq,
        })
    }

    /// Every post after one, with vectors of a model; an empty name means the one that counts now.
    pub(crate) async fn stream(
        &self,
        model: &str,
        after: Option<PostId>,
    ) -> Result<Streaming<wire::StreamEmbeddingsResponse>, Status> {
        let request = wire::StreamEmbeddingsRequest {
            model: model.to_owned(),
            after: after.map_or_else(String::new, name),
        };
        Ok(self
            .embeddings()
            .stream_embeddings(request)
            .await?
            .into_inner())
    }

    /// What changes from a cursor on.
    pub(crate) async fn watch(
        &self,
        cursor: Position,
    ) -> Result<Streaming<wire::WatchChangesResponse>, Status> {
        let request = wire::WatchChangesRequest {
            cursor: Some(wire::Cursor {
                epoch: cursor.epoch,
                seq: cursor.seq,
            }),
            until_now: false,
        };
        let mut client = FeedServiceClient::new(self.peer.channel());
        Ok(client.watch_changes(request).await?.into_inner())
    }

    /// What is known of up to [`BATCH`] posts.
    pub(crate) async fn batch(
        &self,
        posts: &[PostId],
        model: &str,
    ) -> Result<wire::BatchGetEmbeddingsResponse, Status> {
        let request = wire::BatchGetEmbeddingsRequest {
            names: posts.iter().copied().map(name).collect(),
            model: model.to_owned(),
        };
        let answer = self
            .embeddings()
            .batch_get_embeddings(timed(request, LONG))
            .await?;
        Ok(answer.into_inner())
    }

    /// A model by its name; `None` if there is none.
    pub(crate) async fn model(&self, name: &str) -> Result<Option<wire::Model>, Status> {
        let mut client = ModelServiceClient::new(self.peer.channel());
        let request = timed(wire::ListModelsRequest {}, SHORT);
        let models = client.list_models(request).await?.into_inner().models;
        Ok(models.into_iter().find(|model| model.name == name))
    }

    /// The posts that a query finds.
    ///
    /// # Errors
    /// [`Error::Query`] if the store does not understand it, [`Error::StoreAway`].
    pub(crate) async fn find(&self, query: &str) -> Result<RoaringBitmap, Error> {
        const WHAT: &str = "a search text";
        let refused = |status: Status| match status.code() {
            tonic::Code::InvalidArgument => Error::Query {
                message: status.message().to_owned(),
            },
            _ => Error::of_store(WHAT, &status),
        };
        let request = MatchQueryRequest {
            query: query.to_owned(),
        };
        let asked = self.matches().match_query(timed(request, LONG)).await;
        let mut pages = asked.map_err(refused)?.into_inner();
        let mut found = RoaringBitmap::new();
        while let Some(page) = pages.message().await.map_err(refused)? {
            if found.append(page.ids).is_err() {
                return Err(Error::Store {
                    what: WHAT,
                    message: "its numbers do not ascend".to_owned(),
                });
            }
        }
        Ok(found)
    }

    /// The posts that share most tags with one, among those that `query` finds; and the scores of
    /// up to [`ALSO`] others.
    pub(crate) async fn match_tags(
        &self,
        post: PostId,
        most: usize,
        also: &[PostId],
        query: &str,
    ) -> Result<TagMatches, Status> {
        let request = MatchTagsRequest {
            post: name(post),
            tags: Vec::new(),
            page_size: i32::try_from(most.clamp(1, ALSO)).unwrap_or(i32::MAX),
            also: also.to_vec(),
            query: query.to_owned(),
        };
        let answer = self.matches().match_tags(timed(request, SHORT)).await?;
        let answer = answer.into_inner();
        if answer.also.len() != also.len() {
            return Err(unusable(format!(
                "scored {} of {} posts",
                answer.also.len(),
                also.len()
            )));
        }
        let best = answer.matches.iter().map(|found| {
            let post = kit::id::parse("posts/", &found.post);
            Ok((
                post.map_err(|error| unusable(error.to_string()))?,
                score(found.score)?,
            ))
        });
        Ok(TagMatches {
            best: best.collect::<Result<_, Status>>()?,
            also: answer
                .also
                .into_iter()
                .map(score)
                .collect::<Result<_, _>>()?,
            tags: answer.tags,
        })
    }

    /// Asks for embedding nodes; gives those that are there now.
    pub(crate) async fn embedders(&self) -> Result<Vec<wire::Node>, Status> {
        let request = wire::RequestCapacityRequest {
            kind: ModelKind::Embed.into(),
        };
        let mut client = CapacityServiceClient::new(self.peer.channel());
        let answer = client.request_capacity(timed(request, SHORT)).await?;
        Ok(answer.into_inner().nodes)
    }

    /// The post with this content; `None` if there is none.
    pub(crate) async fn post_of(&self, sha256: &str) -> Result<Option<PostId>, Status> {
        let request = wire::GetPostRequest {
            name: format!("posts/sha256:{sha256}"),
            ..wire::GetPostRequest::default()
        };
        let mut client = PostServiceClient::new(self.peer.channel());
        let post = match client.get_post(timed(request, SHORT)).await {
            Ok(answer) => answer.into_inner().post.unwrap_or_default().name,
            Err(status) if status.code() == tonic::Code::NotFound => return Ok(None),
            Err(status) => return Err(status),
        };
        let number = kit::id::parse("posts/", &post);
        number
            .map(Some)
            .map_err(|error| unusable(error.to_string()))
    }

    /// Everything that is known of some posts; those that are gone are left out.
    pub(crate) async fn posts(
        &self,
        posts: &[PostId],
    ) -> Result<HashMap<PostId, wire::Post>, Status> {
        let request = wire::BatchGetPostsRequest {
            names: posts.iter().copied().map(name).collect(),
            view: PostView::Full.into(),
        };
        let mut client = PostServiceClient::new(self.peer.channel());
        let answer = client.batch_get_posts(timed(request, LONG)).await?;
        let posts = answer.into_inner().posts.into_iter().map(|post| {
            let number = kit::id::parse("posts/", &post.name);
            Ok((number.map_err(|error| unusable(error.to_string()))?, post))
        });
        posts.collect()
    }
}

/// Whether the store is away, or too busy to answer.
pub(crate) fn is_away(status: &Status) -> bool {
    is_transient(status)
}

/// The name of a post.
pub(crate) fn name(post: PostId) -> String {
    format!("posts/{post}")
}

fn score(score: f32) -> Result<f32, Status> {
    if (0.0..=1.0).contains(&score) {
        Ok(score)
    } else {
        Err(unusable(format!("a score of {score}")))
    }
}

/// An answer that breaks the contract.
pub(crate) fn unusable(message: String) -> Status {
    kit::code::status(&Error::Store {
        what: "a call",
        message,
    })
}

fn timed<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}
