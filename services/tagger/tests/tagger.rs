//! The real program: what it says when it cannot start, how it waits, and what it says of pictures.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "tagger/pictures.rs"]
mod pictures;
#[path = "tagger/program.rs"]
mod program;

#[path = "tagger/start.rs"]
mod start;
#[path = "tagger/tag_image.rs"]
mod tag_image;
