//! Devices in the known table. A disk gets a number when it is mounted, and may get another one the
//! next time, also one that was another disk's.

use rusqlite::{Transaction, params};

use super::{Error, Known};
use crate::{
    place::{RootId, join},
    stamp::Stamp,
};

/// Parts of a disk from which files are taken to recognise it by: what was removed from it lay
/// together, mostly.
const PARTS: i64 = 8;
/// Files taken from each part.
const EACH: u32 = 8;

impl Known {
    /// Some files of a root that should be there and were last seen on device `dev`, from all over
    /// it, to recognise it by.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn on_device(&mut self, root: RootId, dev: u64) -> Result<Vec<(Vec<u8>, Stamp)>, Error> {
        let dev = dev.cast_signed();
        self.run(|db| {
            let Some((first, last)) = directories(db, dev)? else {
                return Ok(Vec::new());
            };
            let mut query = db.prepare_cached(
                "SELECT file.dir, dir.path, file.name, file.size, file.mtime_ns
                 FROM file INDEXED BY file_disk CROSS JOIN dir ON dir.id = file.dir
                 WHERE file.dev = ?1 AND (file.dir, file.name) > (?2, ?3)
                 AND dir.root = ?4 AND file.state < 3 AND file.size > 0
                 ORDER BY file.dir, file.name LIMIT ?5",
            )?;
            let mut found = Vec::new();
            let mut after: (i64, Vec<u8>) = (first, Vec::new());
            for part in 0..PARTS {
                let start = first + (last - first) * part / PARTS;
                if start > after.0 {
                    after = (start, Vec::new());
                }
                let mut rows = query.query(params![dev, after.0, after.1, root.0, EACH])?;
                while let Some(row) = rows.next()? {
                    let (path, name): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
                    let size = row.get::<_, i64>(3)?.cast_unsigned();
                    found.push((join(&path, &name), Stamp::remembered(size, row.get(4)?)));
                    after = (row.get(0)?, name);
                }
            }
            Ok(found)
        })
    }

    /// What lay on device `old` lies on `new` now, all of it, seen again or not.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn renumber(&mut self, root: RootId, old: u64, new: u64) -> Result<(), Error> {
        self.run(|db| renumber(db, root, old.cast_signed(), new.cast_signed()).map(drop))
    }

    /// What is noted under `dev` lies on another disk than the one that has this number now. The
    /// answer is how many files that are.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn displace(&mut self, root: RootId, dev: u64) -> Result<usize, Error> {
        self.run(|db| displace(db, root, dev.cast_signed()))
    }
}

/// The first and the last directory with files that are noted under `dev`.
fn directories(db: &Transaction<'_>, dev: i64) -> rusqlite::Result<Option<(i64, i64)>> {
    // SQLite finds either end at one look, but not both in one query.
    let ends: (Option<i64>, Option<i64>) = db
        .prepare_cached(
            "SELECT (SELECT min(dir) FROM file INDEXED BY file_disk WHERE dev = ?1),
                    (SELECT max(dir) FROM file INDEXED BY file_disk WHERE dev = ?1)",
        )?
        .query_row([dev], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(ends.0.zip(ends.1))
}

/// Gives the files of a root that are noted under `old` the number `new`; gives how many they are.
pub(super) fn renumber(
    db: &Transaction<'_>,
    root: RootId,
    old: i64,
    new: i64,
) -> rusqlite::Result<usize> {
    db.execute(
        "UPDATE file INDEXED BY file_disk SET dev = ?3
         WHERE dev = ?2 AND (SELECT root FROM dir WHERE dir.id = file.dir) = ?1",
        params![root.0, old, new],
    )
}

/// Gives the disk that was known as `dev` a number that no device and no other disk has: it is
/// away, and stays so until a file of it is seen again. Devices have no negative numbers. The
/// answer is how many files lie on it.
pub(super) fn displace(db: &Transaction<'_>, root: RootId, dev: i64) -> rusqlite::Result<usize> {
    let away: i64 = db.query_row(
        "SELECT min(coalesce((SELECT min(dev) FROM file INDEXED BY file_disk), 0), 0) - 1",
        [],
        |row| row.get(0),
    )?;
    renumber(db, root, dev, away)
}
