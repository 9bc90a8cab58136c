//! The door: `kumo.similarity.v1.SimilarityService`.

mod duplicates;
mod found;
mod index;
mod options;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use kit::{Scope, code::status};
use proto::similarity::v1::similarity_service_server::SimilarityService;
use proto::similarity::v1::{
    FindSimilarRequest, FindSimilarResponse, FindSimilarToImageRequest, FindSimilarToImageResponse,
    GetIndexRequest, GetIndexResponse, ListDuplicatesRequest, ListDuplicatesResponse,
    find_similar_request::Subject,
};
use renderer::Cut;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::Error;
use crate::find::{Finder, Found};
use crate::groups::Groups;
use crate::live::Live;

/// What each method needs.
pub(crate) const SCOPES: &[(&str, Scope)] = &[
    (
        "/kumo.similarity.v1.SimilarityService/FindSimilar",
        Scope::Read,
    ),
    (
        "/kumo.similarity.v1.SimilarityService/FindSimilarToImage",
        Scope::Read,
    ),
    (
        "/kumo.similarity.v1.SimilarityService/ListDuplicates",
        Scope::Read,
    ),
    (
        "/kumo.similarity.v1.SimilarityService/GetIndex",
        Scope::Read,
    ),
];

/// What the door opens to.
pub(crate) struct Door {
    pub(crate) live: Arc<Live>,
    pub(crate) finder: Finder,
    pub(crate) groups: Groups,
    pub(crate) snapshot_every: Duration,
}

#[tonic::async_trait]
impl SimilarityService for Door {
    async fn find_similar(
        &self,
        request: Request<FindSimilarRequest>,
    ) -> Result<Response<FindSimilarResponse>, Status> {
        let found = self.find(request.into_inner()).await;
        let found = found.map_err(|error| status(&error))?;
        Ok(Response::new(FindSimilarResponse {
            found: Some(found::message(&found)),
        }))
    }

    async fn find_similar_to_image(
        &self,
        request: Request<Streaming<FindSimilarToImageRequest>>,
    ) -> Result<Response<FindSimilarToImageResponse>, Status> {
        let found = self.find_to_image(request.into_inner()).await;
        let found = found.map_err(|error| status(&error))?;
        Ok(Response::new(FindSimilarToImageResponse {
            found: Some(found::message(&found)),
        }))
    }

    async fn list_duplicates(
        &self,
        request: Request<ListDuplicatesRequest>,
    ) -> Result<Response<ListDuplicatesResponse>, Status> {
        let listed = duplicates::list(&self.groups, request.into_inner()).await;
        listed.map(Response::new).map_err(|error| status(&error))
    }

    async fn get_index(
        &self,
        _: Request<GetIndexRequest>,
    ) -> Result<Response<GetIndexResponse>, Status> {
        let standing = self.live.standing();
        Ok(Response::new(index::message(standing, self.snapshot_every)))
    }
}

impl Door {
    async fn find(&self, request: FindSimilarRequest) -> Result<Found, Error> {
        let want = options::read(request.options.unwrap_or_default())?;
        match request.subject {
            Some(Subject::Post(name)) => {
                let post = kit::id::parse("posts/", &name)?;
                self.finder.like_post(post, want).await
            }
            Some(Subject::Vector(vector)) => {
                options::check_vector(&vector.values)?;
                self.finder
                    .like_vector(vector.revision, vector.values, want)
                    .await
            }
            None => Err(Error::field("subject", "", "set `post` or `vector`")),
        }
    }

    async fn find_to_image(
        &self,
        pieces: Streaming<FindSimilarToImageRequest>,
    ) -> Result<Found, Error> {
        let mut pieces = pieces.map_err(|status| match status.code() {
            // Said of a message that is larger than the service takes, and of nothing else here.
            Code::OutOfRange => Cut::Oversized,
            _ => Cut::Broken,
        });
        let first = renderer::first(&mut pieces).await?.unwrap_or_default();
        let want = options::read(first.options.unwrap_or_default())?;
        let rest = pieces.map_ok(|piece| piece.data);
        let all = stream::iter([Ok(first.data)]).chain(rest);
        let label = format!("FindSimilarToImage {}", kit::trace::current_id());
        self.finder.like_picture(label, all, want).await
    }
}
