//! Why a call failed, and what the caller is told.

use std::time::Duration;

use kit::{Code, Fault};
use store_core::{Error as Core, index, query};

/// A failure of the store as a service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The truth said no.
    #[error(transparent)]
    Core(#[from] Core),
    /// A query cannot be understood.
    #[error(transparent)]
    Query(#[from] query::Error),
    /// A page token belongs to another query, or is none of ours.
    #[error(transparent)]
    Cursor(#[from] index::CursorError),
    /// A page token is none of ours.
    #[error("page token {token:?} is not one of ours; start from the first page")]
    PageToken {
        /// The token, shortened.
        token: String,
    },
    /// A resource name does not have the form it must have.
    #[error(transparent)]
    Name(#[from] kit::id::BadName),
    /// A field is not what it must be.
    #[error("{field}: {value:?} is not valid: {rule}")]
    Field {
        /// Its path in the request.
        field: String,
        /// What was sent, shortened.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// What is asked for does not fit into one message.
    #[error("the answer would exceed {limit} bytes; ask for fewer at once, or for less of each")]
    AnswerTooLarge {
        /// Largest answer, bytes.
        limit: usize,
    },
    /// Too much work waits already.
    #[error("the store is busy: {waiting} requests wait; try again")]
    Busy {
        /// How many may wait.
        waiting: usize,
    },
    /// The store is stopping, or must be restarted.
    #[error("the store is stopping; try again")]
    Stopping,
    /// A request ran into a mistake of ours; nothing of it remains.
    #[error("a request panicked: {0}")]
    Panicked(String),
    /// The thread that owns the database ended without saying why.
    #[error("the engine died")]
    EngineDied,
    /// The system gave no thread.
    #[error("cannot start the engine")]
    Thread(#[from] std::io::Error),
    /// Serving failed.
    #[error(transparent)]
    Serve(#[from] kit::server::Error),
    /// The first administrator's token cannot be made.
    #[error(transparent)]
    Credentials(#[from] kit::auth::Error),
}

impl Error {
    /// A field that is not what it must be; the value is shortened to 100 characters.
    pub(crate) fn field(
        field: impl Into<String>,
        value: &(impl std::fmt::Display + ?Sized),
        rule: &'static str,
    ) -> Self {
        Self::Field {
            field: field.into(),
            value: value.to_string().chars().take(100).collect(),
            rule,
        }
    }

    /// The same failure for another request of a group that was lost as a whole.
    pub(crate) fn for_neighbour(error: &Core) -> Self {
        Self::Core(match error {
            Core::DiskFull => Core::DiskFull,
            Core::Fatal { what } => Core::Fatal { what: what.clone() },
            Core::Corrupt { what } => Core::Corrupt { what: what.clone() },
            _ => Core::GroupLost,
        })
    }
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Core(error) => core_code(error),
            Self::Query(_)
            | Self::Cursor(_)
            | Self::PageToken { .. }
            | Self::Field { .. }
            | Self::AnswerTooLarge { .. } => Code::InvalidArgument,
            Self::Name(error) => error.code(),
            Self::Busy { .. } => Code::ResourceExhausted,
            Self::Stopping => Code::Unavailable,
            Self::Panicked(_) | Self::EngineDied | Self::Thread(_) => Code::Internal,
            Self::Serve(error) => error.code(),
            Self::Credentials(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Core(error) => core_reason(error),
            Self::Query(_) => "QUERY_SYNTAX",
            Self::Cursor(_) | Self::PageToken { .. } => "PAGE_TOKEN_INVALID",
            Self::Name(error) => error.reason(),
            Self::Field { .. } => "INVALID_FIELD",
            Self::AnswerTooLarge { .. } => "ANSWER_TOO_LARGE",
            Self::Busy { .. } => "STORE_BUSY",
            Self::Stopping => "STORE_STOPPING",
            Self::Panicked(_) => "PANIC",
            Self::EngineDied => "ENGINE_DIED",
            Self::Thread(_) => "NO_THREAD",
            Self::Serve(error) => error.reason(),
            Self::Credentials(error) => error.reason(),
        }
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Query(error) => {
                let mut details = vec![
                    ("position", error.at.to_string()),
                    ("text", error.text.clone()),
                ];
                details.extend(error.suggestion.clone().map(|word| ("suggestion", word)));
                details
            }
            Self::Field { field, value, .. } => {
                vec![("field", field.clone()), ("value", value.clone())]
            }
            Self::Core(Core::NotFound { noun, name }) => {
                vec![("noun", (*noun).to_owned()), ("name", name.clone())]
            }
            Self::Core(Core::NotTrashed { post }) => vec![("post", format!("posts/{post}"))],
            Self::Core(Core::ResyncRequired {
                now_epoch, now_seq, ..
            }) => vec![
                ("epoch", now_epoch.to_string()),
                ("seq", now_seq.to_string()),
            ],
            Self::Core(_)
            | Self::Cursor(_)
            | Self::PageToken { .. }
            | Self::Name(_)
            | Self::AnswerTooLarge { .. }
            | Self::Busy { .. }
            | Self::Stopping
            | Self::Panicked(_)
            | Self::EngineDied
            | Self::Thread(_)
            | Self::Serve(_)
            | Self::Credentials(_) => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { .. } | Self::Core(Core::GroupLost) => Some(Duration::from_millis(100)),
            Self::Stopping | Self::Core(Core::Fatal { .. }) => Some(Duration::from_secs(1)),
            Self::Core(Core::DiskFull) => Some(Duration::from_secs(10)),
            Self::Core(_)
            | Self::Query(_)
            | Self::Cursor(_)
            | Self::PageToken { .. }
            | Self::Name(_)
            | Self::Field { .. }
            | Self::AnswerTooLarge { .. }
            | Self::Panicked(_)
            | Self::EngineDied
            | Self::Thread(_)
            | Self::Serve(_)
            | Self::Credentials(_) => None,
        }
    }
}

fn core_code(error: &Core) -> Code {
    match error {
        Core::Invalid { .. } | Core::TooMany { .. } => Code::InvalidArgument,
        Core::NotFound { .. } => Code::NotFound,
        Core::NodeOfAnother { .. } => Code::PermissionDenied,
        Core::Exhausted { .. } | Core::DiskFull => Code::ResourceExhausted,
        Core::NotRegistered { .. }
        | Core::NotTrashed { .. }
        | Core::InUse { .. }
        | Core::NetworkFileSystem { .. }
        | Core::NewerSchema { .. }
        | Core::File { .. } => Code::FailedPrecondition,
        Core::ResyncRequired { .. } => Code::OutOfRange,
        Core::Corrupt { .. } => Code::DataLoss,
        Core::Fatal { .. } | Core::GroupLost => Code::Unavailable,
        Core::Sqlite { .. } => Code::Internal,
    }
}

fn core_reason(error: &Core) -> &'static str {
    match error {
        Core::Invalid { .. } => "INVALID_VALUE",
        Core::TooMany { .. } => "TOO_MANY",
        Core::NotFound { noun, .. } => match *noun {
            "post" => "NO_SUCH_POST",
            "model" => "NO_SUCH_MODEL",
            "root" => "NO_SUCH_ROOT",
            "node" => "NO_SUCH_NODE",
            "tag" => "NO_SUCH_TAG",
            "source" => "NO_SUCH_SOURCE",
            _ => "NOT_FOUND",
        },
        Core::Exhausted { .. } => "NUMBERS_EXHAUSTED",
        Core::NotRegistered { .. } => "STALE_INCARNATION",
        Core::NodeOfAnother { .. } => "NODE_OF_ANOTHER",
        Core::NotTrashed { .. } => "NOT_TRASHED",
        Core::ResyncRequired { .. } => "RESYNC_REQUIRED",
        Core::InUse { .. } => "STORE_LOCKED",
        Core::NetworkFileSystem { .. } => "NETWORK_FILE_SYSTEM",
        Core::NewerSchema { .. } => "NEWER_SCHEMA",
        Core::Corrupt { .. } => "DATABASE_DAMAGED",
        Core::File { .. } => "DATA_FILE",
        Core::DiskFull => "DISK_FULL",
        Core::Fatal { .. } => "DATABASE_UNTRUSTED",
        Core::GroupLost => "GROUP_LOST",
        Core::Sqlite { .. } => "DATABASE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_query_tells_programs_where() {
        let error = "a ratign:g".parse::<query::Query>().expect_err("is wrong");
        let status = kit::code::status(&Error::from(error));
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert_eq!(kit::code::reason(&status).as_deref(), Some("QUERY_SYNTAX"));
        let details = tonic_types::StatusExt::get_details_error_info(&status).expect("has details");
        assert_eq!(details.metadata["position"], "2");
        assert_eq!(details.metadata["suggestion"], "rating");
    }

    #[test]
    fn a_full_disk_is_told_to_every_writer_of_the_group() {
        let error = Error::for_neighbour(&Core::DiskFull);
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert_eq!(error.reason(), "DISK_FULL");
        let lost = Error::for_neighbour(&Core::TooMany {
            what: "x",
            count: 2,
            limit: 1,
        });
        assert_eq!(
            lost.code(),
            Code::Unavailable,
            "not the neighbour's own fault"
        );
    }
}
