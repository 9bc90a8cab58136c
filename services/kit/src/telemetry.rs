//! Log lines on stderr: JSON for machines, plain for people.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt};

use crate::config::{LogFormat, Shared};

/// Starts logging for this process.
///
/// # Errors
/// If the filter given by `--log` is malformed.
pub fn start(shared: &Shared) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(&shared.log)?;
    let json = match shared.log_format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = if json {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init()
    } else {
        lines
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .try_init()
    };
    Ok(())
}
