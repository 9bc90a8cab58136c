//! The eyes: watches folders of one machine, catalogues every picture in them once, and serves the
//! bytes of pictures. It only ever reads the folders it watches.
//!
//! How a file becomes a post: [`listen`] (or [`scan`]) notices it and puts its place into the
//! mailbox [`dirty`]; the thread of [`watch`] lets it [`settle`], compares it with what is [`known`]
//! and [`plan`]s; [`ingest`] reads, hashes and has it rendered; [`apply`] tells the store, in
//! batches, over the [`link`], and remembers what the store has acknowledged. Every step is bounded
//! and waits for the one behind it.

pub mod apply;
pub mod beneath;
pub mod board;
pub mod config;
pub mod dirty;
mod error;
pub mod glance;
mod grpc;
pub mod hash;
pub mod ingest;
pub mod known;
pub mod link;
pub mod listen;
pub mod media;
mod notices;
pub mod place;
pub mod plan;
pub mod renditions;
pub mod roots;
pub mod scan;
mod serve;
pub mod settle;
pub mod stamp;
pub mod watch;
pub mod work;

pub use config::Config;
pub use error::Error;
pub use serve::serve;
