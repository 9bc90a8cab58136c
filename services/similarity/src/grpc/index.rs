//! What the index holds, as a message.

use std::time::Duration;

use proto::similarity::v1::GetIndexResponse;
use proto::store::v1::Cursor;

use crate::live::Standing;

/// The figures.
pub(super) fn message(standing: Standing, snapshot_every: Duration) -> GetIndexResponse {
    GetIndexResponse {
        posts: standing.posts,
        vectors: standing.vectors,
        lag: standing.lag(),
        cursor: standing.cursor.map(|cursor| Cursor {
            epoch: cursor.epoch,
            seq: cursor.seq,
        }),
        model: standing.model,
        revision: standing.revision,
        dimensions: standing.dimensions,
        following: standing.following,
        snapshot: standing.snapshot.to_owned(),
        snapshot_every: snapshot_every.try_into().ok(),
    }
}
