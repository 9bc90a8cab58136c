//! What can go wrong in the watcher.

use std::{io, path::PathBuf};

use kit::{Code, Fault};

use crate::{known, roots};

/// A failure of the watcher, of its start or of one call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder cannot be watched.
    #[error(transparent)]
    Root(#[from] roots::Error),
    /// The table of known files cannot be used.
    #[error(transparent)]
    Known(#[from] known::Error),
    /// The shutdown has begun while there was no room to write the table of known files.
    #[error("stopping while the disk is full: {0}")]
    StoppedUnwritten(known::Error),
    /// As that, and the folders named at the start were to be written.
    #[error(
        "stopping while the disk is full, and the named folders are not remembered: name them \
         again at the next start: {0}"
    )]
    RootsNotRemembered(known::Error),
    /// The thread of the known table has ended.
    #[error(transparent)]
    Worker(#[from] kit::worker::Error),
    /// The store's address cannot be one.
    #[error(transparent)]
    Address(#[from] kit::client::BadAddress),
    /// Serving ended.
    #[error(transparent)]
    Serve(#[from] kit::server::Error),
    /// A folder of ours cannot be used.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store answered what it must not.
    #[error("the store {0}")]
    Store(String),
    /// A part of the watcher has ended before its time.
    #[error("the part {0:?} of the watcher has ended; see the log above")]
    PartEnded(&'static str),
    /// The text is no SHA-256.
    #[error("{0:?} is no SHA-256; write 64 lower-case hexadecimal digits")]
    BadHash(String),
    /// The number stands for no rendition.
    #[error("there is no rendition {0}")]
    BadRendition(i32),
    /// Too much was asked in one call.
    #[error("{got} samples in one call, at most {most} are allowed")]
    TooManySamples {
        /// How many were asked for.
        got: usize,
        /// How many may be.
        most: usize,
    },
    /// The file does not reach so far.
    #[error("offset {offset} lies behind the end of the file, which has {bytes} bytes")]
    BehindTheEnd {
        /// First byte asked for.
        offset: u64,
        /// Size of the file.
        bytes: u64,
    },
    /// No file here has this content.
    #[error("no file of this watcher has the content {0}")]
    NoSuchContent(String),
    /// Files had this content, but cannot be read now.
    #[error("the files with the content {0} are away: their disk is not there, or they moved")]
    Away(String),
    /// The file is there, but its bytes are not those of the post any more.
    #[error("the file with the content {0} has changed since it was read")]
    Changed(String),
    /// There is no sample, and none can be made.
    #[error(
        "there is no sample of {sha256} with render revision {revision}, and none can be made: {why}"
    )]
    NoSample {
        /// The original.
        sha256: String,
        /// The render revision asked for.
        revision: u32,
        /// Why none can be made.
        why: String,
    },
    /// Reading failed.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What was read.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Too many reads are under way.
    #[error("too many files are being read; try again")]
    Busy,
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Root(_)
            | Self::BadHash(_)
            | Self::BadRendition(_)
            | Self::TooManySamples { .. } => Code::InvalidArgument,
            Self::Known(known::Error::InUse(_)) => Code::FailedPrecondition,
            Self::Known(_)
            | Self::PartEnded(_)
            | Self::Store(_)
            | Self::Folder { .. }
            | Self::Read { .. } => Code::Internal,
            Self::Worker(error) => error.code(),
            Self::Address(error) => error.code(),
            Self::Serve(error) => error.code(),
            Self::BehindTheEnd { .. } => Code::OutOfRange,
            Self::NoSuchContent(_) | Self::NoSample { .. } => Code::NotFound,
            Self::Away(_) | Self::StoppedUnwritten(_) | Self::RootsNotRemembered(_) => {
                Code::Unavailable
            }
            Self::Changed(_) => Code::DataLoss,
            Self::Busy => Code::ResourceExhausted,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Root(_) => "BAD_ROOT",
            Self::Known(known::Error::InUse(_)) => "DATA_IN_USE",
            Self::Known(_) => "KNOWN_TABLE",
            Self::StoppedUnwritten(_) => "STOPPING",
            Self::RootsNotRemembered(_) => "ROOTS_NOT_REMEMBERED",
            Self::Worker(error) => error.reason(),
            Self::Address(error) => error.reason(),
            Self::Serve(error) => error.reason(),
            Self::Folder { .. } => "DATA_FOLDER",
            Self::Store(_) => "STORE_ANSWER",
            Self::PartEnded(_) => "PART_ENDED",
            Self::BadHash(_) => "BAD_HASH",
            Self::BadRendition(_) => "BAD_RENDITION",
            Self::TooManySamples { .. } => "TOO_MANY_SAMPLES",
            Self::BehindTheEnd { .. } => "BEHIND_THE_END",
            Self::NoSuchContent(_) => "CONTENT_NOT_FOUND",
            Self::Away(_) => "SOURCE_UNAVAILABLE",
            Self::Changed(_) => "ORIGINAL_CHANGED",
            Self::NoSample { .. } => "SAMPLE_NOT_FOUND",
            Self::Read { .. } => "READ",
            Self::Busy => "BUSY",
        }
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::BehindTheEnd { offset, bytes } => {
                vec![("offset", offset.to_string()), ("bytes", bytes.to_string())]
            }
            Self::NoSuchContent(sha256) | Self::Away(sha256) | Self::Changed(sha256) => {
                vec![("sha256", sha256.clone())]
            }
            Self::NoSample {
                sha256, revision, ..
            } => vec![
                ("sha256", sha256.clone()),
                ("renderRevision", revision.to_string()),
            ],
            _ => Vec::new(),
        }
    }
}
