//! Look-alikes: vectors and hashes in memory, following the store's feed.
//!
//! The heart is plain synchronous code: [`index`] holds the posts and answers, [`blend`] makes one
//! score of several channels, [`duplicates`] finds groups, [`snapshot`] keeps it all on disk. Around
//! it [`serve`] follows the store (`follow`), keeps the one index that lives (`live`), and answers
//! (`grpc`, `find`, `groups`).

pub mod blend;
pub mod colours;
pub mod duplicates;
pub mod index;
pub mod snapshot;

mod channel;
mod column;
mod config;
mod embedder;
mod error;
mod find;
mod follow;
mod groups;
mod grpc;
mod hashes;
mod live;
mod near;
mod nearest;
mod serve;
mod slots;
mod store;
mod vectors;
mod words;

use std::process::ExitCode;

pub use config::Config;
pub use error::Error;
pub use serve::serve;

/// The program, from its flags to its exit code.
#[must_use]
pub fn main() -> ExitCode {
    kit::run::main::<Config, _, _, _>("similarity", serve)
}
