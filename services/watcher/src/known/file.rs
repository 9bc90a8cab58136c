//! Files in the known table: what they were when last seen, and what became of them.

use rusqlite::{OptionalExtension, Row as SqlRow, Transaction, params};

use super::{Checks, DirId, Error, Known, Sha256, dir::directory};
use crate::{
    place::{Place, RootId, join},
    stamp::Stamp,
};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The store knows what lies here: a post, or content that was rejected. Without a content, all
    /// that is known is that a file should be here, and on which disk.
    Held,
    /// It could not become a post; the store has been told why.
    Failed,
    /// It is no picture and does not claim to be one.
    Ignored,
    /// It is gone; the store has not been told.
    Absent,
    /// It is gone; the store has been told.
    Missing,
}

impl State {
    fn number(self) -> i64 {
        match self {
            Self::Held => 0,
            Self::Failed => 1,
            Self::Ignored => 2,
            Self::Absent => 3,
            Self::Missing => 4,
        }
    }

    fn from_number(number: i64) -> Self {
        match number {
            0 => Self::Held,
            1 => Self::Failed,
            2 => Self::Ignored,
            3 => Self::Absent,
            _ => Self::Missing,
        }
    }
}

/// A file as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What became of it.
    pub state: State,
    /// Its marks.
    pub stamp: Stamp,
    /// Its content, if it is or was held.
    pub sha256: Option<Sha256>,
}

/// What is known of a file that was just seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The file of this name.
    pub row: Option<Row>,
    /// The content of a file that was seen under any name with exactly these marks.
    pub twin: Option<Sha256>,
}

/// A change to be remembered, after the store has acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The file holds this content.
    Held(Place, Stamp, Sha256),
    /// The file could not become a post.
    Failed(Place, Stamp),
    /// The file is no picture.
    Ignored(Place, Stamp),
    /// The file is gone.
    Missing(Place),
    /// The file is at another place, and the store has forgotten this one.
    Moved(Place),
}

impl Known {
    /// Looks up what was just seen in one directory.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn compare(
        &mut self,
        dir: DirId,
        entries: &[(Vec<u8>, Stamp)],
    ) -> Result<Vec<Compared>, Error> {
        self.run(|db| {
            entries
                .iter()
                .map(|(name, stamp)| compared(db, dir.0, name, stamp))
                .collect()
        })
    }

    /// Looks up one file.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn compare_place(&mut self, place: &Place, stamp: &Stamp) -> Result<Compared, Error> {
        let (dir, name) = place.split();
        self.run(|db| {
            let dir = directory(db, place.root, dir)?;
            compared(db, dir, name, stamp)
        })
    }

    /// Names in a directory that should be there, after `after`, in order.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn names(
        &mut self,
        dir: DirId,
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, u64)>, Error> {
        self.run(|db| {
            let mut query = db.prepare_cached(
                "SELECT name, dev FROM file WHERE dir = ?1 AND name > ?2 AND state < 3
                 ORDER BY name LIMIT ?3",
            )?;
            let rows = query.query_map(params![dir.0, after, limit], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
            })?;
            rows.collect()
        })
    }

    /// Number of names in a directory that should be there.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn count_names(&mut self, dir: DirId) -> Result<u64, Error> {
        self.run(|db| {
            db.prepare_cached("SELECT count(*) FROM file WHERE dir = ?1 AND state < 3")?
                .query_row([dir.0], |row| row.get::<_, i64>(0))
        })
        .map(i64::cast_unsigned)
    }

    /// Marks files of a directory as gone.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn mark_absent(&mut self, dir: DirId, names: &[Vec<u8>]) -> Result<(), Error> {
        self.run(|db| {
            for name in names {
                db.prepare_cached(
                    "UPDATE file SET state = 3 WHERE dir = ?1 AND name = ?2 AND state < 3",
                )?
                .execute(params![dir.0, name])?;
            }
            Ok(())
        })
    }

    /// Marks a file, or all files below a directory, as gone; gives how many were.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn mark_absent_at(&mut self, place: &Place) -> Result<usize, Error> {
        let (parent, name) = place.split();
        let (low, high) = below(&place.path);
        self.run(|db| {
            let alone = db
                .prepare_cached(
                    "UPDATE file SET state = 3 WHERE state < 3 AND name = ?3
                     AND dir = (SELECT id FROM dir WHERE root = ?1 AND path = ?2)",
                )?
                .execute(params![place.root.0, parent, name])?;
            let inside = db
                .prepare_cached(
                    "UPDATE file SET state = 3 WHERE state < 3 AND dir IN
                     (SELECT id FROM dir WHERE root = ?1
                      AND (path = ?2 OR (path >= ?3 AND path < ?4)))",
                )?
                .execute(params![place.root.0, place.path.as_ref(), low, high])?;
            Ok(alone + inside)
        })
    }

    /// Files of a root that are gone without the store knowing.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn absent(&mut self, root: RootId, limit: u32) -> Result<Vec<(Place, Stamp)>, Error> {
        self.run(|db| {
            let mut query = db.prepare_cached(
                "SELECT dir.path, file.name, file.dev, file.ino, file.size, file.mtime_ns,
                        file.ctime_ns
                 FROM file INDEXED BY file_absent CROSS JOIN dir ON dir.id = file.dir
                 WHERE file.state = 3 AND dir.root = ?1 LIMIT ?2",
            )?;
            let rows = query.query_map(params![root.0, limit], |row| {
                let (dir, name): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
                Ok((Place::new(root, join(&dir, &name)), stamp(row, 2)?))
            })?;
            rows.collect()
        })
    }

    /// Takes back that files are gone: they are there, or it cannot be told.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn unmark_absent(&mut self, places: &[Place]) -> Result<(), Error> {
        self.run(|db| {
            for place in places {
                let (dir, name) = place.split();
                let dir = directory(db, place.root, dir)?;
                // What was held still is. The rest has no content and is read again when it is
                // seen, but stays: only its row says on which disk it lay.
                db.prepare_cached(
                    "UPDATE file SET state = 0 WHERE dir = ?1 AND name = ?2 AND state = 3",
                )?
                .execute(params![dir, name])?;
            }
            Ok(())
        })
    }

    /// Remembers what the store has acknowledged, all or nothing.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn record(&mut self, records: &[Record]) -> Result<(), Error> {
        self.record_all(records, &[]).map(drop)
    }

    /// As [`Known::record`], together with what was rendered from contents. The answer is how many
    /// bytes more than before their samples take.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn record_all(
        &mut self,
        records: &[Record],
        checks: &[(Sha256, Checks)],
    ) -> Result<i64, Error> {
        self.run(|db| {
            records.iter().try_for_each(|record| write(db, record))?;
            checks.iter().try_fold(0, |sum, (sha256, checks)| {
                Ok(sum + super::content::put(db, sha256, checks)?)
            })
        })
    }
}

fn compared(
    db: &Transaction<'_>,
    dir: i64,
    name: &[u8],
    seen: &Stamp,
) -> rusqlite::Result<Compared> {
    let row = db
        .prepare_cached(
            "SELECT state, dev, ino, size, mtime_ns, ctime_ns, sha256
             FROM file LEFT JOIN content ON content.id = file.content
             WHERE dir = ?1 AND name = ?2",
        )?
        .query_row(params![dir, name], |row| {
            Ok(Row {
                state: State::from_number(row.get(0)?),
                stamp: stamp(row, 1)?,
                sha256: row.get(6)?,
            })
        })
        .optional()?;
    let same = row.as_ref().is_some_and(|row| row.stamp == *seen);
    let twin = if same { None } else { twin(db, seen)? };
    Ok(Compared { row, twin })
}

fn twin(db: &Transaction<'_>, seen: &Stamp) -> rusqlite::Result<Option<Sha256>> {
    db.prepare_cached(
        "SELECT sha256 FROM file INDEXED BY file_inode
         JOIN content ON content.id = file.content
         WHERE ino = ?1 AND dev = ?2 AND size = ?3 AND mtime_ns = ?4 AND ctime_ns = ?5 LIMIT 1",
    )?
    .query_row(
        params![
            seen.ino.cast_signed(),
            seen.dev.cast_signed(),
            seen.size.cast_signed(),
            seen.mtime_ns,
            seen.ctime_ns
        ],
        |row| row.get(0),
    )
    .optional()
}

fn write(db: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    match record {
        Record::Held(place, stamp, sha256) => {
            let content = super::content::content(db, sha256)?;
            put(db, place, State::Held, stamp, Some(content))
        }
        Record::Failed(place, stamp) => put(db, place, State::Failed, stamp, None),
        Record::Ignored(place, stamp) => put(db, place, State::Ignored, stamp, None),
        Record::Missing(place) => {
            let (dir, name) = place.split();
            let dir = directory(db, place.root, dir)?;
            // What never was a post leaves no trace.
            db.prepare_cached("DELETE FROM file WHERE dir = ?1 AND name = ?2 AND content IS NULL")?
                .execute(params![dir, name])?;
            db.prepare_cached("UPDATE file SET state = 4 WHERE dir = ?1 AND name = ?2")?
                .execute(params![dir, name])?;
            Ok(())
        }
        Record::Moved(place) => {
            let (dir, name) = place.split();
            let dir = directory(db, place.root, dir)?;
            db.prepare_cached("DELETE FROM file WHERE dir = ?1 AND name = ?2")?
                .execute(params![dir, name])?;
            Ok(())
        }
    }
}

fn put(
    db: &Transaction<'_>,
    place: &Place,
    state: State,
    stamp: &Stamp,
    content: Option<i64>,
) -> rusqlite::Result<()> {
    let (dir, name) = place.split();
    let dir = directory(db, place.root, dir)?;
    // A file that cannot even be asked for its disk lies on the one where it was seen last.
    db.prepare_cached(
        "INSERT OR REPLACE INTO file
         (dir, name, state, dev, ino, size, mtime_ns, ctime_ns, content)
         VALUES (?1, ?2, ?3,
                 coalesce(nullif(?4, 0), (SELECT dev FROM file WHERE dir = ?1 AND name = ?2), 0),
                 ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        dir,
        name,
        state.number(),
        stamp.dev.cast_signed(),
        stamp.ino.cast_signed(),
        stamp.size.cast_signed(),
        stamp.mtime_ns,
        stamp.ctime_ns,
        content
    ])?;
    Ok(())
}

pub(super) fn stamp(row: &SqlRow<'_>, first: usize) -> rusqlite::Result<Stamp> {
    Ok(Stamp {
        dev: row.get::<_, i64>(first)?.cast_unsigned(),
        ino: row.get::<_, i64>(first + 1)?.cast_unsigned(),
        size: row.get::<_, i64>(first + 2)?.cast_unsigned(),
        mtime_ns: row.get(first + 3)?,
        ctime_ns: row.get(first + 4)?,
    })
}

/// The range of paths below a directory: from `dir/` to before `dir0`, `0` being the byte after the
/// slash. Everything, for the root itself.
fn below(dir: &[u8]) -> (Vec<u8>, Vec<u8>) {
    if dir.is_empty() {
        return (vec![], vec![0xff; 2]);
    }
    (join(dir, b""), [dir, b"0"].concat())
}
