//! What a person types, step by step: text → tokens (`lex`) → syntax tree
//! (`parse`, `syntax`) → plan over ids (`plan`), which the index carries out.
//!
//! ```
//! use kumo_store_core::query::Query;
//!
//! let query: Query = "1girl -comic rating:g,s order:size".parse()?;
//! assert_eq!(query.to_string(), "\"1girl\" -\"comic\" rating:general,sensitive order:size");
//! # Ok::<(), kumo_store_core::query::Error>(())
//! ```
//!
//! Everything here takes hostile text: lengths, term counts and nesting are
//! bounded before any work is done, and every refusal names the byte where it
//! happened, the text that stood there and what would have been accepted.

mod error;
mod lex;
mod number;
mod parse;
mod plan;
mod syntax;

pub use error::{Error, MAX_TEXT, Problem};
pub use number::{Field, Ranges};
pub use plan::{MAX_WILDCARD_TAGS, Plan, TagNames};
pub use syntax::{Expr, Query, RatingSet, Status, TagTerm};

pub(crate) use plan::Node;

/// Longest query text, bytes.
pub const MAX_BYTES: usize = 4096;
/// Most terms (tags and metatags) in one query.
pub const MAX_TERMS: usize = 100;
/// Deepest nesting of parentheses.
pub const MAX_DEPTH: usize = 16;
