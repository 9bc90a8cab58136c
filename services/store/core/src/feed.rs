//! The feed: state, not a log. Each post carries the position of its last change; what is gone
//! leaves a tombstone. A follower that applies every page ends with the store's state.

use rusqlite::params;

use crate::store::{Store, Write};
use crate::{Error, PostId};

/// Most changes in one page.
pub const MAX_CHANGES: u32 = 1_000;

/// A position in the feed of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Identity of the database.
    pub epoch: u64,
    /// Last change seen; 0 for the beginning.
    pub seq: u64,
}

/// A post that changed, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The post.
    pub post: PostId,
    /// Position of the change.
    pub seq: u64,
    /// Whether the post is found no more: it is gone, or in the trash.
    pub deleted: bool,
    /// Whether it is in the trash.
    pub trashed: bool,
}

/// A page of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of their positions.
    pub changes: Vec<Change>,
    /// Where to go on.
    pub cursor: Cursor,
    /// Whether more is there already.
    pub more: bool,
}

impl Store {
    /// The position of the last change.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch(),
            seq: self.seq,
        }
    }

    /// The changes behind a cursor, at most `limit` and [`MAX_CHANGES`]. A cursor of another
    /// database, or one ahead of this one, is refused: [`Error::ResyncRequired`].
    pub fn changes(&self, cursor: Cursor, limit: u32) -> Result<Page, Error> {
        if cursor.epoch != self.epoch() || cursor.seq > self.seq {
            return Err(Error::ResyncRequired {
                epoch: cursor.epoch,
                seq: cursor.seq,
                now_epoch: self.epoch(),
                now_seq: self.seq,
            });
        }
        let limit = limit.clamp(1, MAX_CHANGES);
        let mut select = self.conn.prepare_cached(
            "SELECT seq, post, deleted, trashed FROM ( \
               SELECT * FROM (SELECT changed_seq AS seq, id AS post, \
                 trashed_ms IS NOT NULL AS deleted, trashed_ms IS NOT NULL AS trashed FROM post \
                 WHERE changed_seq > ?1 ORDER BY changed_seq LIMIT ?2) \
               UNION ALL \
               SELECT * FROM (SELECT seq, post, 1, 0 FROM tombstone \
                 WHERE seq > ?1 ORDER BY seq LIMIT ?2) \
             ) ORDER BY seq LIMIT ?2",
        )?;
        let mut changes = select
            .query_map(params![cursor.seq.cast_signed(), limit + 1], |row| {
                Ok(Change {
                    seq: row.get::<_, i64>(0)?.cast_unsigned(),
                    post: row.get(1)?,
                    deleted: row.get(2)?,
                    trashed: row.get(3)?,
                })
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let more = changes.len() > limit as usize;
        changes.truncate(limit as usize);
        let seq = changes.last().map_or(cursor.seq, |change| change.seq);
        Ok(Page {
            changes,
            cursor: Cursor { seq, ..cursor },
            more,
        })
    }

    pub(crate) fn last_seq(&self) -> Result<u64, Error> {
        let seq: i64 = self.conn.query_row(
            "SELECT max((SELECT coalesce(max(changed_seq), 0) FROM post), \
             (SELECT coalesce(max(seq), 0) FROM tombstone))",
            [],
            |row| row.get(0),
        )?;
        Ok(seq.cast_unsigned())
    }
}

impl Write<'_> {
    /// The next position; used for exactly one change of one post.
    pub(crate) fn next_seq(&mut self) -> u64 {
        self.store.seq += 1;
        self.store.seq
    }
}

#[cfg(test)]
mod history;
#[cfg(test)]
mod tests;
