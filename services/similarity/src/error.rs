//! What can go wrong in the similarity service.

use std::borrow::Cow;
use std::time::Duration;

use kit::{Code, Fault};
use tonic::Status;

/// A failure of the similarity service, of its start or of one call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is not what it must be.
    #[error("{field}: {value:?} is not valid: {rule}")]
    Field {
        /// Its path in the request.
        field: &'static str,
        /// What was sent, shortened.
        value: String,
        /// What it must be.
        rule: Cow<'static, str>,
    },
    /// A resource name does not have the form it must have.
    #[error(transparent)]
    Name(#[from] kit::id::BadName),
    /// The vector is of another model.
    #[error(
        "vector.revision: {asked:?} is not the revision served, {serving}; vectors of different \
         revisions cannot be compared"
    )]
    Revision {
        /// What was sent, shortened.
        asked: String,
        /// Revision of the model served.
        serving: String,
    },
    /// There is nothing to compare a vector with.
    #[error(
        "no embedding model is active, so vectors cannot be compared; see `kumo models`, and \
         docs/MODELS.md for how to add one"
    )]
    NoModel,
    /// The post is not known here.
    #[error(
        "posts/{post} is not in the look-alike index: there is no such post, it is in the trash, \
         or it is among the {lag} changes not taken in yet"
    )]
    NoSuchPost {
        /// The post.
        post: u32,
        /// Changes of the feed not taken in.
        lag: u64,
    },
    /// The index is being filled.
    #[error("the look-alike index is still being loaded ({posts} posts so far); try again")]
    Loading {
        /// Posts that are there.
        posts: u64,
    },
    /// The service is being stopped.
    #[error("the service is stopping; try again")]
    Stopping,
    /// A page token belongs to another list, or is none of ours.
    #[error(
        "page token {token:?} does not belong to this list: the arguments are others, or the store \
         was replaced; start from the first page"
    )]
    PageToken {
        /// The token, shortened.
        token: String,
    },
    /// The store does not understand the query.
    #[error("options.query: {message}")]
    Query {
        /// What the store says.
        message: String,
    },
    /// The store is needed and cannot be reached.
    #[error("the store does not answer, and {what} needs it: {message}; try again")]
    StoreAway {
        /// What needs it.
        what: &'static str,
        /// What happened.
        message: String,
    },
    /// The store refuses what it should not, or its answer breaks the contract.
    #[error("the store's answer to {what} cannot be used: {message}")]
    Store {
        /// What was asked.
        what: &'static str,
        /// What it said, or what is wrong with that.
        message: String,
    },
    /// The renderer refused the picture, or there is no renderer.
    #[error(transparent)]
    Renderer(#[from] renderer::Error),
    /// The renderer left out what it was asked for.
    #[error("the renderer made no {0}")]
    NotRendered(&'static str),
    /// Work on a thread of its own did not come to an end.
    #[error("work was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
    /// The store's address cannot be one.
    #[error(transparent)]
    Address(#[from] kit::client::BadAddress),
    /// Serving ended.
    #[error(transparent)]
    Serve(#[from] kit::server::Error),
}

impl Error {
    /// A field that is not what it must be; the value is shortened to 100 characters.
    pub(crate) fn field(
        field: &'static str,
        value: &(impl std::fmt::Display + ?Sized),
        rule: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Field {
            field,
            value: value.to_string().chars().take(100).collect(),
            rule: rule.into(),
        }
    }

    /// A page token that does not fit.
    pub(crate) fn token(token: &str) -> Self {
        Self::PageToken {
            token: token.chars().take(100).collect(),
        }
    }

    /// What a status of the store means for the caller of this service.
    pub(crate) fn of_store(what: &'static str, status: &Status) -> Self {
        let message = status.message().to_owned();
        if kit::retry::is_transient(status) {
            Self::StoreAway { what, message }
        } else {
            Self::Store { what, message }
        }
    }
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Field { .. }
            | Self::Revision { .. }
            | Self::PageToken { .. }
            | Self::Query { .. } => Code::InvalidArgument,
            Self::Name(error) => error.code(),
            Self::NoModel => Code::FailedPrecondition,
            Self::NoSuchPost { .. } => Code::NotFound,
            Self::Loading { .. } | Self::Stopping | Self::StoreAway { .. } => Code::Unavailable,
            Self::Renderer(renderer::Error::Refused(_)) => Code::InvalidArgument,
            Self::Renderer(
                renderer::Error::Source(_)
                | renderer::Error::Missing { .. }
                | renderer::Error::Start { .. }
                | renderer::Error::Closed,
            ) => Code::Unavailable,
            Self::Store { .. } | Self::NotRendered(_) | Self::Interrupted(_) => Code::Internal,
            Self::Address(error) => error.code(),
            Self::Serve(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Field { .. } => "INVALID_FIELD",
            Self::Name(error) => error.reason(),
            Self::Revision { .. } => "WRONG_REVISION",
            Self::NoModel => "NO_MODEL",
            Self::NoSuchPost { .. } => "NO_SUCH_POST",
            Self::Loading { .. } => "INDEX_LOADING",
            Self::Stopping => "STOPPING",
            Self::PageToken { .. } => "PAGE_TOKEN_INVALID",
            Self::Query { .. } => "QUERY_SYNTAX",
            Self::StoreAway { .. } => "STORE_UNAVAILABLE",
            Self::Store { .. } => "STORE_REFUSES",
            Self::Renderer(error) => error.code(),
            Self::NotRendered(_) => "NOT_RENDERED",
            Self::Interrupted(_) => "INTERRUPTED",
            Self::Address(error) => error.reason(),
            Self::Serve(error) => error.reason(),
        }
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Field { field, value, .. } => {
                vec![("field", (*field).to_owned()), ("value", value.clone())]
            }
            Self::Revision { asked, serving } => vec![
                ("field", "vector.revision".to_owned()),
                ("value", asked.clone()),
                ("serving", serving.clone()),
            ],
            Self::NoSuchPost { post, lag } => {
                vec![("post", format!("posts/{post}")), ("lag", lag.to_string())]
            }
            Self::Query { .. } => vec![("field", "options.query".to_owned())],
            Self::Loading { posts } => vec![("posts", posts.to_string())],
            Self::Name(_)
            | Self::NoModel
            | Self::Stopping
            | Self::PageToken { .. }
            | Self::StoreAway { .. }
            | Self::Store { .. }
            | Self::Renderer(_)
            | Self::NotRendered(_)
            | Self::Interrupted(_)
            | Self::Address(_)
            | Self::Serve(_) => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Loading { .. } | Self::Stopping | Self::StoreAway { .. } => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }
}
