//! The real program: what it says when it cannot start, how it waits, and what it says of pictures.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../../inference/tests/program/pictures.rs"]
mod pictures;
#[path = "../../inference/tests/program/process.rs"]
mod program;
#[path = "../../inference/tests/program/start.rs"]
mod start;
#[path = "tagger/tag_image.rs"]
mod tag_image;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kumo-tagger");
const ROLE: &str = "tagger";
const MODEL: &str = "palette-tagger";
const OTHER: &str = "layout-embedder";

fn is_it(model: &proto::store::v1::RegisterModelRequest) -> bool {
    model.labels.len() == 34 && model.dimensions == 0 && !model.thresholds.is_empty()
}
