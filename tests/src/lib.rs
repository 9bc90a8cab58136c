//! What the tests of the whole cluster share: real programs on temporary folders, and pictures made
//! on the spot.

pub mod cluster;
pub mod pictures;
pub mod wait;
