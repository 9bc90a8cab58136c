//! Log lines on stderr: JSON for machines, plain for people.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    Layer, filter::Targets, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt,
};

use crate::config::{LogFormat, Shared};

/// Starts logging for this process.
pub fn start(shared: &Shared) {
    let json = match shared.log_format {
        LogFormat::Json => true,
        LogFormat::Human => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = if json {
        let lines = lines.json().flatten_event(true).with_current_span(false);
        lines.boxed()
    } else {
        let lines = lines.with_target(false);
        lines.with_ansi(io::stderr().is_terminal()).boxed()
    };
    let filter = Targets::clone(&shared.log);
    // A second start in one process (tests) keeps the first subscriber.
    let _ = registry().with(lines).with(filter).try_init();
}
