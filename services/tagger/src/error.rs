//! What can go wrong in the tagger.

use std::path::PathBuf;

use inference::leases;
use kit::{Code, Fault};

/// A failure of the tagger, of its start or of one call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// ONNX Runtime, the device or the model cannot be used.
    #[error(transparent)]
    Inference(#[from] inference::Error),
    /// The model does something else.
    #[error("{} is no tagging model: its model.toml says kind = \"embed\"", folder.display())]
    NotATagger {
        /// The model's folder.
        folder: PathBuf,
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
    /// The loop ended.
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
    /// The renderer refused the picture, or there is no renderer.
    #[error(transparent)]
    Renderer(#[from] renderer::Error),
    /// The picture has too many bytes.
    #[error("the picture has more than {limit} bytes")]
    TooLarge {
        /// Most bytes.
        limit: u64,
    },
    /// The picture stopped coming.
    #[error("the picture stopped coming: {0}")]
    Upload(&'static str),
    /// The caller's lowest confidence is none.
    #[error("min_confidence: {0} is not between 0 and 1")]
    MinConfidence(f32),
    /// The renderer left out what it was asked for.
    #[error("the renderer made no sample")]
    NoSample,
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Inference(error) => inference_code(error),
            Self::NotATagger { .. } | Self::TooLarge { .. } | Self::MinConfidence(_) => {
                Code::InvalidArgument
            }
            Self::NoModel { .. } => Code::Unavailable,
            // A sample that we rendered ourselves and cannot read is our mistake.
            Self::Leases(error) => error.code(),
            Self::Address(error) => error.code(),
            Self::Credentials(error) => error.code(),
            Self::Serve(error) => error.code(),
            Self::Interrupted(_) | Self::System(_) | Self::NoSample => Code::Internal,
            Self::Renderer(renderer::Error::Refused(_)) => Code::InvalidArgument,
            Self::Renderer(renderer::Error::Source(_)) | Self::Upload(_) => Code::Unavailable,
            Self::Renderer(
                renderer::Error::Missing { .. }
                | renderer::Error::Start { .. }
                | renderer::Error::Closed,
            ) => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Inference(error) => error.reason(),
            Self::NotATagger { .. } => "NOT_A_TAGGER",
            Self::NoModel { .. } => "NO_MODEL",
            Self::Leases(error) => error.reason(),
            Self::Address(error) => error.reason(),
            Self::Credentials(error) => error.reason(),
            Self::Serve(error) => error.reason(),
            Self::Interrupted(_) => "INTERRUPTED",
            Self::System(_) => "SYSTEM",
            Self::Renderer(error) => error.code(),
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::Upload(_) => "UPLOAD_BROKEN",
            Self::MinConfidence(_) => "INVALID_FIELD",
            Self::NoSample => "NO_SAMPLE",
        }
    }
}

/// As exit codes: what a flag names wrongly is the caller's to mend (64), what is not there may
/// come (69), the rest is a fault inside (70).
fn inference_code(error: &inference::Error) -> Code {
    use inference::Error as E;
    match error {
        E::RuntimeNotFound { .. } | E::DeviceUnavailable { .. } => Code::Unavailable,
        E::DeviceUnknown { .. } | E::ModelUnreadable { .. } | E::ModelInvalid { .. } => {
            Code::InvalidArgument
        }
        E::PictureDamaged { .. } => Code::InvalidArgument,
        E::RuntimeFailed { .. }
        | E::RuntimeAlreadyLoaded { .. }
        | E::ShapeMismatch { .. }
        | E::RunCancelled
        | E::RunFailed { .. }
        | E::NotFinite { .. } => Code::Internal,
    }
}
