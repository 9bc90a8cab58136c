//! What can go wrong in the embedder.

use inference::program;
use kit::{Code, Fault};

/// A failure of the embedder, of its start or of one call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node cannot start, ended, or could not run a picture.
    #[error(transparent)]
    Node(#[from] program::Error),
    /// The renderer refused the picture, the picture stopped coming, or there is no renderer.
    #[error(transparent)]
    Renderer(#[from] renderer::Error),
    /// The renderer left out what it was asked for.
    #[error("the renderer made no sample")]
    NoSample,
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Node(error) => error.code(),
            Self::Renderer(renderer::Error::Refused(_)) => Code::InvalidArgument,
            Self::Renderer(
                renderer::Error::Source(_)
                | renderer::Error::Missing { .. }
                | renderer::Error::Start { .. }
                | renderer::Error::Closed,
            ) => Code::Unavailable,
            Self::NoSample => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Node(error) => error.reason(),
            Self::Renderer(error) => error.code(),
            Self::NoSample => "NO_SAMPLE",
        }
    }
}
