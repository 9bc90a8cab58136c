//! Why a command failed, its exit code, and what a person may do about it.

use std::{io, path::PathBuf};

use kit::{Code, Fault};

/// Everything that ends a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command cannot be meant as it was typed.
    #[error("{0}")]
    Usage(String),
    /// What was asked for does not exist.
    #[error("{0}")]
    NoSuchThing(String),
    /// The work could not be done; what to do is in the text.
    #[error("{0}")]
    Failed(String),
    /// Nobody answers at the address of a service.
    #[error("no {what} answers at {address}: {cause}")]
    Unreachable {
        /// `store`, `tagger`…
        what: &'static str,
        /// Where.
        address: String,
        /// What the connection said.
        cause: String,
    },
    /// Waiting took too long.
    #[error("{0}")]
    TooLong(String),
    /// No cluster was ever started on this data folder.
    #[error("no cluster was started with the data folder {} yet", .0.display())]
    NeverStarted(PathBuf),
    /// A service refused the request.
    #[error("{message}")]
    Refused {
        /// Kind of failure.
        code: Code,
        /// Reason code.
        reason: String,
        /// Its text.
        message: String,
    },
    /// The token cannot be used.
    #[error(transparent)]
    Credentials(#[from] kit::auth::Error),
    /// The address is none.
    #[error(transparent)]
    Address(#[from] kit::client::BadAddress),
    /// A file of this machine cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Stdout cannot be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// The system refuses something basic.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: a file that cannot be used.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// Whether somebody closed the pipe that we write to, which is no failure.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What a person may do next.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { what: "store", .. } => {
                "start a cluster on this machine with `kumo up DIR`, or name another with --store ADDR"
            }
            Self::Unreachable {
                what: crate::connection::SIMILARITY,
                ..
            } => {
                "`kumo up` runs one, and its log is DATA/logs/similarity.log; name one elsewhere with \
                 --similarity ADDR"
            }
            Self::NeverStarted(_) => {
                "start one with `kumo up DIR`, or name the folder of yours with --data, or a cluster \
                 elsewhere with --store ADDR --token-file FILE"
            }
            Self::Refused {
                code: Code::Unauthenticated,
                ..
            } => {
                "the token shown is that of --token-file, else DATA/local.token; name the data folder \
                 of the cluster with --data, or make a token there with `kumo token create`"
            }
            Self::Refused {
                code: Code::Internal,
                ..
            } => "the logs of a cluster started by `kumo up` are in DATA/logs",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Usage(_) => Code::InvalidArgument,
            Self::NoSuchThing(_) => Code::NotFound,
            Self::Unreachable { .. } | Self::NeverStarted(_) => Code::Unavailable,
            Self::TooLong(_) => Code::DeadlineExceeded,
            Self::Refused { code, .. } => *code,
            Self::Credentials(error) => error.code(),
            Self::Address(error) => error.code(),
            Self::Failed(_) | Self::File { .. } | Self::Output(_) | Self::System { .. } => {
                Code::FailedPrecondition
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Usage(_) => "USAGE",
            Self::NoSuchThing(_) => "NO_SUCH_THING",
            Self::Unreachable { .. } => "UNREACHABLE",
            Self::NeverStarted(_) => "NEVER_STARTED",
            Self::TooLong(_) => "TOO_LONG",
            Self::Refused { .. } => "REFUSED",
            Self::Credentials(error) => error.reason(),
            Self::Address(error) => error.reason(),
            Self::Failed(_) => "FAILED",
            Self::File { .. } => "FILE",
            Self::Output(_) => "OUTPUT",
            Self::System { .. } => "SYSTEM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code) -> u8 {
        let error = Error::Refused {
            code,
            reason: String::new(),
            message: String::new(),
        };
        error.code().exit_code()
    }

    #[test]
    fn every_kind_of_failure_has_the_exit_code_that_is_documented() {
        assert_eq!(Error::Usage(String::new()).code().exit_code(), 64);
        assert_eq!(Error::NoSuchThing(String::new()).code().exit_code(), 1);
        assert_eq!(Error::Failed(String::new()).code().exit_code(), 1);
        assert_eq!(Error::NeverStarted("/d".into()).code().exit_code(), 69);
        assert_eq!(Error::TooLong(String::new()).code().exit_code(), 69);
        assert_eq!(refused(Code::InvalidArgument), 64);
        assert_eq!(refused(Code::NotFound), 1);
        assert_eq!(refused(Code::Unauthenticated), 77);
        assert_eq!(refused(Code::PermissionDenied), 77);
        assert_eq!(refused(Code::Unavailable), 69);
    }

    #[test]
    fn a_closed_pipe_is_told_from_a_full_disk() {
        let closed = Error::Output(io::ErrorKind::BrokenPipe.into());
        let full = Error::Output(io::ErrorKind::StorageFull.into());
        assert!(closed.is_closed_pipe() && !full.is_closed_pipe());
    }
}
