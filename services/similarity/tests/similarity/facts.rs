//! The small store's models, figures, nodes and posts.

use proto::store::v1::{
    admin_service_server::AdminService, capacity_service_server::CapacityService,
    model_service_server::ModelService, post_service_server::PostService, *,
};
use tonic::{Request, Response, Status};

use super::state::{dimensions, revision};
use super::store::{Answers, Fake, number};

#[tonic::async_trait]
impl ModelService for Fake {
    async fn list_models(
        &self,
        _: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let models = ["models/1", "models/2"].map(|name| Model {
            name: name.to_owned(),
            revision: revision(name),
            dimensions: dimensions(name),
            kind: ModelKind::Embed.into(),
            ..Model::default()
        });
        Ok(Response::new(ListModelsResponse {
            models: models.into(),
        }))
    }

    async fn register_model(
        &self,
        _: Request<RegisterModelRequest>,
    ) -> Result<Response<RegisterModelResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn activate_model(
        &self,
        _: Request<ActivateModelRequest>,
    ) -> Result<Response<ActivateModelResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn deactivate_model(
        &self,
        _: Request<DeactivateModelRequest>,
    ) -> Result<Response<DeactivateModelResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

#[tonic::async_trait]
impl AdminService for Fake {
    async fn get_stats(
        &self,
        _: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        let state = self.state();
        Ok(Response::new(GetStatsResponse {
            epoch: state.epoch,
            seq: state.seq,
            ..GetStatsResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl CapacityService for Fake {
    type WatchDemandStream = Answers<WatchDemandResponse>;

    async fn request_capacity(
        &self,
        request: Request<RequestCapacityRequest>,
    ) -> Result<Response<RequestCapacityResponse>, Status> {
        assert_eq!(request.into_inner().kind(), ModelKind::Embed);
        let mut state = self.state();
        state.asked += 1;
        Ok(Response::new(RequestCapacityResponse {
            held: None,
            nodes: state.nodes.clone(),
        }))
    }

    async fn watch_demand(
        &self,
        _: Request<WatchDemandRequest>,
    ) -> Result<Response<Self::WatchDemandStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}

#[tonic::async_trait]
impl PostService for Fake {
    async fn batch_get_posts(
        &self,
        request: Request<BatchGetPostsRequest>,
    ) -> Result<Response<BatchGetPostsResponse>, Status> {
        let state = self.state();
        let mut answer = BatchGetPostsResponse::default();
        for name in request.into_inner().names {
            match state.posts.get(&number(&name)) {
                Some(picture) => answer.posts.push(Post {
                    name,
                    width: picture.width,
                    height: 100,
                    byte_size: 1_000,
                    media_type: "image/png".to_owned(),
                    ..Post::default()
                }),
                None => answer.missing.push(name),
            }
        }
        Ok(Response::new(answer))
    }

    async fn register_posts(
        &self,
        _: Request<RegisterPostsRequest>,
    ) -> Result<Response<RegisterPostsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn get_post(
        &self,
        request: Request<GetPostRequest>,
    ) -> Result<Response<GetPostResponse>, Status> {
        let name = request.into_inner().name;
        let sha256 = name.strip_prefix("posts/sha256:").expect("is a sha256");
        let Some(post) = self.state().contents.get(sha256).copied() else {
            return Err(Status::not_found("no such content"));
        };
        Ok(Response::new(GetPostResponse {
            post: Some(Post {
                name: format!("posts/{post}"),
                ..Post::default()
            }),
        }))
    }

    async fn search_posts(
        &self,
        _: Request<SearchPostsRequest>,
    ) -> Result<Response<SearchPostsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}
