//! The channel of tags, which the store scores: over all posts, not over our candidates.
//!
//! With a filter by a set of posts the best must be the best *of the set*, so each post of it is
//! scored; a set has at most 100,000 posts, ten calls.

use std::time::Duration;

use roaring::RoaringBitmap;
use tonic::{Code, Status};

use super::Missing;
use crate::index::{PostId, TagScores};
use crate::store::{ALSO, Store, TagMatches, is_away};

/// A store that is known to be away is not waited for any longer than this.
pub(super) const HURRY: Duration = Duration::from_millis(500);

/// What to ask.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) post: PostId,
    /// How many of the best count.
    pub(super) pool: usize,
    /// What the other channels found, ascending.
    pub(super) candidates: &'a [PostId],
    /// Only posts that this finds.
    pub(super) query: &'a str,
    /// Only these posts, which `query` finds too.
    pub(super) within: Option<&'a RoaringBitmap>,
}

/// Scores candidates by their tags, and finds further ones.
pub(super) async fn score(
    store: &Store,
    asked: Asked<'_>,
    hurry: bool,
) -> Result<TagScores, Missing> {
    let scoring = async {
        match asked.within {
            None => anywhere(store, asked).await,
            Some(within) => inside(store, asked, within).await,
        }
    };
    let scored = if hurry {
        tokio::time::timeout(HURRY, scoring)
            .await
            .unwrap_or_else(|_| Err(Status::unavailable("it is away")))
    } else {
        scoring.await
    };
    match scored {
        Ok(Some(scores)) => Ok(scores),
        Ok(None) => Err(Missing::NoTags),
        // It was deleted a moment ago.
        Err(status) if status.code() == Code::NotFound => Err(Missing::NoTags),
        Err(status) => {
            if !is_away(&status) {
                tracing::warn!("the store does not match tags: {}", status.message());
            }
            Err(Missing::StoreUnavailable(status.message().to_owned()))
        }
    }
}

async fn anywhere(store: &Store, asked: Asked<'_>) -> Result<Option<TagScores>, Status> {
    let first = &asked.candidates[..asked.candidates.len().min(ALSO)];
    let TagMatches {
        best,
        mut also,
        tags,
    } = store
        .match_tags(asked.post, asked.pool, first, asked.query)
        .await?;
    if tags == 0 {
        return Ok(None);
    }
    for part in asked.candidates[first.len()..].chunks(ALSO) {
        let more = store.match_tags(asked.post, 1, part, asked.query).await?;
        also.extend(more.also);
    }
    Ok(Some(TagScores { best, also }))
}

async fn inside(
    store: &Store,
    asked: Asked<'_>,
    within: &RoaringBitmap,
) -> Result<Option<TagScores>, Status> {
    let posts: Vec<PostId> = within.iter().filter(|post| *post != asked.post).collect();
    let mut scores = Vec::with_capacity(posts.len());
    let mut tags = 0;
    // Also without a post to score: whether there are tags to go by must be known.
    let parts = posts
        .chunks(ALSO)
        .chain(posts.is_empty().then_some(&[][..]));
    for part in parts {
        let scored = store.match_tags(asked.post, 1, part, "").await?;
        scores.extend(scored.also);
        tags = tags.max(scored.tags);
    }
    if tags == 0 {
        return Ok(None);
    }
    let of = |post: &PostId| {
        let place = posts.binary_search(post);
        place.map_or(0.0, |place| scores[place])
    };
    let also = asked.candidates.iter().map(of).collect();
    let mut best: Vec<(PostId, f32)> = posts.iter().copied().zip(scores.iter().copied()).collect();
    best.retain(|(_, score)| *score > 0.0);
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    best.truncate(asked.pool);
    Ok(Some(TagScores { best, also }))
}
