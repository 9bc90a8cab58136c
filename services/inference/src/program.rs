//! What the programs around a node have in common: their flags, finding and loading the model,
//! making it known, and working until told to stop.
//!
//! A program says what it is by [`Program`]; its `main` asks [`register`] for `--register-only`, its
//! `serve` starts with [`Working::start`], puts a door over a clone of that, and ends with
//! [`Working::serve`].

mod error;
mod flags;
mod folder;
mod working;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use kit::client::Peer;
use kit::config::Configured;
use kit::{Credential, Fault, Health, Process, telemetry};
use tonic::Status;

use crate::leases;
use crate::model::Model;
use crate::model::spec::Kind;

pub use error::Error;
pub use flags::Flags;
pub use working::Working;

/// Largest request of a node: a piece of a picture has at most 256 KiB, and clients that split
/// otherwise are let in, but no message is a picture by itself.
pub const LARGEST_REQUEST: usize = 2 << 20;

/// Whether a message was refused for being larger than that. Nothing else among a caller's messages
/// is out of range: a call that breaks off is cancelled, unknown or unavailable.
#[must_use]
pub fn is_oversized(status: &Status) -> bool {
    status.code() == tonic::Code::OutOfRange
}

/// A program that is a node: implemented by its flags.
pub trait Program: Configured + Clone + Send + 'static {
    /// Its role, such as `tagger`.
    const ROLE: &'static str;
    /// What its models do.
    const KIND: Kind;
    /// Folder of its built-in model, below the folder of models.
    const BUILT_IN: &'static str;

    /// The flags that such programs share.
    fn flags(&self) -> &Flags;

    /// Folder of the model, if one was named.
    fn model(&self) -> Option<&Path>;
}

/// Reads the model folder, without loading the weights.
///
/// # Errors
/// If there is none, it cannot be used, or its model does something else.
pub fn model<P: Program>(program: &P) -> Result<Model, Error> {
    let folder = match program.model() {
        Some(folder) => folder.to_owned(),
        None => folder::built_in(P::BUILT_IN)?,
    };
    let model = Model::open(&folder)?;
    if model.spec().kind == P::KIND {
        Ok(model)
    } else {
        Err(Error::OtherKind {
            folder,
            role: P::ROLE,
            wanted: P::KIND,
        })
    }
}

/// The whole program with `--register-only`: makes the model known, without a runtime, a device, a
/// port or the name of a node at work; the model's resource name goes to stdout.
pub fn register<P: Program>(program: &P) -> ExitCode {
    telemetry::start(program.shared());
    let registered = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::System)
        .and_then(|runtime| runtime.block_on(make_known(program)));
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

async fn make_known<P: Program>(program: &P) -> Result<String, Error> {
    let model = model(program)?;
    let shared = program.shared();
    let credential = match &shared.token_file {
        Some(path) => Credential::read(path)?,
        None => Credential::local(&shared.data)?,
    };
    let peer = Peer::new(&program.flags().store, &credential)?;
    let process = Process::new(P::ROLE, shared.instance(), Health::new());
    Ok(leases::register_model(&peer, &process, &model).await?)
}
