//! What the store says of posts, as the index takes it.

use std::sync::Arc;

use proto::store::v1::{Cursor, PostEmbedding};
use renderer::PerceptualHash;

use super::Trouble;
use crate::colours::Colours;
use crate::index::{Entry, PostId};
use crate::live::Live;
use crate::snapshot::Position;
use crate::store::BATCH;

/// What is known of one post.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) post: PostId,
    vector: bytes::Bytes,
    hash: Option<PerceptualHash>,
    colours: Option<Colours>,
}

/// A position, which must be there.
pub(super) fn position(cursor: Option<Cursor>) -> Result<Position, Trouble> {
    let cursor = cursor.ok_or_else(|| Trouble::Broken("sends no cursor".to_owned()))?;
    Ok(Position {
        epoch: cursor.epoch,
        seq: cursor.seq,
    })
}

/// The number of a post.
pub(super) fn number(name: &str) -> Result<PostId, Trouble> {
    kit::id::parse("posts/", name).map_err(|error| Trouble::Broken(error.to_string()))
}

/// Reads messages; vectors only if there is a model that they are of.
pub(super) fn read(posts: Vec<PostEmbedding>, vectors: bool) -> Result<Vec<Found>, Trouble> {
    let found = posts.into_iter().map(|post| {
        let bits = kit::hex::decode(&post.perceptual_hash);
        Ok(Found {
            post: number(&post.post)?,
            vector: if vectors {
                post.vector
            } else {
                bytes::Bytes::new()
            },
            hash: bits.map(|bits| PerceptualHash {
                bits,
                detail: u16::try_from(post.detail).unwrap_or(u16::MAX),
            }),
            colours: Colours::parse(&post.colours),
        })
    });
    found.collect()
}

/// Puts posts into the index, few at a time, so that nobody waits long for the lock.
pub(super) async fn put(live: &Arc<Live>, mut found: Vec<Found>) -> Result<(), crate::Error> {
    while !found.is_empty() {
        let rest = found.split_off(found.len().min(BATCH));
        let part = std::mem::replace(&mut found, rest);
        let refused = live.change(move |view| {
            view.version += 1;
            let put = part.iter().filter_map(|post| {
                let entry = Entry {
                    vector: Some(&post.vector[..]).filter(|vector| !vector.is_empty()),
                    hash: post.hash,
                    colours: post.colours,
                };
                let refused = view.index.put(post.post, &entry).err()?;
                // Its vector is of no use; the rest of what is known of it is.
                let rest = Entry {
                    vector: None,
                    ..entry
                };
                let told = match view.index.put(post.post, &rest) {
                    Ok(()) => refused,
                    Err(worse) => worse,
                };
                Some(format!("posts/{}: {told}", post.post))
            });
            let refused: Vec<String> = put.collect();
            refused
        });
        let refused = refused.await?;
        if let Some(first) = refused.first() {
            tracing::warn!(
                posts = refused.len(),
                "the store has {} vectors that cannot be used, such as that of {first}",
                refused.len()
            );
        }
    }
    Ok(())
}
