//! The trash: how a person deletes a post and thinks better of it, and how a post ends.
//!
//! A post in the trash keeps everything; searches pass it by. It ends after thirty days, or when a
//! person says so: then all that is known of it goes, a tombstone stays in the feed, and its
//! content is rejected ([`crate::rejected`]).

use std::collections::HashSet;

use rusqlite::params;

use crate::error::at_most;
use crate::index::Standing;
use crate::store::{Store, Write};
use crate::{Error, Now, PostId};

/// Most posts in one call.
pub const MAX_POSTS: usize = 500;
/// How long a post stays in the trash, milliseconds: 30 days of the wall clock.
pub const KEPT_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// Posts that end in one slice of upkeep.
const SLICE: u32 = 20;

impl Store {
    /// Whether a post has been in the trash for its time.
    pub fn purge_is_due(&self, now: Now) -> Result<bool, Error> {
        Ok(!self.purge_due(now, 1)?.is_empty())
    }

    fn purge_due(&self, now: Now, limit: u32) -> Result<Vec<PostId>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT id FROM post WHERE trashed_ms <= ?1 ORDER BY trashed_ms LIMIT ?2",
        )?;
        let before = now.unix_ms.saturating_sub(KEPT_MS);
        let ids = select.query_map(params![before, limit], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }
}

impl Write<'_> {
    /// Puts posts into the trash, all or none; those that are there stay there as they are.
    /// Returns when the first of them will end, unix milliseconds; `None` if none was named.
    pub fn trash_posts(&mut self, posts: &[PostId], now: Now) -> Result<Option<i64>, Error> {
        check(posts)?;
        let mut first = None;
        for &id in posts {
            let post = self.existing(id)?;
            let since = match post.trashed_ms {
                Some(since) => since,
                None => {
                    self.stand(id, Some(now.unix_ms))?;
                    now.unix_ms
                }
            };
            first = Some(first.map_or(since, |first: i64| first.min(since)));
        }
        Ok(first.map(|since| since.saturating_add(KEPT_MS)))
    }

    /// Takes posts out of the trash, all or none.
    pub fn restore_posts(&mut self, posts: &[PostId]) -> Result<(), Error> {
        check(posts)?;
        for &id in posts {
            self.trashed(id)?;
            self.stand(id, None)?;
        }
        Ok(())
    }

    /// Ends posts that are in the trash, all or none.
    pub fn purge_posts(&mut self, posts: &[PostId], now: Now) -> Result<(), Error> {
        check(posts)?;
        for &id in posts {
            self.trashed(id)?;
            self.purge(id, now)?;
        }
        Ok(())
    }

    /// Ends some posts that have been in the trash for their time. Returns whether more may be
    /// left.
    pub(crate) fn purge_slice(&mut self, now: Now) -> Result<bool, Error> {
        let due = self.purge_due(now, SLICE)?;
        for &id in &due {
            self.purge(id, now)?;
        }
        Ok(due.len() == SLICE as usize)
    }

    fn trashed(&self, id: PostId) -> Result<(), Error> {
        match self.existing(id)?.trashed_ms {
            Some(_) => Ok(()),
            None => Err(Error::NotTrashed { post: id }),
        }
    }

    fn stand(&mut self, id: PostId, trashed_ms: Option<i64>) -> Result<(), Error> {
        let post = self.existing(id)?;
        let seq = self.next_seq();
        self.conn
            .prepare_cached("UPDATE post SET trashed_ms = ?2, changed_seq = ?3 WHERE id = ?1")?
            .execute(params![id, trashed_ms, seq.cast_signed()])?;
        let standing = match trashed_ms {
            Some(_) => Standing::Trashed,
            None => Standing::Live,
        };
        self.stage_standing(&post, standing);
        Ok(())
    }

    /// Forgets a post with all its facts, leaves a tombstone and rejects the content. Its places
    /// stay, as places of rejected content.
    fn purge(&mut self, id: PostId, now: Now) -> Result<(), Error> {
        let before = self.existing(id)?;
        self.drop_tasks_of(id, now)?;
        self.reject(id, &before.content.sha256, now)?;
        for sql in [
            "DELETE FROM prediction WHERE post = ?1",
            "DELETE FROM edit WHERE post = ?1",
            "DELETE FROM edit_rating WHERE post = ?1",
            "DELETE FROM source_record WHERE post = ?1",
            "DELETE FROM post WHERE id = ?1",
        ] {
            self.conn.prepare_cached(sql)?.execute(params![id])?;
        }
        let seq = self.next_seq();
        self.conn
            .prepare_cached("INSERT INTO tombstone (seq, post) VALUES (?1, ?2)")?
            .execute(params![seq.cast_signed(), id])?;
        self.stage_removed(&before);
        Ok(())
    }
}

fn check(posts: &[PostId]) -> Result<(), Error> {
    at_most("posts", posts.len(), MAX_POSTS)?;
    let mut seen = HashSet::with_capacity(posts.len());
    match posts.iter().find(|&&id| !seen.insert(id)) {
        Some(twice) => {
            let name = format!("posts/{twice}");
            Err(Error::invalid("post", &name, "each post comes once"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
