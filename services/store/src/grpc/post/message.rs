//! Posts as messages, and messages as posts.

use std::cmp::Reverse;

use proto::store::v1::{NewPost, Post, PostTag, Prediction, Sample, ScoredTag, TagCategory};
use store_core::{
    Now, PostId, Store, post,
    prediction::{self, Scored},
};

use super::super::{
    edit, hash,
    location::{self, Roots},
    source_record, tag, timestamp,
};
use crate::Error;

/// Locations of one post that are told; more copies than this are of no use to anybody.
const MAX_LOCATIONS: u32 = 100;

/// Reads posts as messages.
pub(super) struct Reader<'a> {
    store: &'a Store,
    /// Only for full posts.
    roots: Option<Roots>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(store: &'a Store, now: Now, full: bool) -> Result<Self, Error> {
        let roots = match full {
            true => Some(Roots::read(store, now)?),
            false => None,
        };
        Ok(Self { store, roots })
    }

    /// A post, if it exists.
    pub(super) fn post(&mut self, id: PostId) -> Result<Option<Post>, Error> {
        let Some(found) = self.store.post(id)? else {
            return Ok(None);
        };
        let mut message = self.basic(found);
        if let Some(roots) = &self.roots {
            let locations = self.store.locations(id, MAX_LOCATIONS)?;
            message.locations = locations.iter().map(|l| roots.location(l)).collect();
            message.edits = edit::message(self.store, id)?;
            message.source_records = source_record::messages(self.store, id)?;
            let models = self.store.models()?;
            for prediction in self.store.predictions(id)? {
                let model = models.iter().find(|model| model.id == prediction.model);
                let name = model.map_or_else(String::new, |model| model.name.clone());
                message.predictions.push(self.prediction(prediction, name));
            }
            let embedders = self.store.embedding_models(id)?.into_iter();
            message.embedding_models = embedders.map(|model| format!("models/{model}")).collect();
        }
        Ok(Some(message))
    }

    fn basic(&self, post: post::Post) -> Post {
        let content = post.content;
        Post {
            name: format!("posts/{}", post.id),
            sha256: kit::hex::encode(&content.sha256),
            md5: kit::hex::encode(&content.md5),
            media_type: content.media_type,
            byte_size: content.byte_size,
            width: content.width,
            height: content.height,
            frames: content.frames,
            has_alpha: content.has_alpha,
            partial: content.partial,
            rating: edit::rating_message(post.rating).into(),
            tags: self.tags(&post.tags),
            create_time: timestamp(post.created_ms),
            changed_seq: post.changed_seq,
            trash_time: post.trashed_ms.and_then(timestamp),
            detail: content.detail.into(),
            sample: Some(Sample {
                render_revision: content.sample.render_revision,
                byte_size: content.sample.byte_size,
                sha256: kit::hex::encode(&content.sample.sha256),
                width: content.sample.width,
                height: content.sample.height,
            }),
            perceptual_hash: kit::hex::encode(&content.perceptual_hash),
            colours: content.colours,
            ..Post::default()
        }
    }

    /// By category, then name.
    fn tags(&self, ids: &[store_core::TagId]) -> Vec<PostTag> {
        let table = self.store.tags();
        let mut tags: Vec<_> = ids.iter().filter_map(|&id| table.get(id)).collect();
        tags.sort_unstable_by_key(|tag| (tag.category, tag.name));
        let message = |tag: store_core::Tag<'_>| PostTag {
            name: tag.name.to_owned(),
            category: tag::category_message(tag.category).into(),
        };
        tags.into_iter().map(message).collect()
    }

    fn prediction(&self, prediction: prediction::Prediction, model_name: String) -> Prediction {
        Prediction {
            model: format!("models/{}", prediction.model),
            model_name,
            tags: self.scored(&prediction),
            render_revision: prediction.render_revision,
            device: prediction.device_class.as_str().to_owned(),
            node: prediction.node,
            create_time: timestamp(prediction.created_ms),
        }
    }

    /// Labels and ratings, highest confidence first. A rating that got nothing is left out: the
    /// model may not have it.
    fn scored(&self, prediction: &prediction::Prediction) -> Vec<ScoredTag> {
        let table = self.store.tags();
        let ratings = prediction.ratings.into_iter().flatten();
        let ratings = store_core::Rating::ALL.into_iter().zip(ratings);
        let mut scored: Vec<(u16, &str, TagCategory)> = ratings
            .filter(|&(_, score)| score > 0)
            .map(|(rating, score)| (score, rating.as_str(), TagCategory::Rating))
            .collect();
        scored.extend(prediction.labels.iter().filter_map(|label: &Scored| {
            let tag = table.get(label.tag)?;
            let category = tag::category_message(tag.category);
            Some((label.confidence, tag.name, category))
        }));
        scored.sort_by_key(|&(confidence, name, _)| (Reverse(confidence), name));
        let message = |(confidence, name, category): (u16, &str, TagCategory)| ScoredTag {
            name: name.to_owned(),
            category: category.into(),
            confidence: f32::from(confidence) / 65_535.0,
        };
        scored.into_iter().map(message).collect()
    }
}

/// A picture to register. Its trace is the one of the file event, or else that of the call.
pub(super) fn new_post(field: &str, message: NewPost, trace: &str) -> Result<post::NewPost, Error> {
    let location = location::found(field, message.location.clone())?;
    let traceparent = match message.traceparent.as_str() {
        "" => trace.to_owned(),
        text if text.parse::<kit::trace::TraceContext>().is_ok() => text.to_owned(),
        text => {
            let field = format!("{field}.traceparent");
            return Err(Error::field(field, text, "a W3C traceparent of version 00"));
        }
    };
    Ok(post::NewPost {
        content: content(field, message)?,
        location,
        traceparent,
    })
}

fn content(field: &str, message: NewPost) -> Result<post::Content, Error> {
    let at = |name: &str| format!("{field}.{name}");
    let sample = message
        .sample
        .ok_or_else(|| Error::field(at("sample"), "", "it must be given"))?;
    Ok(post::Content {
        sha256: hash(&at("sha256"), &message.sha256)?,
        md5: hash(&at("md5"), &message.md5)?,
        media_type: message.media_type,
        byte_size: message.byte_size,
        width: message.width,
        height: message.height,
        frames: message.frames,
        has_alpha: message.has_alpha,
        partial: message.partial,
        perceptual_hash: hash(&at("perceptual_hash"), &message.perceptual_hash)?,
        detail: match message.detail {
            None => post::NOT_MEASURED,
            Some(detail) => u16::try_from(detail)
                .map_err(|_| Error::field(at("detail"), &detail, "0 to 12750"))?,
        },
        colours: message.colours,
        sample: post::Sample {
            render_revision: sample.render_revision,
            byte_size: sample.byte_size,
            sha256: hash(&at("sample.sha256"), &sample.sha256)?,
            width: sample.width,
            height: sample.height,
        },
    })
}
