//! What every service stands on, and no word of the domain: starting and stopping, telemetry,
//! health, credentials, one mapping of errors, limits, clients that retry.
//!
//! A service's `main` is three lines ([`run::main`]); its library gives `serve(config, cx)` and is
//! handed a [`Context`] with the bound listener, the shutdown and the rest.

pub mod auth;
pub mod client;
pub mod code;
pub mod config;
pub mod health;
pub mod hex;
pub mod id;
pub mod layers;
pub mod memory;
pub mod process;
pub mod retry;
pub mod run;
pub mod rundir;
pub mod server;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
pub mod trace;
pub mod worker;

pub use auth::{Credential, Scope};
pub use code::{Code, Fault};
pub use health::{Condition, Health};
pub use process::Process;
pub use run::Context;
pub use shutdown::Shutdown;
pub use tasks::Tasks;
