//! Look-alikes: vectors and hashes in memory, following the store's feed.
//!
//! The heart is plain synchronous code: [`index`] holds the posts and answers, [`blend`] makes one
//! score of several channels, [`duplicates`] finds groups, [`snapshot`] keeps it all on disk.

pub mod blend;
pub mod colours;
pub mod duplicates;
pub mod index;
pub mod snapshot;

mod channel;
mod column;
mod hashes;
mod nearest;
mod slots;
mod vectors;
mod words;
