//! The story of a tagging node: load, start the threads, open the door, pull until told to stop.

use std::sync::Arc;

use inference::leases::{self, Finding, Node, Registration};
use inference::{Model, Session};
use kit::{Context, Scope, client::Peer, server::Api};
use proto::store::v1::TagResult;
use proto::tagger::v1::tagger_service_server::TaggerServiceServer;
use renderer::Pool;

use crate::{Config, Error, grpc::Tagger, load, load::Loaded};

/// What each method needs.
const SCOPES: &[(&str, Scope)] = &[
    ("/kumo.tagger.v1.TaggerService/TagImage", Scope::Read),
    ("/kumo.tagger.v1.TaggerService/GetModel", Scope::Read),
];

/// Serves until the shutdown.
///
/// # Errors
/// If runtime, device or model cannot be used, the store refuses this node, or serving fails.
pub async fn serve(config: Config, cx: Context) -> Result<(), Error> {
    let peer = Peer::new(&config.store, &cx.credential)?;
    // Waiting for the store is said from here on, by whoever asks.
    let loading = config.clone();
    let loaded = cx.tasks.spawn_blocking(move || load::load(&loading)).await;
    let Loaded { model, session } =
        loaded.map_err(|error| Error::Interrupted(error.to_string()))??;
    tell(&cx, &session);
    let model = Arc::new(model);
    let proof = session.proof().clone();
    let address = config
        .advertise
        .clone()
        .unwrap_or_else(|| format!("http://{}", cx.local_addr()));
    let registration = Registration::new(&cx.process, &model, &proof, &address);
    let max_batch = config.max_batch.map_or(session.max_batch(), usize::from);
    let node = Node::start(
        session,
        &model.spec().input,
        leases::Config {
            decoders: config.decoders(),
            max_batch: max_batch.min(model.spec().batch.max),
            idle_exit: config.idle_exit,
        },
    )?;
    let node = Arc::new(node);
    let pool = pool(&config);
    cx.tasks.spawn("renderer", probe(pool.clone(), cx.clone()));
    let tagger = Tagger {
        node: Arc::clone(&node),
        pool,
        model: Arc::clone(&model),
        proof,
        name: cx.process.instance().to_owned(),
    };
    let api = Api::new()
        .scopes(SCOPES)
        .add(TaggerServiceServer::new(tagger));
    let read: leases::Read = Arc::new(move |row| found(&model, row));
    let pull = async {
        let ended = node.pull(&cx, &peer, registration, read).await;
        cx.shutdown.begin();
        ended
    };
    let (served, pulled) = tokio::join!(cx.serve(api), pull);
    node.close().await;
    pulled?;
    Ok(served?)
}

/// Tells people about the device and what the model holds.
fn tell(cx: &Context, session: &Session) {
    let proof = session.proof();
    tracing::info!(device = %proof.class, "the model runs: {proof}");
    cx.process.notice("DEVICE", proof.to_string());
    let report = session.report();
    let held = report.resident_after.saturating_sub(report.resident_before);
    cx.process.memory_part("session", move || held);
}

/// What a row of confidences says, down to the storage threshold.
fn found(model: &Model, row: &[f32]) -> Result<Finding, inference::Error> {
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

fn pool(config: &Config) -> Pool {
    Pool::new(renderer::Config {
        program: config.renderer.clone(),
        size: usize::from(config.renderers),
        ..renderer::Config::default()
    })
}

/// Finds out early whether pictures can be taken from callers. The library can do without.
async fn probe(pool: Pool, cx: Context) {
    match cx.shutdown.or(pool.probe()).await {
        None => {}
        Some(Ok(confinement)) => {
            if let Some(missing) = confinement.missing() {
                cx.process.notice("CONFINEMENT", missing);
            }
        }
        Some(Err(error)) => {
            tracing::warn!(error.reason = error.code(), "TagImage cannot work: {error}");
            cx.process.notice(error.code(), error.to_string());
        }
    }
}
