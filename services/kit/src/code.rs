//! One mapping from errors to gRPC: the only place where a [`Status`] is built.
//!
//! Every service has one error enum; each variant says its [`Code`] and a reason code by an
//! exhaustive match. Clients get the reason in `google.rpc.ErrorInfo` and can act on it; what went
//! wrong inside is logged here and never sent.

use std::{collections::HashMap, time::Duration};

use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "kumobooru";

/// What kind of failure it was, as far as a caller must tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request can never work as it is.
    InvalidArgument,
    /// There is no such thing.
    NotFound,
    /// The request is fine, but not in the present state.
    FailedPrecondition,
    /// A position that is no longer, or not yet, there.
    OutOfRange,
    /// A limit was reached; later may work.
    ResourceExhausted,
    /// Nobody answers now; later may work.
    Unavailable,
    /// It took too long.
    DeadlineExceeded,
    /// Who are you?
    Unauthenticated,
    /// You may not.
    PermissionDenied,
    /// Bytes are not what they were.
    DataLoss,
    /// Our mistake, or the machine's. The text stays in the log.
    Internal,
}

impl Code {
    fn grpc(self) -> tonic::Code {
        match self {
            Self::InvalidArgument => tonic::Code::InvalidArgument,
            Self::NotFound => tonic::Code::NotFound,
            Self::FailedPrecondition => tonic::Code::FailedPrecondition,
            Self::OutOfRange => tonic::Code::OutOfRange,
            Self::ResourceExhausted => tonic::Code::ResourceExhausted,
            Self::Unavailable => tonic::Code::Unavailable,
            Self::DeadlineExceeded => tonic::Code::DeadlineExceeded,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::PermissionDenied => tonic::Code::PermissionDenied,
            Self::DataLoss => tonic::Code::DataLoss,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// The exit code of a program that ends with such a failure (sysexits where one fits).
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::InvalidArgument => 64,
            Self::Unavailable | Self::DeadlineExceeded => 69,
            Self::Unauthenticated | Self::PermissionDenied => 77,
            Self::NotFound
            | Self::FailedPrecondition
            | Self::OutOfRange
            | Self::ResourceExhausted
            | Self::DataLoss => 1,
            Self::Internal => 70,
        }
    }
}

/// An error that knows how it looks from outside.
pub trait Fault: std::error::Error {
    /// What kind of failure it is.
    fn code(&self) -> Code;

    /// Reason code, UPPER_SNAKE, at most 63 characters; stable, so that programs can act on it.
    fn reason(&self) -> &'static str;

    /// The variables of the message, for programs.
    fn details(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// When it is worth trying again.
    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// Turns an error into what the client sees. [`Code::Internal`] is logged with its sources, and the
/// client is told only where to look.
#[must_use]
pub fn status(fault: &(impl Fault + ?Sized)) -> Status {
    let message = match fault.code() {
        Code::Internal => {
            tracing::error!(error.reason = fault.reason(), "{}", chain(fault));
            "internal error; the log of the service says what".to_owned()
        }
        _ => fault.to_string(),
    };
    let metadata: HashMap<String, String> = fault
        .details()
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    build(
        fault.code(),
        fault.reason(),
        message,
        metadata,
        fault.retry_after(),
    )
}

/// A status for a failure of the plumbing itself (the layers), which has no error enum.
pub(crate) fn plain(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    let retry = matches!(code, Code::ResourceExhausted | Code::Unavailable)
        .then_some(Duration::from_secs(1));
    build(code, reason, message.into(), HashMap::new(), retry)
}

fn build(
    code: Code,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    retry_after: Option<Duration>,
) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    if let Some(delay) = retry_after {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(code.grpc(), message, details)
}

/// The reason code in a status from one of our services.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == DOMAIN).then_some(info.reason)
}

/// How long the server asked to wait before the next try.
#[must_use]
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

/// The kind of failure that a received status stands for.
#[must_use]
pub fn of(status: &Status) -> Code {
    match status.code() {
        tonic::Code::InvalidArgument => Code::InvalidArgument,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::FailedPrecondition | tonic::Code::Aborted | tonic::Code::AlreadyExists => {
            Code::FailedPrecondition
        }
        tonic::Code::OutOfRange => Code::OutOfRange,
        tonic::Code::ResourceExhausted => Code::ResourceExhausted,
        tonic::Code::Unavailable | tonic::Code::Cancelled => Code::Unavailable,
        tonic::Code::DeadlineExceeded => Code::DeadlineExceeded,
        tonic::Code::Unauthenticated => Code::Unauthenticated,
        tonic::Code::PermissionDenied => Code::PermissionDenied,
        tonic::Code::DataLoss => Code::DataLoss,
        tonic::Code::Ok
        | tonic::Code::Unknown
        | tonic::Code::Unimplemented
        | tonic::Code::Internal => Code::Internal,
    }
}

/// An error with its sources, `a: b: c`; what a log line needs.
#[must_use]
pub fn chain(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Broken {
        #[error("there is no post {0}")]
        NoPost(u32),
        #[error("row 7 holds a secret")]
        Inside,
    }

    impl Fault for Broken {
        fn code(&self) -> Code {
            match self {
                Self::NoPost(_) => Code::NotFound,
                Self::Inside => Code::Internal,
            }
        }
        fn reason(&self) -> &'static str {
            match self {
                Self::NoPost(_) => "NO_SUCH_POST",
                Self::Inside => "INSIDE",
            }
        }
        fn details(&self) -> Vec<(&'static str, String)> {
            match self {
                Self::NoPost(post) => vec![("post", post.to_string())],
                Self::Inside => vec![],
            }
        }
    }

    #[test]
    fn a_client_reads_back_the_reason_and_the_variables() {
        let status = status(&Broken::NoPost(7));
        assert_eq!(status.code(), tonic::Code::NotFound);
        assert_eq!(status.message(), "there is no post 7");
        assert_eq!(reason(&status).as_deref(), Some("NO_SUCH_POST"));
        let info = status.get_details_error_info().expect("has an ErrorInfo");
        assert_eq!(info.metadata["post"], "7");
    }

    #[test]
    fn what_is_internal_stays_inside() {
        let status = status(&Broken::Inside);
        assert!(!status.message().contains("secret"));
        assert_eq!(reason(&status).as_deref(), Some("INSIDE"));
    }
}
