//! What the tests of the whole cluster share: real programs on temporary folders, pictures made on
//! the spot, and load for the benches.

pub mod cluster;
pub mod load;
pub mod pictures;
pub mod retrieval;
pub mod wait;
