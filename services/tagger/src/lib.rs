//! A tagging node: leases tasks from the store and tags the samples of the library, and tags single
//! pictures that are sent to it.
//!
//! [`serve`] loads the model before anything else, so that what is wrong with it shows at once. The
//! loop is `inference::leases`, what it shares with other nodes is `inference::program`; [`grpc`] is
//! the door for single pictures, whose bytes go through a renderer child before anything here looks
//! at them.

mod config;
mod error;
mod grpc;
mod serve;

use std::process::ExitCode;

use clap::Parser;

pub use config::Config;
pub use error::Error;
pub use serve::serve;

/// The program, from its flags to its exit code.
#[must_use]
pub fn main() -> ExitCode {
    match Config::try_parse() {
        // It serves nobody, so it must neither take the port nor the name of a node at work.
        Ok(config) if config.node.register_only => inference::program::register(&config),
        // What is wrong with the flags is said there.
        Ok(_) | Err(_) => kit::run::main::<Config, _, _, _>("tagger", serve),
    }
}
