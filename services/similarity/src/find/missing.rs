//! Why a channel took no part, for programs and for people.

/// Why a channel took no part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    #[error("no embedding model is active; `kumo models` lists them, docs/MODELS.md adds one")]
    NoModel,
    #[error(
        "no embedding node is awake; one was asked for, so try again in a moment, or wait for it \
         (`wait`, or --wait)"
    )]
    NoEmbedder,
    #[error("the embedding node {node} could not be used: {why}; try again")]
    EmbedderFailed { node: String, why: String },
    #[error(
        "the model has not seen this post yet; its turn comes, and `kumo status` says how much is \
         before it"
    )]
    NotEmbedded,
    #[error("the picture is nearly blank, so its hash says nothing")]
    NearBlank,
    #[error("the post has no tags to go by")]
    NoTags,
    #[error("what was asked about has nothing of this kind")]
    NotInSubject,
    #[error("the store was needed for this and did not answer: {0}; try again")]
    StoreUnavailable(String),
}

impl Missing {
    /// The reason code.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoModel => "NO_MODEL",
            Self::NoEmbedder => "NO_EMBEDDER",
            Self::EmbedderFailed { .. } => "EMBEDDER_FAILED",
            Self::NotEmbedded => "NOT_EMBEDDED",
            Self::NearBlank => "NEAR_BLANK",
            Self::NoTags => "NO_TAGS",
            Self::NotInSubject => "NOT_IN_SUBJECT",
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
        }
    }
}
