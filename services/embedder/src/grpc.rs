//! The door: `kumo.embedder.v1.EmbedderService`.

use std::time::Instant;

use futures_util::TryStreamExt;
use inference::program::{self, Working, is_oversized};
use kit::code::status;
use proto::embedder::v1::embedder_service_server::EmbedderService;
use proto::embedder::v1::{
    EmbedImageRequest, EmbedImageResponse, GetModelRequest, GetModelResponse,
};
use renderer::{Cut, Pool, Upload, Wanted};
use tonic::{Request, Response, Status, Streaming};

use crate::Error;

/// What the door opens to.
pub(crate) struct Embedder {
    pub(crate) working: Working,
    pub(crate) pool: Pool,
}

#[tonic::async_trait]
impl EmbedderService for Embedder {
    async fn embed_image(
        &self,
        request: Request<Streaming<EmbedImageRequest>>,
    ) -> Result<Response<EmbedImageResponse>, Status> {
        let answer = self.embed(request.into_inner()).await;
        answer.map(Response::new).map_err(|error| status(&error))
    }

    async fn get_model(
        &self,
        _: Request<GetModelRequest>,
    ) -> Result<Response<GetModelResponse>, Status> {
        let model = self.working.model();
        Ok(Response::new(GetModelResponse {
            display_name: model.spec().name.clone(),
            revision: model.revision().to_owned(),
            dimensions: u32::from(model.dimensions()),
            max_batch: u32::try_from(model.spec().batch.max).unwrap_or(u32::MAX),
            device_proof: self.working.proof().to_string(),
        }))
    }
}

impl Embedder {
    async fn embed(
        &self,
        pieces: Streaming<EmbedImageRequest>,
    ) -> Result<EmbedImageResponse, Error> {
        let begun = Instant::now();
        let pieces = pieces.map_err(|status| cut(&status));
        let upload = Upload::new(pieces.map_ok(|piece| piece.data));
        let label = format!("EmbedImage {}", kit::trace::current_id());
        let rendered = self.pool.render_upload(label, Wanted::SAMPLE, upload);
        let sample = rendered.await?.sample.ok_or(Error::NoSample)?;
        let render_time = begun.elapsed();
        let inferred = self.working.infer(sample.jpeg).await?;
        let model = self.working.model();
        let vector = model.vector(&inferred.row).map_err(program::Error::from)?;
        Ok(EmbedImageResponse {
            vector,
            model_name: model.spec().name.clone(),
            revision: model.revision().to_owned(),
            node: self.working.name().to_owned(),
            device: self.working.proof().class.to_string(),
            render_time: render_time.try_into().ok(),
            run_time: inferred.time.try_into().ok(),
        })
    }
}

/// Why a caller's messages stop.
fn cut(status: &Status) -> Cut {
    if is_oversized(status) {
        Cut::Oversized
    } else {
        Cut::Broken
    }
}
