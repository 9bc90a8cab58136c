//! Roots in the known table: their numbers, and which directory they were last.

use rusqlite::params;

use super::{
    Error, Known, Sha256,
    device::{displace, renumber},
};
use crate::{place::RootId, stamp::Stamp};

/// A root as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRoot {
    /// Its number here.
    pub id: RootId,
    /// Its resource name in the store; empty if it was never registered.
    pub store_name: String,
    /// Its directory, as [`crate::beneath::Base::identity`] tells it; zeros if it was never seen.
    pub identity: (u64, u64),
}

impl Known {
    /// The root at `path`, added if it is new.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn root(&mut self, path: &[u8]) -> Result<KnownRoot, Error> {
        self.run(|db| {
            db.execute("INSERT OR IGNORE INTO root (path) VALUES (?1)", [path])?;
            db.query_row(
                "SELECT id, store_name, dev, ino FROM root WHERE path = ?1",
                [path],
                |row| {
                    Ok(KnownRoot {
                        id: RootId(row.get(0)?),
                        store_name: row.get(1)?,
                        identity: (
                            row.get::<_, i64>(2)?.cast_unsigned(),
                            row.get::<_, i64>(3)?.cast_unsigned(),
                        ),
                    })
                },
            )
        })
    }

    /// The roots that were watched last.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn watched_roots(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        self.run(|db| {
            let mut query = db.prepare("SELECT path FROM root WHERE watched = 1 ORDER BY id")?;
            query.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// Remembers which roots are watched, adding those that are new.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn set_watched_roots(&mut self, paths: &[Vec<u8>]) -> Result<(), Error> {
        self.run(|db| {
            db.execute("UPDATE root SET watched = 0", [])?;
            for path in paths {
                db.execute(
                    "INSERT INTO root (path, watched) VALUES (?1, 1)
                     ON CONFLICT (path) DO UPDATE SET watched = 1",
                    [path],
                )?;
            }
            Ok(())
        })
    }

    /// Remembers which directory a root is. Files that lay on the root's own device follow it to
    /// a new number: devices are numbered anew at every boot. What lay on a disk that had that
    /// number before must not pass for lying on the root's.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn identify(&mut self, root: RootId, identity: (u64, u64)) -> Result<(), Error> {
        let (dev, ino) = (identity.0.cast_signed(), identity.1.cast_signed());
        self.run(|db| {
            let before: i64 =
                db.query_row("SELECT dev FROM root WHERE id = ?1", [root.0], |row| {
                    row.get(0)
                })?;
            db.execute(
                "UPDATE root SET dev = ?2, ino = ?3 WHERE id = ?1",
                params![root.0, dev, ino],
            )?;
            if before != dev && before != 0 {
                displace(db, root, dev)?;
                renumber(db, root, before, dev)?;
            }
            Ok(())
        })
    }

    /// Which directory a root was last; zeros if it was never seen.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn identity(&mut self, root: RootId) -> Result<(u64, u64), Error> {
        self.run(|db| {
            db.query_row("SELECT dev, ino FROM root WHERE id = ?1", [root.0], |row| {
                Ok((
                    row.get::<_, i64>(0)?.cast_unsigned(),
                    row.get::<_, i64>(1)?.cast_unsigned(),
                ))
            })
        })
    }

    /// Remembers the store's name of a root.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn name_root(&mut self, root: RootId, store_name: &str) -> Result<(), Error> {
        self.run(|db| {
            db.execute(
                "UPDATE root SET store_name = ?2 WHERE id = ?1",
                params![root.0, store_name],
            )?;
            Ok(())
        })
    }

    /// Number of files of the root that the store has been told to be there.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn count_held(&mut self, root: RootId) -> Result<u64, Error> {
        self.run(|db| {
            db.query_row(
                "SELECT count(*) FROM dir JOIN file ON file.dir = dir.id
                 WHERE dir.root = ?1 AND file.state IN (0, 3) AND file.content IS NOT NULL",
                [root.0],
                |row| row.get::<_, i64>(0),
            )
        })
        .map(i64::cast_unsigned)
    }

    /// Some files of the root that should be there, to recognise it by.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn witnesses(&mut self, root: RootId, limit: u32) -> Result<Vec<(Vec<u8>, Stamp)>, Error> {
        self.run(|db| {
            let mut query = db.prepare_cached(
                "SELECT dir.path, file.name, file.size, file.mtime_ns
                 FROM dir JOIN file ON file.dir = dir.id
                 WHERE dir.root = ?1 AND file.state = 0 AND file.size > 0 LIMIT ?2",
            )?;
            let rows = query.query_map(params![root.0, limit], |row| {
                let (dir, name): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let stamp = Stamp::remembered(row.get::<_, i64>(2)?.cast_unsigned(), row.get(3)?);
                Ok((crate::place::join(&dir, &name), stamp))
            })?;
            rows.collect()
        })
    }

    /// Forgets what the store knows of the files of a root, before it is learned again, and the
    /// root's name there: it gets that again when all of them are learned. That the files should
    /// be there stays, and on which disk: the store does not know, and those on a disk that is away
    /// must not pass for gone. What the store does not know of is read again when it is seen.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn forget_root(&mut self, root: RootId) -> Result<(), Error> {
        self.run(|db| {
            db.execute(
                "UPDATE file SET state = 0, content = NULL
                 WHERE dir IN (SELECT id FROM dir WHERE root = ?1)",
                [root.0],
            )?;
            db.execute("UPDATE root SET store_name = '' WHERE id = ?1", [root.0])?;
            Ok(())
        })
    }

    /// Root and path of the files that hold a content, with their stamps, those on disks that
    /// were seen first.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn holders(
        &mut self,
        sha256: &Sha256,
        limit: u32,
    ) -> Result<Vec<(RootId, Vec<u8>, Stamp)>, Error> {
        self.run(|db| {
            let mut query = db.prepare_cached(
                "SELECT dir.root, dir.path, file.name, file.dev, file.ino, file.size,
                        file.mtime_ns, file.ctime_ns
                 FROM content JOIN file ON file.content = content.id JOIN dir ON dir.id = file.dir
                 WHERE content.sha256 = ?1 AND file.state = 0 LIMIT ?2",
            )?;
            let rows = query.query_map(params![sha256, limit], |row| {
                let (dir, name): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
                let stamp = super::file::stamp(row, 3)?;
                Ok((RootId(row.get(0)?), crate::place::join(&dir, &name), stamp))
            })?;
            rows.collect()
        })
    }
}
