//! Running time: a clock that counts only while the store runs, over all its starts. What is
//! thrown away by time goes by it, for a wall clock that is set wrong would throw away everything.

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{Store, Write};
use crate::{Error, Now};

/// It is written this often while somebody goes by it, so that a start loses no more.
const WRITTEN_EVERY_MS: i64 = 300_000;

/// The running time at one reading of the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    before_ms: i64,
    opened_mono_ms: u64,
}

impl Running {
    /// Goes on from what was written last.
    pub(crate) fn read(conn: &Connection, now: Now) -> Result<Self, Error> {
        Ok(Self {
            before_ms: written(conn)?,
            opened_mono_ms: now.mono_ms,
        })
    }

    fn at(self, now: Now) -> i64 {
        let since = now.mono_ms.saturating_sub(self.opened_mono_ms);
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        self.before_ms.saturating_add(since)
    }
}

fn written(conn: &Connection) -> Result<i64, Error> {
    let mut select = conn.prepare_cached("SELECT value FROM meta WHERE key = 'ran_ms'")?;
    let value = select
        .query_row([], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(value.unwrap_or(0).max(0))
}

impl Store {
    /// How long the store has run since it was made, milliseconds.
    pub(crate) fn ran_ms(&self, now: Now) -> i64 {
        self.running.at(now)
    }

    /// Whether so much of it is unwritten that it should be.
    pub(crate) fn running_is_stale(&self, now: Now) -> Result<bool, Error> {
        let kept = written(&self.conn)?.saturating_add(WRITTEN_EVERY_MS);
        Ok(kept <= self.ran_ms(now))
    }
}

impl Write<'_> {
    /// Writes how long the store has run.
    pub(crate) fn write_running(&mut self, now: Now) -> Result<(), Error> {
        self.conn
            .prepare_cached(
                "INSERT INTO meta (key, value) VALUES ('ran_ms', ?1) \
                 ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
            )?
            .execute(params![self.ran_ms(now)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
