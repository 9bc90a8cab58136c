//! The command line: `kumo up` runs the whole cluster on one machine; every other command asks a
//! cluster something and ends. One file per command; they share the connection and the terminal.

mod amount;
mod arguments;
mod connection;
mod error;
mod picture;
mod proc;
mod query;
mod run;
mod selection;
mod subject;
mod terminal;
mod words;

mod completions;
mod contract;
mod duplicates;
mod edit;
mod memory;
mod models;
mod nodes;
mod post;
mod predict;
mod queue;
mod records;
mod rejected;
mod retry;
mod roots;
mod search;
mod similar;
mod status;
mod tasks;
mod token;
mod trash;
mod up;

pub use run::main;
