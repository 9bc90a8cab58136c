//! Why credentials cannot be used.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::code::{Code, Fault};

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file with a secret cannot be read or made.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Others can read a secret, or a group can change it.
    #[error("{} can be read by others, or changed by a group; run: chmod 600 {}", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
    },
    /// A line of the auth file is not understood.
    #[error("{}, line {line}: {problem}; a line is: NAME SCOPE[,SCOPE…] sha256:HASH [expires:TIME]", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line number from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A token file does not hold a token.
    #[error("{} holds no token: it must be one line of visible ASCII, 16 to 512 characters", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
    },
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::File { .. } | Self::TooOpen { .. } => Code::PermissionDenied,
            Self::Line { .. } | Self::NoToken { .. } => Code::InvalidArgument,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } => "CREDENTIALS_UNREADABLE",
            Self::TooOpen { .. } => "CREDENTIALS_TOO_OPEN",
            Self::Line { .. } => "AUTH_FILE_MALFORMED",
            Self::NoToken { .. } => "TOKEN_FILE_MALFORMED",
        }
    }
}

impl Error {
    /// For `map_err`: a file that cannot be used.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether all that is wrong is that the file is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Refuses a file that others can read or that a group can change. A group may read it: Kubernetes
/// gives a mounted Secret to the group of the process.
pub(super) fn refuse_open(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    if metadata.permissions().mode() & 0o037 == 0 {
        return Ok(());
    }
    Err(Error::TooOpen {
        path: path.to_owned(),
    })
}
