//! The door: `kumo.tagger.v1.TaggerService`.

use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use inference::leases::category;
use inference::program::{Working, is_oversized};
use kit::code::status;
use proto::store::v1::{Label, ScoredTag};
use proto::tagger::v1::tagger_service_server::TaggerService;
use proto::tagger::v1::{GetModelRequest, GetModelResponse, TagImageRequest, TagImageResponse};
use renderer::{Cut, Pool, Upload, Wanted};
use tonic::{Request, Response, Status, Streaming};

use crate::Error;

/// What the door opens to.
pub(crate) struct Tagger {
    pub(crate) working: Working,
    pub(crate) pool: Pool,
}

#[tonic::async_trait]
impl TaggerService for Tagger {
    async fn tag_image(
        &self,
        request: Request<Streaming<TagImageRequest>>,
    ) -> Result<Response<TagImageResponse>, Status> {
        let answer = self.tag(request.into_inner()).await;
        answer.map(Response::new).map_err(|error| status(&error))
    }

    async fn get_model(
        &self,
        _: Request<GetModelRequest>,
    ) -> Result<Response<GetModelResponse>, Status> {
        let model = self.working.model();
        let labels = model.labels().iter().map(|label| Label {
            name: label.name.clone(),
            category: category(label.category).into(),
        });
        Ok(Response::new(GetModelResponse {
            display_name: model.spec().name.clone(),
            revision: model.revision().to_owned(),
            labels: labels.collect(),
            max_batch: u32::try_from(model.spec().batch.max).unwrap_or(u32::MAX),
            device_proof: self.working.proof().to_string(),
        }))
    }
}

impl Tagger {
    async fn tag(&self, pieces: Streaming<TagImageRequest>) -> Result<TagImageResponse, Error> {
        let mut pieces = pieces.map_err(|status| cut(&status));
        let first = renderer::first(&mut pieces).await?;
        // That there is none is said by those who read on.
        let least = first.as_ref().map_or(0.0, |first| first.min_confidence);
        if !(0.0..=1.0).contains(&least) {
            return Err(Error::MinConfidence(least));
        }
        let begun = Instant::now();
        let pieces = stream::iter(first.map(Ok)).chain(pieces);
        let upload = Upload::new(pieces.map_ok(|piece| piece.data));
        let label = format!("TagImage {}", kit::trace::current_id());
        let rendered = self
            .pool
            .render_upload(label, Wanted::SAMPLE, upload)
            .await?;
        let render_time = begun.elapsed();
        let sample = rendered.sample.ok_or(Error::NoSample)?;
        let inferred = self.working.infer(sample.jpeg).await?;
        let model = self.working.model();
        Ok(TagImageResponse {
            tags: self.name_all(&inferred.row, least),
            model_name: model.spec().name.clone(),
            revision: model.revision().to_owned(),
            node: self.working.name().to_owned(),
            device: self.working.proof().class.to_string(),
            render_time: render_time.try_into().ok(),
            run_time: inferred.time.try_into().ok(),
        })
    }

    /// The labels that count: from `least` up, or from the model's thresholds if that is 0.
    fn name_all(&self, row: &[f32], least: f32) -> Vec<ScoredTag> {
        let model = self.working.model();
        let scored = model.labels().iter().zip(row);
        let counts = scored.filter(|(label, confidence)| {
            let from = if least > 0.0 {
                least
            } else {
                model.threshold(label.category)
            };
            **confidence >= from
        });
        let mut tags: Vec<ScoredTag> = counts
            .map(|(label, confidence)| ScoredTag {
                name: label.name.clone(),
                category: category(label.category).into(),
                confidence: confidence.clamp(0.0, 1.0),
            })
            .collect();
        tags.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        tags
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
