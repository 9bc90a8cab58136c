//! The command line: `kumo up` runs the whole cluster on one machine; every other command asks a
//! cluster something and ends. One file per command; they share the connection and the terminal.

mod amount;
mod arguments;
mod connection;
mod error;
mod proc;
mod run;
mod terminal;
mod words;

mod completions;
mod memory;
mod models;
mod post;
mod predict;
mod queue;
mod retry;
mod roots;
mod search;
mod status;
mod tasks;
mod up;

pub use run::main;
