//! Load for the benches: an invented library, simulated nodes, timed questions. What is measured is
//! handed back as JSON, which `tests/bench` reads.

mod arrival;
mod books;
mod drain;
mod hashes;
mod library;
mod link;
mod nodes;
mod questions;
mod similar;
mod single;
mod times;
mod vectors;

pub use arrival::Arrival;
pub use drain::Drain;
pub use library::Library;
pub use link::Link;
pub use nodes::Nodes;
pub use questions::Questions;
pub use similar::{Dump, Similar};
pub use single::Single;
