//! A post for programs.

use proto::store::v1::{Edits, Location, Post, Prediction, ScoredTag, SourceRecord, TagCategory};
use serde_json::{Value, json};

use crate::words;

/// A post as its JSON object.
pub(crate) fn as_json(post: &Post, full: bool) -> Value {
    let tags: Vec<Value> = post
        .tags
        .iter()
        .map(|t| tag(&t.name, t.category()))
        .collect();
    let mut object = json!({
        "name": post.name,
        "sha256": post.sha256,
        "md5": post.md5,
        "media_type": post.media_type,
        "byte_size": post.byte_size,
        "width": post.width,
        "height": post.height,
        "frames": post.frames,
        "has_alpha": post.has_alpha,
        "partial": post.partial,
        "rating": words::rating(post.rating()),
        "tags": tags,
        "created": post.create_time.map(|time| time.to_string()),
        "trashed": post.trash_time.map(|time| time.to_string()),
        "sample": post.sample.as_ref().map(|sample| json!({
            "width": sample.width,
            "height": sample.height,
            "byte_size": sample.byte_size,
            "sha256": sample.sha256,
            "render_revision": sample.render_revision,
        })),
        "perceptual_hash": post.perceptual_hash,
        "detail": post.detail,
        "colours": post.colours,
    });
    if full {
        object["locations"] = locations(post).into();
        object["predictions"] = predictions(post).into();
        object["edits"] = edits(post.edits.as_ref().unwrap_or(&Edits::default()));
        object["source_records"] = post.source_records.iter().map(source_record).collect();
        object["embedding_models"] = post.embedding_models.clone().into();
    }
    object
}

fn tag(name: &str, category: TagCategory) -> Value {
    json!({"name": name, "category": words::category(category)})
}

fn edits(edits: &Edits) -> Value {
    let tags = edits.tags.iter().map(|edit| {
        json!({
            "name": edit.name,
            "removed": edit.removed,
            "editor": edit.editor,
            "time": edit.time.map(|time| time.to_string()),
        })
    });
    let tags: Vec<Value> = tags.collect();
    json!({
        "tags": tags,
        "rating": words::rating(edits.rating()),
        "rating_editor": edits.rating_editor,
        "rating_time": edits.rating_time.map(|time| time.to_string()),
    })
}

fn source_record(record: &SourceRecord) -> Value {
    let tags = record.tags.iter().map(|t| tag(&t.name, t.category()));
    let tags: Vec<Value> = tags.collect();
    json!({
        "source": record.source,
        "external_id": record.external_id,
        "rating": words::rating(record.rating()),
        "tags": tags,
        "fetched": record.fetch_time.map(|time| time.to_string()),
    })
}

fn locations(post: &Post) -> Vec<Value> {
    let location = |location: &Location| {
        json!({
            "path": location.display_path,
            "root": location.root,
            "state": words::location_state(location.state()),
        })
    };
    post.locations.iter().map(location).collect()
}

/// What a model says, as every command shows it to programs.
pub(crate) fn scored_tags(tags: &[ScoredTag]) -> Vec<Value> {
    let scored = |tag: &ScoredTag| {
        json!({
            "name": tag.name,
            "category": words::category(tag.category()),
            "confidence": tag.confidence,
        })
    };
    tags.iter().map(scored).collect()
}

fn predictions(post: &Post) -> Vec<Value> {
    let prediction = |prediction: &Prediction| {
        json!({
            "model": prediction.model,
            "model_name": prediction.model_name,
            "node": prediction.node,
            "device": prediction.device,
            "render_revision": prediction.render_revision,
            "tags": scored_tags(&prediction.tags),
        })
    };
    post.predictions.iter().map(prediction).collect()
}
