//! The truth: one SQLite connection, and what must be in memory to answer at once.
//!
//! A plain synchronous crate: it knows no runtime, no network and no protobuf, and Cargo keeps it
//! so. One thread owns the [`Store`]. Writes go through group commit:
//! [`Store::begin`], any number of [`Store::request`], one [`Store::commit`]; nothing is published
//! in memory before its COMMIT has returned.
//!
//! One noun, one file: its type, its rules, its SQL and its tests.

pub mod capacity;
pub mod edit;
pub mod effective;
pub mod embedding;
mod error;
pub mod feed;
#[cfg(test)]
mod fixture;
pub mod index;
pub mod ingest_failure;
pub mod lease;
pub mod location;
mod migrate;
pub mod model;
pub mod node;
mod packed;
pub mod post;
pub mod prediction;
mod presence;
pub mod query;
mod rating;
pub mod rejected;
pub mod root;
mod running;
pub mod source_record;
mod stats;
mod store;
pub mod tag;
pub mod task;
pub mod trash;
pub mod watcher;

pub use error::Error;
pub use model::ModelKind;
pub use node::{DeviceClass, NodeId};
pub use presence::{NODE_OFFLINE_AFTER_MS, WATCHER_OFFLINE_AFTER_MS};
pub use rating::Rating;
pub use stats::{Memory, Stats};
pub use store::{Options, Published, Store, Write};
pub use tag::{Category, Tag, TagId, normal_form, normalize};
pub use watcher::WatcherId;

/// Number of a post, from 1, never reused.
pub type PostId = u32;
/// Number of a model revision, from 1, never reused.
pub type ModelId = u32;
/// Number of a task, from 1, never reused.
pub type TaskId = u64;
/// Number of a root, from 1, never reused.
pub type RootId = u32;

/// The two clocks of a request, read once by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, unix milliseconds: for what people read.
    pub unix_ms: i64,
    /// A clock that only goes forward, milliseconds from any origin: for deadlines.
    pub mono_ms: u64,
}
