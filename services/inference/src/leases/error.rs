//! Why the loop ends, or somebody's picture was not run.

use kit::{Code, Fault};
use tonic::Status;

/// A failure of the loop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The store does not take this node or its model.
    #[error("the store refuses this node: {}", .0.message())]
    Refused(Box<Status>),
    /// Another process has the same name.
    #[error("another process runs as node {node:?}; give one of them another name with --instance")]
    Superseded {
        /// The name.
        node: String,
    },
    /// Nothing runs any more on this device.
    #[error("the model does not run any more, not even on a blank picture; restart this node")]
    ModelBroken,
    /// The store answered what it must not.
    #[error("the store {0}")]
    Protocol(String),
    /// Too many people wait.
    #[error("this node is busy; try again")]
    Busy,
    /// The node is stopping.
    #[error("this node is stopping")]
    Stopping,
    /// A picture sent by somebody could not be run.
    #[error(transparent)]
    Run(#[from] crate::Error),
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Thread(_) | Self::ModelBroken | Self::Protocol(_) | Self::Run(_) => {
                Code::Internal
            }
            Self::Refused(status) => kit::code::of(status),
            Self::Superseded { .. } => Code::FailedPrecondition,
            Self::Busy => Code::ResourceExhausted,
            Self::Stopping => Code::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Thread(_) => "NO_THREAD",
            Self::Refused(_) => "STORE_REFUSES",
            Self::Superseded { .. } => "NODE_SUPERSEDED",
            Self::ModelBroken => "MODEL_BROKEN",
            Self::Protocol(_) => "STORE_PROTOCOL",
            Self::Busy => "QUEUE_FULL",
            Self::Stopping => "STOPPING",
            Self::Run(error) => error.reason(),
        }
    }
}
