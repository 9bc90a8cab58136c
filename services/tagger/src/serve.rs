//! The story of a tagging node: load, open the door, pull until told to stop.

use std::sync::Arc;

use inference::leases::{Finding, Read};
use inference::program::Working;
use inference::{Model, program};
use kit::{Context, Scope, server::Api};
use proto::store::v1::TagResult;
use proto::tagger::v1::tagger_service_server::TaggerServiceServer;
use renderer::Pool;

use crate::{Config, grpc::Tagger};

/// What each method needs.
const SCOPES: &[(&str, Scope)] = &[
    ("/kumo.tagger.v1.TaggerService/TagImage", Scope::Read),
    ("/kumo.tagger.v1.TaggerService/GetModel", Scope::Read),
];

/// Serves until the shutdown.
///
/// # Errors
/// If runtime, device or model cannot be used, the store refuses this node, or serving fails.
pub async fn serve(config: Config, cx: Context) -> Result<(), program::Error> {
    let working = Working::start(&config, &cx).await?;
    let pool = Pool::new(renderer::Config {
        program: config.node.renderer.clone(),
        size: usize::from(config.node.renderers),
        ..renderer::Config::default()
    });
    cx.tasks.spawn("renderer", probe(pool.clone(), cx.clone()));
    let tagger = Tagger {
        working: working.clone(),
        pool,
    };
    let service =
        TaggerServiceServer::new(tagger).max_decoding_message_size(program::LARGEST_REQUEST);
    let api = Api::new().scopes(SCOPES).add(service);
    let model = Arc::clone(working.model());
    let read: Read = Arc::new(move |row| found(&model, row));
    working.serve(&cx, api, read).await
}

/// What a row of confidences says, down to the storage threshold.
fn found(model: &Model, row: &[f32]) -> inference::Result<Finding> {
    let predictions = model.predictions(row)?;
    Ok(Finding::Tags(TagResult {
        labels: predictions.iter().map(|found| found.label).collect(),
        // A sigmoid's rounding may leave the range by a hair, and the store takes none of that.
        confidences: predictions
            .iter()
            .map(|found| found.confidence.clamp(0.0, 1.0))
            .collect(),
    }))
}

/// Finds out early whether pictures can be taken from callers. The library can do without.
async fn probe(pool: Pool, cx: Context) {
    if let Some(Some((code, message))) = cx.shutdown.or(pool.complaint()).await {
        tracing::warn!(error.reason = code, "pictures sent by callers: {message}");
        cx.process.notice(code, message);
    }
}
