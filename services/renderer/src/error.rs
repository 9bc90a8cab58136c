//! What can go wrong with a picture or with the renderer, each with its reason code.

use std::io;
use std::path::PathBuf;

/// Why a picture was refused. The codes are part of the public contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The file has no bytes.
    EmptyFile,
    /// The bytes are of no picture format we know of.
    NotAPicture,
    /// A picture, but of a format, or a variant of one, that is not decoded here.
    UnsupportedFormat,
    /// The file ends before there is a picture to show.
    Truncated,
    /// The bytes contradict the format.
    Corrupt,
    /// Wider, higher or with more pixels than the limits allow.
    DimensionsTooLarge,
    /// More bytes than the limits allow.
    TooLarge,
    /// Decoding would need more memory than the child may have.
    OutOfMemory,
    /// Decoding took longer than a picture may.
    TimeLimit,
    /// The child died or spoke nonsense while it had this picture.
    RendererCrashed,
}

impl Reason {
    /// Every reason, in the order of its number on the wire.
    pub const ALL: [Self; 10] = [
        Self::EmptyFile,
        Self::NotAPicture,
        Self::UnsupportedFormat,
        Self::Truncated,
        Self::Corrupt,
        Self::DimensionsTooLarge,
        Self::TooLarge,
        Self::OutOfMemory,
        Self::TimeLimit,
        Self::RendererCrashed,
    ];

    /// The stable code, for instance `NOT_A_PICTURE`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::EmptyFile => "EMPTY_FILE",
            Self::NotAPicture => "NOT_A_PICTURE",
            Self::UnsupportedFormat => "UNSUPPORTED_FORMAT",
            Self::Truncated => "TRUNCATED",
            Self::Corrupt => "CORRUPT",
            Self::DimensionsTooLarge => "DIMENSIONS_TOO_LARGE",
            Self::TooLarge => "TOO_LARGE",
            Self::OutOfMemory => "OUT_OF_MEMORY",
            Self::TimeLimit => "TIME_LIMIT",
            Self::RendererCrashed => "RENDERER_CRASHED",
        }
    }

    pub(crate) fn to_wire(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A picture that was refused: the reason for programs, the detail for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// What was found, in words. Written by the confined child: printable, at most 512 bytes.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

/// What [`crate::Pool::render`] can answer instead of renditions.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The picture's own fault, or it was lost with its child: permanent for these bytes.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The bytes could not be read; says nothing about the picture.
    #[error("cannot read the picture's bytes: {0}")]
    Source(#[source] io::Error),
    /// There is no renderer program where one was expected.
    #[error(
        "no kumo-renderer at {}: install it beside this program, or name its path",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The program is there but does not come up.
    #[error("cannot start {}: {detail}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// What happened.
        detail: String,
    },
    /// The pool is being dropped.
    #[error("the renderer pool is closed")]
    Closed,
}

impl Error {
    /// The stable reason code: [`Reason::code`], `SOURCE_UNREADABLE` or `RENDERER_UNAVAILABLE`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason.code(),
            Self::Source(_) => "SOURCE_UNREADABLE",
            Self::Missing { .. } | Self::Start { .. } | Self::Closed => "RENDERER_UNAVAILABLE",
        }
    }

    /// The reason, when it is the picture that was refused.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason),
            Self::Source(_) | Self::Missing { .. } | Self::Start { .. } | Self::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_survives_the_wire() {
        for (number, reason) in (0..).zip(Reason::ALL) {
            assert_eq!(reason.to_wire(), number);
            assert_eq!(Reason::from_wire(number), Some(reason));
        }
        assert_eq!(Reason::from_wire(10), None);
    }
}
