//! Files that could not become posts: facts as well, listed beside failed tasks.
//!
//! One entry a file. A later outcome of the same file replaces or clears it.

use rusqlite::{Row, params};

use crate::error::at_most;
use crate::location;
use crate::store::{Store, Write};
use crate::task::{check_reason, kept_message};
use crate::{Error, Now, RootId, WatcherId};

/// Most failures in one call of [`Write::report_ingest_failures`].
pub const MAX_REPORTED: usize = 1_000;
/// Most files told to a watcher at once.
pub const MAX_RETRIES: u32 = 1_000;
/// A file that was to be tried again and of which nothing was heard is told again after this.
const TOLD_AGAIN_MS: i64 = 300_000;

/// A file that could not become a post, as a watcher reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIngestFailure {
    /// The root it lies in.
    pub root: RootId,
    /// Path below the root, exact bytes.
    pub path: Vec<u8>,
    /// Size, bytes.
    pub byte_size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Content, if it could be read.
    pub sha256: Option<[u8; 32]>,
    /// Reason code, `UPPER_SNAKE`.
    pub reason: String,
    /// The same for people; 1,000 characters are kept.
    pub message: String,
}

/// A file that could not become a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestFailure {
    /// Its number.
    pub id: u64,
    /// What was reported last.
    pub reported: NewIngestFailure,
    /// When it was first reported, unix milliseconds.
    pub created_ms: i64,
    /// When it was last reported, unix milliseconds.
    pub updated_ms: i64,
    /// Whether a person wants it tried again and the outcome is not known yet.
    pub retrying: bool,
}

const COLUMNS: &str = "id, root, path, byte_size, mtime_ns, sha256, reason, message, created_ms, \
     updated_ms, retry_due_ms";

fn read(row: &Row<'_>) -> Result<IngestFailure, Error> {
    Ok(IngestFailure {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        reported: NewIngestFailure {
            root: row.get(1)?,
            path: row.get(2)?,
            byte_size: row.get::<_, i64>(3)?.cast_unsigned(),
            mtime_ns: row.get(4)?,
            sha256: row.get(5)?,
            reason: row.get(6)?,
            message: row.get(7)?,
        },
        created_ms: row.get(8)?,
        updated_ms: row.get(9)?,
        retrying: row.get::<_, Option<i64>>(10)?.is_some(),
    })
}

impl Store {
    /// A page of failures behind number `after`, by number.
    pub fn ingest_failures(&self, after: u64, limit: u32) -> Result<Vec<IngestFailure>, Error> {
        let sql =
            format!("SELECT {COLUMNS} FROM ingest_failure WHERE id > ?1 ORDER BY id LIMIT ?2");
        let mut select = self.conn.prepare_cached(&sql)?;
        select
            .query_and_then(params![after.cast_signed(), limit], read)?
            .collect()
    }

    /// Number of failures.
    pub(crate) fn count_ingest_failures(&self) -> Result<u64, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT count(*) FROM ingest_failure")?;
        let count: i64 = select.query_row([], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }
}

impl Write<'_> {
    /// Records files that could not become posts, each in place of what was known of it.
    pub fn report_ingest_failures(
        &mut self,
        failures: &[NewIngestFailure],
        now: Now,
    ) -> Result<(), Error> {
        at_most("ingest failures", failures.len(), MAX_REPORTED)?;
        for failure in failures {
            location::check(failure.root, &failure.path)?;
            check_reason(&failure.reason)?;
            self.root(failure.root)?;
            let size = i64::try_from(failure.byte_size)
                .map_err(|_| Error::invalid("file size", &failure.byte_size, "at most 2^63 - 1"))?;
            self.conn
                .prepare_cached(
                    "INSERT INTO ingest_failure (root, path, byte_size, mtime_ns, sha256, reason, \
                     message, created_ms, updated_ms) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) \
                     ON CONFLICT (root, path) DO UPDATE SET byte_size = excluded.byte_size, \
                     mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256, \
                     reason = excluded.reason, message = excluded.message, \
                     updated_ms = excluded.updated_ms, retry_due_ms = NULL",
                )?
                .execute(params![
                    failure.root,
                    failure.path,
                    size,
                    failure.mtime_ns,
                    failure.sha256,
                    failure.reason,
                    kept_message(&failure.message),
                    now.unix_ms,
                ])?;
            self.end_retry(failure.root, &failure.path)?;
        }
        Ok(())
    }

    /// A person wants a file tried again: its watcher is told. False if there is no such failure.
    pub fn retry_ingest(&mut self, id: u64, now: Now) -> Result<bool, Error> {
        let changed = self
            .conn
            .prepare_cached("UPDATE ingest_failure SET retry_due_ms = ?2 WHERE id = ?1")?
            .execute(params![id.cast_signed(), now.unix_ms])?;
        Ok(changed > 0)
    }

    /// Files that a watcher should look at again, at most [`MAX_RETRIES`]; each is told once, and
    /// again after five minutes without an outcome.
    pub fn take_retries(
        &mut self,
        watcher: WatcherId,
        now: Now,
    ) -> Result<Vec<(RootId, Vec<u8>)>, Error> {
        // Nothing is told later than this: what claims to be was written before the wall clock was
        // set back, and would wait until it catches up.
        let latest = now.unix_ms.saturating_add(TOLD_AGAIN_MS);
        let due: Vec<(i64, RootId, Vec<u8>)> = self
            .conn
            .prepare_cached(
                "SELECT f.id, f.root, f.path FROM ingest_failure f JOIN root r ON r.id = f.root \
                 WHERE r.watcher = ?1 AND f.retry_due_ms IS NOT NULL \
                 AND (f.retry_due_ms <= ?2 OR f.retry_due_ms > ?3) ORDER BY f.id LIMIT ?4",
            )?
            .query_map(params![watcher, now.unix_ms, latest, MAX_RETRIES], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let mut update = self
            .conn
            .prepare_cached("UPDATE ingest_failure SET retry_due_ms = ?2 WHERE id = ?1")?;
        for (id, _, _) in &due {
            update.execute(params![id, latest])?;
        }
        Ok(due
            .into_iter()
            .map(|(_, root, path)| (root, path))
            .collect())
    }

    pub(crate) fn clear_ingest_failure(&mut self, root: RootId, path: &[u8]) -> Result<(), Error> {
        self.conn
            .prepare_cached("DELETE FROM ingest_failure WHERE root = ?1 AND path = ?2")?
            .execute(params![root, path])?;
        Ok(())
    }
}
