//! Directories in the known table, and the frontier of a scan: what it has still to list lies here
//! and not in memory.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Error, Known};
use crate::place::{Place, RootId, join};

/// Number of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirId(pub(super) i64);

/// A directory to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDir {
    /// Its number.
    pub id: DirId,
    /// Its path below the root.
    pub path: Vec<u8>,
}

impl Known {
    /// Begins a scan of `start` and all below it; what an earlier one left undone is dropped.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn begin_scan(&mut self, root: RootId, start: &[u8]) -> Result<(), Error> {
        self.run(|db| {
            db.execute(
                "UPDATE dir SET todo = 0 WHERE root = ?1 AND todo = 1",
                [root.0],
            )?;
            let id = directory(db, root, start)?;
            db.execute("UPDATE dir SET todo = 1 WHERE id = ?1", [id])?;
            Ok(())
        })
    }

    /// The next directory to list. The newest first, so that the frontier stays small.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn next_dir(&mut self, root: RootId) -> Result<Option<KnownDir>, Error> {
        self.run(|db| {
            db.prepare_cached(
                "SELECT id, path FROM dir WHERE root = ?1 AND todo = 1 ORDER BY id DESC LIMIT 1",
            )?
            .query_row([root.0], |row| {
                Ok(KnownDir {
                    id: DirId(row.get(0)?),
                    path: row.get(1)?,
                })
            })
            .optional()
        })
    }

    /// Adds directories that a listing found to what is to be listed.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn add_dirs(
        &mut self,
        root: RootId,
        parent: &[u8],
        names: &[Vec<u8>],
    ) -> Result<(), Error> {
        self.run(|db| {
            for name in names {
                let id = directory(db, root, &join(parent, name))?;
                db.prepare_cached("UPDATE dir SET todo = 1 WHERE id = ?1")?
                    .execute([id])?;
            }
            Ok(())
        })
    }

    /// A directory is done: listed by scan number `scan`, or not to be listed (`None`).
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn finish_dir(&mut self, dir: DirId, scan: Option<i64>) -> Result<(), Error> {
        self.run(|db| {
            db.prepare_cached("UPDATE dir SET todo = 0, scan = coalesce(?2, scan) WHERE id = ?1")?
                .execute(params![dir.0, scan])?;
            Ok(())
        })
    }

    /// Directories that scan number `scan` did not list, in path order, after `after`.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn unlisted(
        &mut self,
        root: RootId,
        scan: i64,
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, Error> {
        self.run(|db| {
            let mut query = db.prepare_cached(
                "SELECT path FROM dir WHERE root = ?1 AND path > ?3 AND scan <> ?2
                 ORDER BY path LIMIT ?4",
            )?;
            let rows = query.query_map(params![root.0, scan, after, limit], |row| row.get(0))?;
            rows.collect()
        })
    }

    /// A directory can be listed: if it could not before, that failure is over, and a file that had
    /// its name is gone. True if so.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn is_listable(&mut self, place: &Place) -> Result<bool, Error> {
        let (parent, name) = place.split();
        self.run(|db| {
            let changed = db
                .prepare_cached(
                    "UPDATE file SET state = 3 WHERE state < 3 AND name = ?3
                     AND dir = (SELECT id FROM dir WHERE root = ?1 AND path = ?2)",
                )?
                .execute(params![place.root.0, parent, name])?;
            Ok(changed > 0)
        })
    }

    /// Forgets a directory that is gone, unless files of it must be remembered.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn forget_dir(&mut self, place: &Place) -> Result<(), Error> {
        self.run(|db| {
            db.prepare_cached(
                "DELETE FROM dir WHERE root = ?1 AND path = ?2
                 AND NOT EXISTS (SELECT 1 FROM file WHERE file.dir = dir.id)",
            )?
            .execute(params![place.root.0, place.path.as_ref()])?;
            Ok(())
        })
    }

    /// The greatest number that a scan had.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn last_scan(&mut self) -> Result<i64, Error> {
        self.run(|db| {
            db.query_row("SELECT coalesce(max(scan), 0) FROM dir", [], |row| {
                row.get(0)
            })
        })
    }
}

/// The number of a directory, added if it is new.
pub(super) fn directory(db: &Transaction<'_>, root: RootId, path: &[u8]) -> rusqlite::Result<i64> {
    let found = db
        .prepare_cached("SELECT id FROM dir WHERE root = ?1 AND path = ?2")?
        .query_row(params![root.0, path], |row| row.get(0))
        .optional()?;
    match found {
        Some(id) => Ok(id),
        None => {
            db.prepare_cached("INSERT INTO dir (root, path) VALUES (?1, ?2)")?
                .execute(params![root.0, path])?;
            Ok(db.last_insert_rowid())
        }
    }
}
