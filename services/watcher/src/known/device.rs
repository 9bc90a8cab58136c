//! Devices in the known table. A disk gets a number when it is mounted, and may get another one the
//! next time, also one that was another disk's.

use rusqlite::{Transaction, params};

use super::{Error, Known};
use crate::place::{RootId, join};

impl Known {
    /// Some files of a root that should be there and were last seen on device `dev`.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn on_device(&mut self, root: RootId, dev: u64, limit: u32) -> Result<Vec<Vec<u8>>, Error> {
        self.run(|db| {
            let mut query = db.prepare_cached(
                "SELECT dir.path, file.name FROM dir JOIN file ON file.dir = dir.id
                 WHERE dir.root = ?1 AND file.dev = ?2 AND file.state < 3 LIMIT ?3",
            )?;
            let rows = query.query_map(params![root.0, dev.cast_signed(), limit], |row| {
                let (dir, name): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
                Ok(join(&dir, &name))
            })?;
            rows.collect()
        })
    }

    /// What lay on device `old` lies on `new` now, all of it, seen again or not. `was_another`:
    /// what was noted under `new` lies on another disk, whose number that was.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn renumber(
        &mut self,
        root: RootId,
        (old, new): (u64, u64),
        was_another: bool,
    ) -> Result<(), Error> {
        self.run(|db| {
            if was_another {
                displace(db, root, new.cast_signed())?;
            }
            renumber(db, root, old.cast_signed(), new.cast_signed())
        })
    }
}

/// Gives the files of a root that are noted under `old` the number `new`.
pub(super) fn renumber(
    db: &Transaction<'_>,
    root: RootId,
    old: i64,
    new: i64,
) -> rusqlite::Result<()> {
    db.execute(
        "UPDATE file SET dev = ?3
         WHERE dev = ?2 AND dir IN (SELECT id FROM dir WHERE root = ?1)",
        params![root.0, old, new],
    )?;
    Ok(())
}

/// Gives the disk that was known as `dev` a number that no device has: it is away, and stays so
/// until a file of it is seen again. Devices have no negative numbers.
pub(super) fn displace(db: &Transaction<'_>, root: RootId, dev: i64) -> rusqlite::Result<()> {
    let away: i64 = db.query_row(
        "SELECT min(coalesce(min(dev), 0), 0) - 1 FROM file",
        [],
        |row| row.get(0),
    )?;
    renumber(db, root, dev, away)
}
