//! Locations: where the files of posts lie. Files come, move and go; posts stay.
//!
//! Nothing here deletes a post, and nothing becomes missing while its root is offline. A location
//! costs about 80 bytes and its path twice. Places of rejected content are locations, too.

use rusqlite::{Row, params};

use crate::error::at_most;
use crate::rejected::RejectedId;
use crate::root::{MAX_PATH, RootState};
use crate::store::{Store, Write};
use crate::{Error, Now, PostId, RootId};

/// Most changes in one call of [`Write::update_locations`].
pub const MAX_CHANGES: usize = 1_000;
/// Most locations in one page of a list.
pub const MAX_PAGE: u32 = 5_000;

/// A file as a watcher found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The root it lies in.
    pub root: RootId,
    /// Path below the root: exact bytes, no leading slash, no NUL.
    pub path: Vec<u8>,
    /// Size, bytes.
    pub byte_size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970; 0 if not known.
    pub ctime_ns: i64,
    /// Device number; 0 if not known.
    pub dev: u64,
    /// Inode number; 0 if not known.
    pub ino: u64,
}

/// Whether a file is where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LocationState {
    /// Seen at the last look.
    Present = 1,
    /// Not there at the last look, while its root was.
    Missing = 2,
}

/// What lies at a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The content of a post.
    Post(PostId),
    /// A content that a person rejected, or that is allowed again and has yet to be read.
    Rejected(RejectedId),
}

/// A file that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Its number, for paging.
    pub id: u64,
    /// The file.
    pub found: Found,
    /// What it holds.
    pub held: Held,
    /// SHA-256 of what it holds.
    pub sha256: [u8; 32],
    /// Whether it is there.
    pub state: LocationState,
}

/// One change of a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocationChange {
    /// The file is there with this content.
    Present(Found, [u8; 32]),
    /// The file is not there any more.
    Missing {
        /// The root it lay in.
        root: RootId,
        /// Path below the root.
        path: Vec<u8>,
    },
    /// The file was seen to move to another place, which has been told already. Its location goes
    /// if the post has another that is present; otherwise it becomes missing, as a location never
    /// goes by absence alone.
    Moved {
        /// The root it lay in.
        root: RootId,
        /// Path below the root.
        path: Vec<u8>,
    },
}

fn read(row: &Row<'_>) -> Result<Location, Error> {
    let id: i64 = row.get(0)?;
    let state = match row.get(9)? {
        1u8 => LocationState::Present,
        2 => LocationState::Missing,
        code => return Err(Error::corrupt(format!("location {id} has state {code}"))),
    };
    Ok(Location {
        id: id.cast_unsigned(),
        found: Found {
            root: row.get(1)?,
            path: row.get(2)?,
            byte_size: row.get::<_, i64>(3)?.cast_unsigned(),
            mtime_ns: row.get(4)?,
            ctime_ns: row.get(5)?,
            dev: row.get::<_, i64>(6)?.cast_unsigned(),
            ino: row.get::<_, i64>(7)?.cast_unsigned(),
        },
        held: match row.get(8)? {
            Some(post) => Held::Post(post),
            None => Held::Rejected(row.get::<_, i64>(10)?.cast_unsigned()),
        },
        sha256: row.get(11)?,
        state,
    })
}

const SELECT: &str = "SELECT l.id, l.root, l.path, l.byte_size, l.mtime_ns, l.ctime_ns, l.dev, \
     l.ino, l.post, l.state, l.rejected, coalesce(p.sha256, r.sha256) FROM location l \
     LEFT JOIN post p ON p.id = l.post LEFT JOIN rejected r ON r.id = l.rejected";

impl Store {
    /// Locations of a post: present ones first, at most `limit`.
    pub fn locations(&self, post: PostId, limit: u32) -> Result<Vec<Location>, Error> {
        let sql = format!("{SELECT} WHERE l.post = ?1 ORDER BY l.state, l.id LIMIT ?2");
        let mut select = self.conn.prepare_cached(&sql)?;
        select.query_and_then(params![post, limit], read)?.collect()
    }

    /// What a content is known as; `None` if it must be read to become a post.
    pub(crate) fn holding(&self, sha256: &[u8; 32]) -> Result<Option<Held>, Error> {
        if let Some(post) = self.post_by_sha256(sha256)? {
            return Ok(Some(Held::Post(post)));
        }
        Ok(self.rejected_content(sha256)?.map(Held::Rejected))
    }

    /// A page of a root's locations behind number `after`, by number; at most [`MAX_PAGE`].
    pub fn root_locations(
        &self,
        root: RootId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Location>, Error> {
        let limit = limit.min(MAX_PAGE);
        let sql = format!("{SELECT} WHERE l.root = ?1 AND l.id > ?2 ORDER BY l.id LIMIT ?3");
        let mut select = self.conn.prepare_cached(&sql)?;
        select
            .query_and_then(params![root, after.cast_signed(), limit], read)?
            .collect()
    }
}

impl Write<'_> {
    /// Records what happened to files whose content may be known, in order. Returns the indexes of
    /// those whose content is not: they must be ingested. Idempotent.
    pub fn update_locations(
        &mut self,
        changes: &[LocationChange],
        now: Now,
    ) -> Result<Vec<u32>, Error> {
        at_most("location changes", changes.len(), MAX_CHANGES)?;
        let mut unknown = Vec::new();
        for (index, change) in (0u32..).zip(changes) {
            match change {
                LocationChange::Present(found, sha256) => {
                    check(found.root, &found.path)?;
                    match self.holding(sha256)? {
                        Some(held) => self.found(held, found, now)?,
                        None => unknown.push(index),
                    }
                }
                LocationChange::Missing { root, path } => self.missing(*root, path)?,
                LocationChange::Moved { root, path } => self.moved(*root, path)?,
            }
        }
        Ok(unknown)
    }

    /// Records that a file with a known content is there. What lay at that path before is
    /// replaced: its post stays, less this location. Tasks that wait for a holder of the post need
    /// wait no longer.
    pub(crate) fn found(&mut self, held: Held, found: &Found, now: Now) -> Result<(), Error> {
        check(found.root, &found.path)?;
        let size = i64::try_from(found.byte_size)
            .map_err(|_| Error::invalid("file size", &found.byte_size, "at most 2^63 - 1"))?;
        self.root(found.root)?;
        if !self.is_known(held, found)? {
            self.replace_location(held, found, size)?;
            if let Held::Post(post) = held {
                self.source_found(post, now)?;
            }
        }
        self.clear_ingest_failure(found.root, &found.path)
    }

    /// Whether exactly this is recorded already: most of what a scan finds, and worth no write.
    fn is_known(&self, held: Held, found: &Found) -> Result<bool, Error> {
        let sql = format!("{SELECT} WHERE l.root = ?1 AND l.path = ?2");
        let mut select = self.conn.prepare_cached(&sql)?;
        let known = select
            .query_and_then(params![found.root, found.path], read)?
            .next()
            .transpose()?;
        Ok(known.is_some_and(|location| {
            location.held == held
                && location.state == LocationState::Present
                && location.found == *found
        }))
    }

    fn replace_location(&mut self, held: Held, found: &Found, size: i64) -> Result<(), Error> {
        let (post, rejected) = match held {
            Held::Post(post) => (Some(post), None),
            Held::Rejected(content) => (None, Some(content.cast_signed())),
        };
        let bound = params![
            found.root,
            found.path,
            post,
            size,
            found.mtime_ns,
            found.ctime_ns,
            found.dev.cast_signed(),
            found.ino.cast_signed(),
            rejected,
        ];
        let updated = self
            .conn
            .prepare_cached(
                "UPDATE location SET post = ?3, rejected = ?9, state = 1, byte_size = ?4, \
                 mtime_ns = ?5, ctime_ns = ?6, dev = ?7, ino = ?8, retry_due_ms = NULL \
                 WHERE root = ?1 AND path = ?2",
            )?
            .execute(bound)?;
        if updated == 0 {
            self.conn
                .prepare_cached(
                    "INSERT INTO location (root, path, post, state, byte_size, mtime_ns, \
                     ctime_ns, dev, ino, rejected) \
                     VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(bound)?;
        }
        Ok(())
    }

    fn moved(&mut self, root: RootId, path: &[u8]) -> Result<(), Error> {
        self.missing(root, path)?;
        // It is missing for certain. Whether it can be forgotten is decided here and not by whoever
        // tells: a post must never lose its last location.
        self.conn
            .prepare_cached(
                "DELETE FROM location WHERE root = ?1 AND path = ?2 AND EXISTS (SELECT 1 FROM \
                 location other WHERE other.state = 1 \
                 AND (other.post = location.post OR other.rejected = location.rejected))",
            )?
            .execute(params![root, path])?;
        Ok(())
    }

    fn missing(&mut self, root: RootId, path: &[u8]) -> Result<(), Error> {
        check(root, path)?;
        if self.root(root)?.seen.state == RootState::Offline {
            return Err(Error::invalid(
                "missing file of root",
                &root,
                "the root is offline, so nothing of it is known to be missing",
            ));
        }
        self.conn
            .prepare_cached(
                "UPDATE location SET state = 2, retry_due_ms = NULL WHERE root = ?1 AND path = ?2",
            )?
            .execute(params![root, path])?;
        self.clear_ingest_failure(root, path)
    }
}

/// Refuses what cannot be a path below a root.
pub(crate) fn check(root: RootId, path: &[u8]) -> Result<(), Error> {
    let rule = if path.is_empty() {
        "it must not be empty"
    } else if path.len() > MAX_PATH {
        "at most 4096 bytes"
    } else if path.contains(&0) {
        "no NUL"
    } else if path[0] == b'/' || path.split(|&b| b == b'/').any(|part| part == b"..") {
        "it must stay below its root"
    } else {
        return Ok(());
    };
    let shown = format!("{root}:{}", String::from_utf8_lossy(path));
    Err(Error::invalid("path", &shown, rule))
}

#[cfg(test)]
mod tests;
