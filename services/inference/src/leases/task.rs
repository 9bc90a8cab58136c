//! A leased task as the loop sees it, and the lease that fences every word about it.

use std::path::PathBuf;
use std::sync::Arc;

use kit::trace::TraceContext;

/// A node's right to a task: its name, and the token of this grant of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Lease {
    /// `tasks/77`.
    pub(super) task: Arc<str>,
    /// Epoch and counter.
    pub(super) token: (u64, u64),
}

/// One picture to be run.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) lease: Lease,
    /// The original's SHA-256 in hexadecimal: the sample's name.
    pub(super) sha256: String,
    pub(super) render_revision: u32,
    /// Length of the sample in bytes.
    pub(super) sample_bytes: u32,
    /// What the sample must hash to.
    pub(super) sample_sha256: [u8; 32],
    /// Where it may lie on this machine's disk, best first.
    pub(super) paths: Vec<PathBuf>,
    /// Watchers that serve it, best first.
    pub(super) addresses: Vec<String>,
    /// The place of this task in the trace of its file.
    pub(super) trace: TraceContext,
}

/// How a task failed, in the store's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It will never work.
    Permanent,
    /// It may work later; costs an attempt.
    Transient,
    /// Nobody could give the sample; costs nothing.
    SourceUnavailable,
}

/// A task that could not be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// UPPER_SNAKE.
    pub(super) reason: String,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(cause: Cause, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            cause,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// A failure of preparing or running; the picture's own fault is final.
    pub(super) fn of(error: &crate::Error) -> Self {
        let cause = if error.blames_picture() {
            Cause::Permanent
        } else {
            Cause::Transient
        };
        let reason = match error {
            crate::Error::NotFinite { .. } | crate::Error::NoDirection { .. } => {
                "MODEL_OUTPUT_INVALID"
            }
            other => other.reason(),
        };
        Self::new(cause, reason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_answers_nothing_usable_blames_no_picture_for_good() {
        let not_finite = crate::Error::NotFinite {
            row: 1,
            column: 2,
            value: f32::NAN,
        };
        for error in [not_finite, crate::Error::NoDirection { length: 0.0 }] {
            let failure = Failure::of(&error);
            assert_eq!(failure.cause, Cause::Transient);
            assert_eq!(failure.reason, "MODEL_OUTPUT_INVALID");
        }
        let damaged = Failure::of(&crate::Error::picture("half of it is missing"));
        assert_eq!(damaged.cause, Cause::Permanent);
    }
}
