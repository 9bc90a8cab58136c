//! One picture at a time, sent to a tagger by RPC.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Args;
use proto::tagger::v1::{TagImageRequest, tagger_service_client::TaggerServiceClient};
use serde_json::{Value, json};

use super::{link::Link, times::Times};

/// Bytes of a message.
const PIECE: usize = 256 << 10;

/// Which pictures.
#[derive(Debug, Clone, Args)]
pub struct Single {
    /// The pictures, each sent once and in this order.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

impl Single {
    /// Sends each and waits for its tags.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn run(&self, link: &Link) -> Result<Value> {
        let mut tagger = TaggerServiceClient::new(link.service("tagger")?);
        let (mut whole, mut renders, mut runs) =
            (Times::default(), Times::default(), Times::default());
        for file in &self.files {
            let bytes = fs::read(file)?;
            let pieces: Vec<_> = bytes
                .chunks(PIECE)
                .map(|piece| TagImageRequest {
                    data: piece.to_vec().into(),
                    min_confidence: 0.0,
                })
                .collect();
            let begun = Instant::now();
            let mut call = tonic::Request::new(futures_util::stream::iter(pieces));
            call.set_timeout(Duration::from_secs(120));
            let said = tagger.tag_image(call).await?.into_inner();
            whole.since(begun);
            renders.add(said.render_time.unwrap_or_default().try_into()?);
            runs.add(said.run_time.unwrap_or_default().try_into()?);
        }
        Ok(
            json!({"whole_ms": whole.milliseconds(), "render_ms": renders.milliseconds(),
                  "run_ms": runs.milliseconds()}),
        )
    }
}
