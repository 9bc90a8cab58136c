//! The trash: how a person deletes a post and thinks better of it, and how a post ends.
//!
//! A post in the trash keeps everything; searches pass it by. It ends after thirty days, or when a
//! person says so: then all that is known of it goes, a tombstone stays in the feed, and its
//! content is rejected ([`crate::rejected`]). The thirty days are running time of the store, so that
//! a wall clock that is set wrong ends nothing.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};

use crate::error::at_most;
use crate::index::Standing;
use crate::source_record::Room;
use crate::store::{Store, Write};
use crate::{Error, Now, PostId};

/// Most posts in one call.
pub const MAX_POSTS: usize = 500;
/// How long a post stays in the trash, milliseconds: 30 days of the store's running time.
pub const KEPT_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// Posts of which everything goes in one request: a quarter of a millisecond each.
const SLICE: u32 = 40;
/// In place of the running time at which a post was put into the trash: a person ended it, and
/// nothing brings it back.
const ENDED: i64 = -1;

impl Store {
    /// Whether upkeep has to look after the trash: a post has been there for its time, or it is
    /// to be written down how long the others have. While the trash is empty, never.
    pub fn trash_is_due(&self, now: Now) -> Result<bool, Error> {
        let mut first = self.conn.prepare_cached(
            "SELECT min(trashed_ran_ms) FROM post WHERE trashed_ran_ms IS NOT NULL",
        )?;
        let Some(first) = first.query_row([], |row| row.get::<_, Option<i64>>(0))? else {
            return Ok(false);
        };
        Ok(first <= self.due_since(now) || self.running_is_stale(now)?)
    }

    /// What was put into the trash at this running time, or before it, is to end.
    fn due_since(&self, now: Now) -> i64 {
        self.ran_ms(now).saturating_sub(KEPT_MS).max(ENDED)
    }

    /// The running time at which a post was put into the trash; `None` if it is not there. One
    /// that was ended is none any more.
    fn trashed_since(&self, id: PostId) -> Result<Option<i64>, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT trashed_ran_ms FROM post WHERE id = ?1")?;
        let since = select.query_row(params![id], |row| row.get::<_, Option<i64>>(0));
        match since.optional()? {
            Some(since) if since != Some(ENDED) => Ok(since),
            Some(_) | None => Err(Error::not_found("post", &format!("posts/{id}"))),
        }
    }

    fn trashed(&self, id: PostId) -> Result<i64, Error> {
        self.trashed_since(id)?
            .ok_or(Error::NotTrashed { post: id })
    }

    /// Some that were put into the trash at a running time or before it; those first that a person
    /// ended.
    fn trashed_before(&self, ran_ms: i64, limit: u32) -> Result<Vec<PostId>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT id FROM post WHERE trashed_ran_ms <= ?1 ORDER BY trashed_ran_ms LIMIT ?2",
        )?;
        let ids = select.query_map(params![ran_ms, limit], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }
}

impl Write<'_> {
    /// Puts posts into the trash, all or none; those that are there stay there as they are.
    /// Returns when the first of them will end if the store runs all the time, unix milliseconds;
    /// `None` if none was named.
    pub fn trash_posts(&mut self, posts: &[PostId], now: Now) -> Result<Option<i64>, Error> {
        check(posts)?;
        self.write_running(now)?;
        let mut first = None;
        for &id in posts {
            let since = match self.trashed_since(id)? {
                Some(since) => since,
                None => {
                    self.stand(id, Some(now))?;
                    self.ran_ms(now)
                }
            };
            first = Some(first.map_or(since, |first: i64| first.min(since)));
        }
        Ok(first.map(|since| {
            let left = since
                .saturating_add(KEPT_MS)
                .saturating_sub(self.ran_ms(now));
            now.unix_ms.saturating_add(left.max(0))
        }))
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

    /// Ends posts that are in the trash, all or none: nothing brings them back any more. What is
    /// known of them goes in slices, the first one in this request. Returns whether more are left,
    /// for [`Write::purge_ended`]; upkeep would come to them too.
    pub fn purge_posts(&mut self, posts: &[PostId], now: Now) -> Result<bool, Error> {
        check(posts)?;
        for &id in posts {
            self.trashed(id)?;
            self.end(id)?;
        }
        self.purge_ended(now)
    }

    /// Forgets some posts that a person ended. Returns whether more may be left.
    pub fn purge_ended(&mut self, now: Now) -> Result<bool, Error> {
        self.purge_before(ENDED, now)
    }

    /// Ends some posts that have been in the trash for their time. Returns whether more may be
    /// left. Writes down from time to time how long the others have been there.
    pub(crate) fn purge_slice(&mut self, now: Now) -> Result<bool, Error> {
        if !self.trash_is_due(now)? {
            return Ok(false);
        }
        self.write_running(now)?;
        self.purge_before(self.due_since(now), now)
    }

    fn purge_before(&mut self, ran_ms: i64, now: Now) -> Result<bool, Error> {
        let due = self.trashed_before(ran_ms, SLICE)?;
        let mut room = Room::default();
        for &id in &due {
            let of_post = "SELECT id, length(raw) FROM source_record WHERE post = ?1";
            if self.drop_records(of_post, params![id], &mut room)?.1 {
                // Nothing may bring it back with a part of what it was.
                self.end(id)?;
                return Ok(true);
            }
            self.purge(id, now)?;
        }
        Ok(due.len() == SLICE as usize)
    }

    fn end(&mut self, id: PostId) -> Result<(), Error> {
        self.conn
            .prepare_cached("UPDATE post SET trashed_ran_ms = ?2 WHERE id = ?1")?
            .execute(params![id, ENDED])?;
        Ok(())
    }

    /// Puts a post into the trash, since then, or takes it out.
    fn stand(&mut self, id: PostId, since: Option<Now>) -> Result<(), Error> {
        let post = self.existing(id)?;
        let seq = self.next_seq();
        self.conn
            .prepare_cached(
                "UPDATE post SET trashed_ms = ?2, trashed_ran_ms = ?3, changed_seq = ?4 \
                 WHERE id = ?1",
            )?
            .execute(params![
                id,
                since.map(|now| now.unix_ms),
                since.map(|now| self.ran_ms(now)),
                seq.cast_signed()
            ])?;
        let standing = match since {
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
