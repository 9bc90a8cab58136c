//! The real program: what it says when it cannot start, how it waits, and what it makes of pictures.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "embedder/embed_image.rs"]
mod embed_image;
#[path = "../../inference/tests/program/pictures.rs"]
mod pictures;
#[path = "../../inference/tests/program/process.rs"]
mod program;
#[path = "../../inference/tests/program/start.rs"]
mod start;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kumo-embedder");
const ROLE: &str = "embedder";
const MODEL: &str = "layout-embedder";
const OTHER: &str = "palette-tagger";

fn is_it(model: &proto::store::v1::RegisterModelRequest) -> bool {
    model.labels.is_empty() && model.dimensions == 384 && model.thresholds.is_empty()
}
