//! Stories of the whole cluster, told with the real programs on a temporary folder.

mod always_on;
mod arrival;
mod confinement;
mod death;
mod refusal;
mod retrieval;
mod similar;
mod trash;
mod up;
mod vectors;
