//! The story of an embedding node: load, open the door, pull until told to stop.

use std::sync::Arc;

use half::f16;
use inference::leases::{Finding, Read};
use inference::program::Working;
use inference::{Model, program};
use kit::{Context, Scope, server::Api};
use proto::embedder::v1::embedder_service_server::EmbedderServiceServer;
use proto::store::v1::EmbedResult;
use renderer::Pool;

use crate::{Config, grpc::Embedder};

/// What each method needs.
const SCOPES: &[(&str, Scope)] = &[
    ("/kumo.embedder.v1.EmbedderService/EmbedImage", Scope::Read),
    ("/kumo.embedder.v1.EmbedderService/GetModel", Scope::Read),
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
    let embedder = Embedder {
        working: working.clone(),
        pool,
    };
    let service =
        EmbedderServiceServer::new(embedder).max_decoding_message_size(program::LARGEST_REQUEST);
    let api = Api::new().scopes(SCOPES).add(service);
    let model = Arc::clone(working.model());
    let read: Read = Arc::new(move |row| found(&model, row));
    working.serve(&cx, api, read).await
}

/// The vector of a row, as the store keeps it: 2 bytes a number, which moves a cosine by less than
/// a thousandth.
fn found(model: &Model, row: &[f32]) -> inference::Result<Finding> {
    let vector = model.vector(row)?;
    let bytes = vector
        .into_iter()
        .flat_map(|value| f16::from_f32(value).to_le_bytes());
    Ok(Finding::Embedding(EmbedResult {
        vector: bytes.collect(),
    }))
}

/// Finds out early whether pictures can be taken from callers. The library can do without.
async fn probe(pool: Pool, cx: Context) {
    if let Some(Some((code, message))) = cx.shutdown.or(pool.complaint()).await {
        tracing::warn!(error.reason = code, "pictures sent by callers: {message}");
        cx.process.notice(code, message);
    }
}
