//! `--register-only`: makes the model known, without a runtime, a device or a port.

use std::{io::Write as _, process::ExitCode};

use kit::{Credential, Fault, Health, Process, client::Peer, telemetry};

use crate::{Config, Error, load};

/// The whole program in this mode: the model's resource name on stdout.
pub(crate) fn main(config: &Config) -> ExitCode {
    // Started a second time, or with a filter that is none: then there are no log lines.
    let _ = telemetry::start(&config.shared);
    let registered = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::System)
        .and_then(|runtime| runtime.block_on(register(config)));
    let printed =
        registered.and_then(|name| writeln!(std::io::stdout(), "{name}").map_err(Error::System));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                error.reason = error.reason(),
                "{}",
                kit::code::chain(&error)
            );
            ExitCode::from(error.code().exit_code())
        }
    }
}

async fn register(config: &Config) -> Result<String, Error> {
    let model = load::model(config)?;
    let credential = match &config.shared.token_file {
        Some(path) => Credential::read(path)?,
        None => Credential::local(&config.shared.data)?,
    };
    let peer = Peer::new(&config.store, &credential)?;
    let process = Process::new("tagger", config.shared.instance(), Health::new());
    Ok(inference::leases::register_model(&peer, &process, &model).await?)
}
