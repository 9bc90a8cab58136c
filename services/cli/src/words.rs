//! The words that people type and read for what the contract numbers.

use proto::{
    node::v1::GetProcessResponse,
    store::v1::{DeviceClass, LocationState, ModelKind, Rating, RootState, TagCategory, TaskState},
};

/// `general`, `sensitive`…; empty if nobody has said.
pub(crate) fn rating(rating: Rating) -> &'static str {
    match rating {
        Rating::Unspecified => "",
        Rating::General => "general",
        Rating::Sensitive => "sensitive",
        Rating::Questionable => "questionable",
        Rating::Explicit => "explicit",
    }
}

/// The rating that a word or its first letter names.
pub(crate) fn rating_named(word: &str) -> Option<Rating> {
    match word {
        "g" | "general" => Some(Rating::General),
        "s" | "sensitive" => Some(Rating::Sensitive),
        "q" | "questionable" => Some(Rating::Questionable),
        "e" | "explicit" => Some(Rating::Explicit),
        _ => None,
    }
}

/// A tag as it is typed, `artist:foo` or `foo`, without white space: its category, if it names one,
/// and its name. A colon behind any other word is part of the name.
pub(crate) fn categorised(tag: &str) -> (TagCategory, &str) {
    let category = |prefix: &str| match prefix {
        "general" => Some(TagCategory::General),
        "character" | "char" => Some(TagCategory::Character),
        "copyright" | "copy" => Some(TagCategory::Copyright),
        "artist" | "art" => Some(TagCategory::Artist),
        "species" => Some(TagCategory::Species),
        "meta" => Some(TagCategory::Meta),
        _ => None,
    };
    let split = tag.split_once(':').filter(|(_, name)| !name.is_empty());
    let known = split.and_then(|(prefix, name)| {
        let category = category(&prefix.to_ascii_lowercase())?;
        Some((category, name))
    });
    known.unwrap_or((TagCategory::Unspecified, tag))
}

/// `general`, `character`…
pub(crate) fn category(category: TagCategory) -> &'static str {
    match category {
        TagCategory::Unspecified => "",
        TagCategory::General => "general",
        TagCategory::Character => "character",
        TagCategory::Copyright => "copyright",
        TagCategory::Artist => "artist",
        TagCategory::Species => "species",
        TagCategory::Meta => "meta",
        TagCategory::Rating => "rating",
    }
}

/// `queued`, `leased`…
pub(crate) fn task_state(state: TaskState) -> &'static str {
    match state {
        TaskState::Unspecified => "",
        TaskState::Queued => "queued",
        TaskState::Leased => "leased",
        TaskState::Parked => "parked",
        TaskState::Failed => "failed",
    }
}

/// What a task is about; a task without a model's kind is one of the watcher.
pub(crate) fn work(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Unspecified => "ingest",
        ModelKind::Tag => "tag",
        ModelKind::Embed => "embed",
    }
}

/// `cpu`, `cuda`…
pub(crate) fn device(device: DeviceClass) -> &'static str {
    match device {
        DeviceClass::Unspecified => "",
        DeviceClass::Cpu => "cpu",
        DeviceClass::Cuda => "cuda",
        DeviceClass::Xpu => "xpu",
        DeviceClass::Rocm => "rocm",
    }
}

/// `online` or `offline`.
pub(crate) fn root_state(state: RootState) -> &'static str {
    match state {
        RootState::Unspecified => "unknown",
        RootState::Online => "online",
        RootState::Offline => "offline",
    }
}

/// `present` or `missing`.
pub(crate) fn location_state(state: LocationState) -> &'static str {
    match state {
        LocationState::Unspecified => "unknown",
        LocationState::Present => "present",
        LocationState::Missing => "missing",
        LocationState::Moved => "moved",
    }
}

/// `ready`, or everything that the process waits for.
pub(crate) fn readiness(process: &GetProcessResponse) -> String {
    if process.ready {
        "ready".to_owned()
    } else if process.not_ready_reasons.is_empty() {
        "not ready".to_owned()
    } else {
        process.not_ready_reasons.join("; ")
    }
}
