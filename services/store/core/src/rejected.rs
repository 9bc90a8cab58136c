//! Rejected content: what a person threw away for good, so that scans do not bring it back.
//!
//! Where it lies stays known, as for a post: a watcher is told of it like of any other file, and
//! counts stay whole (docs/adr/0004). A content that is allowed again keeps its places until one of
//! its files has been read and has become a post; meanwhile its watchers are told to look again.

use rusqlite::{OptionalExtension, params};

use crate::error::at_most;
use crate::store::{Store, Write};
use crate::{Error, Now, PostId, RootId, WatcherId};

/// Number of a rejected content, from 1, never reused.
pub type RejectedId = u64;

/// Most contents in one call of [`Write::allow_rejected`].
pub const MAX_ALLOWED: usize = 500;
/// Places told of one content.
const PLACES: u32 = 10;
/// Most places told to a watcher at once.
const MAX_RETRIES: u32 = 1_000;
/// A place of which nothing was heard is told again after this.
const TOLD_AGAIN_MS: i64 = 300_000;

/// A rejected content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its number, for paging.
    pub id: RejectedId,
    /// SHA-256 of the original bytes.
    pub sha256: [u8; 32],
    /// When it was rejected, unix milliseconds.
    pub rejected_ms: i64,
    /// Places where it lies or was last seen: root and path. Ten at most.
    pub places: Vec<(RootId, Vec<u8>)>,
}

impl Store {
    /// A page of the rejected contents before number `before`, newest first; `None` for the first
    /// page.
    pub fn rejected(&self, before: Option<RejectedId>, limit: u32) -> Result<Vec<Rejected>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT id, sha256, rejected_ms FROM rejected \
             WHERE id < ?1 AND allowed_ms IS NULL ORDER BY id DESC LIMIT ?2",
        )?;
        let before = before.map_or(i64::MAX, u64::cast_signed);
        let mut page = select
            .query_map(params![before, limit], |row| {
                Ok(Rejected {
                    id: row.get::<_, i64>(0)?.cast_unsigned(),
                    sha256: row.get(1)?,
                    rejected_ms: row.get(2)?,
                    places: Vec::new(),
                })
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let mut places = self
            .conn
            .prepare_cached("SELECT root, path FROM location WHERE rejected = ?1 LIMIT ?2")?;
        for content in &mut page {
            let rows = places.query_map(params![content.id.cast_signed(), PLACES], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            content.places = rows.collect::<Result<_, _>>()?;
        }
        Ok(page)
    }

    /// The number of a content if it is rejected, and not allowed again.
    pub(crate) fn rejected_content(&self, sha256: &[u8; 32]) -> Result<Option<RejectedId>, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT id FROM rejected WHERE sha256 = ?1 AND allowed_ms IS NULL")?;
        let id = select.query_row(params![sha256], |row| row.get::<_, i64>(0));
        Ok(id.optional()?.map(i64::cast_unsigned))
    }
}

impl Write<'_> {
    /// Lets rejected contents become posts again. Watchers are told to look at their files; those
    /// that lie nowhere are as if never seen. Returns how many were rejected.
    pub fn allow_rejected(&mut self, contents: &[[u8; 32]], now: Now) -> Result<u64, Error> {
        at_most("contents", contents.len(), MAX_ALLOWED)?;
        let mut allowed = 0;
        for sha256 in contents {
            let Some(id) = self.rejected_content(sha256)? else {
                continue;
            };
            allowed += 1;
            self.conn
                .prepare_cached("UPDATE rejected SET allowed_ms = ?2 WHERE id = ?1")?
                .execute(params![id.cast_signed(), now.unix_ms])?;
            self.conn
                .prepare_cached(
                    "UPDATE location SET retry_due_ms = ?2 WHERE rejected = ?1 AND state = 1",
                )?
                .execute(params![id.cast_signed(), now.unix_ms])?;
            self.conn
                .prepare_cached(
                    "DELETE FROM rejected WHERE id = ?1 \
                     AND NOT EXISTS (SELECT 1 FROM location WHERE rejected = ?1)",
                )?
                .execute(params![id.cast_signed()])?;
        }
        Ok(allowed)
    }

    /// Files of contents that are allowed again, for their watcher to look at; each is told once,
    /// and again after five minutes without an outcome.
    pub(crate) fn take_allowed(
        &mut self,
        watcher: WatcherId,
        now: Now,
    ) -> Result<Vec<(RootId, Vec<u8>)>, Error> {
        // As for ingest failures: what claims to be due later was written before the wall clock
        // was set back.
        let latest = now.unix_ms.saturating_add(TOLD_AGAIN_MS);
        let due: Vec<(i64, RootId, Vec<u8>)> = self
            .conn
            .prepare_cached(
                "SELECT l.id, l.root, l.path FROM location l JOIN root r ON r.id = l.root \
                 WHERE r.watcher = ?1 AND l.retry_due_ms IS NOT NULL \
                 AND (l.retry_due_ms <= ?2 OR l.retry_due_ms > ?3) ORDER BY l.id LIMIT ?4",
            )?
            .query_map(params![watcher, now.unix_ms, latest, MAX_RETRIES], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut update = self
            .conn
            .prepare_cached("UPDATE location SET retry_due_ms = ?2 WHERE id = ?1")?;
        for (id, _, _) in &due {
            update.execute(params![id, latest])?;
        }
        let places = due.into_iter().map(|(_, root, path)| (root, path));
        Ok(places.collect())
    }

    /// Rejects the content of a post that ends; its places become those of the content.
    pub(crate) fn reject(
        &mut self,
        post: PostId,
        sha256: &[u8; 32],
        now: Now,
    ) -> Result<(), Error> {
        let id: i64 = self
            .conn
            .prepare_cached("INSERT INTO rejected (sha256, rejected_ms) VALUES (?1, ?2)")?
            .insert(params![sha256, now.unix_ms])?;
        self.conn
            .prepare_cached("UPDATE location SET post = NULL, rejected = ?2 WHERE post = ?1")?
            .execute(params![post, id])?;
        Ok(())
    }

    /// A content has become a post: if it was allowed again, its other places are the post's.
    pub(crate) fn readmit(&mut self, post: PostId, sha256: &[u8; 32]) -> Result<(), Error> {
        let id: Option<i64> = self
            .conn
            .prepare_cached("SELECT id FROM rejected WHERE sha256 = ?1")?
            .query_row(params![sha256], |row| row.get(0))
            .optional()?;
        let Some(id) = id else {
            return Ok(());
        };
        self.conn
            .prepare_cached(
                "UPDATE location SET post = ?2, rejected = NULL, retry_due_ms = NULL \
                 WHERE rejected = ?1",
            )?
            .execute(params![id, post])?;
        self.conn
            .prepare_cached("DELETE FROM rejected WHERE id = ?1")?
            .execute(params![id])?;
        Ok(())
    }

    /// The file at a place was looked at, and is no post: there is nothing to tell again.
    pub(crate) fn end_retry(&mut self, root: RootId, path: &[u8]) -> Result<(), Error> {
        self.conn
            .prepare_cached(
                "UPDATE location SET retry_due_ms = NULL \
                 WHERE root = ?1 AND path = ?2 AND retry_due_ms IS NOT NULL",
            )?
            .execute(params![root, path])?;
        Ok(())
    }
}
