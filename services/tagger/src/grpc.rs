//! The door: `kumo.tagger.v1.TaggerService`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use inference::leases::{Node, category};
use inference::{DeviceProof, Model};
use kit::code::status;
use proto::store::v1::{Label, ScoredTag};
use proto::tagger::v1::tagger_service_server::TaggerService;
use proto::tagger::v1::{GetModelRequest, GetModelResponse, TagImageRequest, TagImageResponse};
use renderer::Pool;
use tonic::{Request, Response, Status, Streaming};

use crate::{Error, upload};

/// What the door opens to.
pub(crate) struct Tagger {
    pub(crate) node: Arc<Node>,
    pub(crate) pool: Pool,
    pub(crate) model: Arc<Model>,
    pub(crate) proof: DeviceProof,
    /// Name of this node.
    pub(crate) name: String,
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
        let labels = self.model.labels().iter().map(|label| Label {
            name: label.name.clone(),
            category: category(label.category).into(),
        });
        Ok(Response::new(GetModelResponse {
            display_name: self.model.spec().name.clone(),
            revision: self.model.revision().to_owned(),
            labels: labels.collect(),
            max_batch: u32::try_from(self.model.spec().batch.max).unwrap_or(u32::MAX),
            device_proof: self.proof.to_string(),
        }))
    }
}

impl Tagger {
    async fn tag(&self, mut pieces: Streaming<TagImageRequest>) -> Result<TagImageResponse, Error> {
        let broken = |_| Error::Upload("the call was broken off");
        let first = pieces.message().await.map_err(broken)?.unwrap_or_default();
        let least = first.min_confidence;
        if !(0.0..=1.0).contains(&least) {
            return Err(Error::MinConfidence(least));
        }
        let begun = Instant::now();
        let rendered = upload::render(&self.pool, label(), first.data, &mut pieces).await?;
        let render_time = begun.elapsed();
        let sample = rendered.sample.ok_or(Error::NoSample)?;
        let inferred = self.node.infer(sample.jpeg).await?;
        Ok(TagImageResponse {
            tags: self.name_all(&inferred.row, least),
            model_name: self.model.spec().name.clone(),
            revision: self.model.revision().to_owned(),
            node: self.name.clone(),
            device: self.proof.class.to_string(),
            render_time: render_time.try_into().ok(),
            run_time: inferred.time.try_into().ok(),
        })
    }

    /// The labels that count: from `least` up, or from the model's thresholds if that is 0.
    fn name_all(&self, row: &[f32], least: f32) -> Vec<ScoredTag> {
        let scored = self.model.labels().iter().zip(row);
        let counts = scored.filter(|(label, confidence)| {
            let from = if least > 0.0 {
                least
            } else {
                self.model.threshold(label.category)
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

/// What a picture without a name is called in the log.
fn label() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let trace = kit::trace::current().map_or_else(String::new, kit::trace::TraceContext::trace_id);
    format!("TagImage {number} {trace}")
}
