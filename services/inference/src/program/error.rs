//! Why a program that is a node does not start, or ends.

use std::path::PathBuf;

use kit::{Code, Fault};

use crate::leases;
use crate::model::spec::Kind;

/// A failure of a program around a node.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// ONNX Runtime, the device or the model cannot be used.
    #[error(transparent)]
    Inference(#[from] crate::Error),
    /// The model does something else.
    #[error(
        "{} is no model for the {role}: its model.toml does not say kind = \"{}\"",
        folder.display(), word(*wanted)
    )]
    OtherKind {
        /// The model's folder.
        folder: PathBuf,
        /// The program's role.
        role: &'static str,
        /// What its models do.
        wanted: Kind,
    },
    /// The built-in model is nowhere.
    #[error(
        "the built-in model is not installed; looked for it in:{}\nname a model folder with --model",
        tried.iter().map(|path| format!("\n  {}", path.display())).collect::<String>()
    )]
    NoModel {
        /// Every folder tried.
        tried: Vec<PathBuf>,
    },
    /// The loop ended, or a picture out of turn was not run.
    #[error(transparent)]
    Leases(#[from] leases::Error),
    /// The store's address cannot be one.
    #[error(transparent)]
    Address(#[from] kit::client::BadAddress),
    /// The credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] kit::auth::Error),
    /// Serving ended.
    #[error(transparent)]
    Serve(#[from] kit::server::Error),
    /// Loading did not come to an end.
    #[error("loading the model was interrupted: {0}")]
    Interrupted(String),
    /// The system refuses something basic.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Inference(error) => code(error),
            Self::OtherKind { .. } => Code::InvalidArgument,
            Self::NoModel { .. } => Code::Unavailable,
            // A sample that we rendered ourselves and cannot read is our mistake.
            Self::Leases(error) => error.code(),
            Self::Address(error) => error.code(),
            Self::Credentials(error) => error.code(),
            Self::Serve(error) => error.code(),
            Self::Interrupted(_) | Self::System(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Inference(error) => error.reason(),
            Self::OtherKind { .. } => "OTHER_KIND",
            Self::NoModel { .. } => "NO_MODEL",
            Self::Leases(error) => error.reason(),
            Self::Address(error) => error.reason(),
            Self::Credentials(error) => error.reason(),
            Self::Serve(error) => error.reason(),
            Self::Interrupted(_) => "INTERRUPTED",
            Self::System(_) => "SYSTEM",
        }
    }
}

/// As exit codes: what a flag names wrongly is the caller's to mend (64), what is not there may
/// come (69), the rest is a fault inside (70).
fn code(error: &crate::Error) -> Code {
    use crate::Error as E;
    match error {
        E::RuntimeNotFound { .. } | E::DeviceUnavailable { .. } => Code::Unavailable,
        E::DeviceUnknown { .. } | E::ModelUnreadable { .. } | E::ModelInvalid { .. } => {
            Code::InvalidArgument
        }
        E::PictureDamaged { .. } => Code::InvalidArgument,
        // A picture may lack what the model looks for; the message is for its sender.
        E::NoDirection { .. } => Code::FailedPrecondition,
        E::RuntimeFailed { .. }
        | E::RuntimeAlreadyLoaded { .. }
        | E::ShapeMismatch { .. }
        | E::RunCancelled
        | E::RunFailed { .. }
        | E::NotFinite { .. } => Code::Internal,
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Tag => "tag",
        Kind::Embed => "embed",
    }
}
