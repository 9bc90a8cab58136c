//! The glove box: outside bytes go in, renditions we made ourselves come out.
//!
//! Two halves that meet only in `protocol`:
//! - the **program** `kumo-renderer` ([`child`], [`confine`]): one thread, no files, no network,
//!   a fixed address space; it sniffs, decodes, turns upright, and makes the sample, the preview
//!   and the hashes;
//! - the **client** ([`Pool`]): starts children while there is work and none while there is not,
//!   streams bytes to them, and takes their answers as it would a stranger's.
//!
//! A program that links this library and calls only [`Pool`] carries no decoder: the linker
//! drops what nothing reaches.

pub mod child;
pub mod confine;

mod blurhash;
mod decode;
mod encode;
mod error;
mod format;
mod frames;
mod hashes;
mod limits;
mod orient;
mod pool;
mod protocol;
mod render;
mod rendered;
mod resize;
mod size;
mod sniff;
mod upload;

pub use error::{Error, Reason, Refusal};
pub use format::Format;
pub use hashes::{NEAR_BLANK_DETAIL, PerceptualHash};
pub use limits::Limits;
pub use pool::{Config, Job, Pool, Source};
pub use render::{PREVIEW_QUALITY, RENDER_REVISION, SAMPLE_QUALITY};
pub use rendered::{Rendered, Rendition, Wanted};
pub use size::{PREVIEW_SIDE, SAMPLE_PIXELS, SAMPLE_SHORT_SIDE};
pub use upload::{Cut, Pipe, Upload, first, pipe};
