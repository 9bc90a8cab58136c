//! Moves: a file that is gone from one place and known at another.
//!
//! What counts is the inode. A place that is gone has moved if a file of the same content is held
//! that is the *same inode* as the one that lay there: only a rename (or a link of which one name
//! was removed, which is what some programs rename by) does that, and the file is then exactly where
//! the store was told. Another inode with the same content is a copy: that the original went is news
//! that its owner should see, so it becomes missing. An inode number can be used again, so a deleted
//! file restored elsewhere may pass for moved; since its content lies there, nothing is lost.
//! A place learned from the store has no inode, and becomes missing.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Error, Known, Sha256, file::stamp};
use crate::{
    place::{Place, RootId, join},
    stamp::Stamp,
};

/// Names of one file that may be found to have been left when it is told of at another place. Only
/// hard links have more than one; those beyond stay missing.
const NAMES: u32 = 8;

/// What turned out to be moves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moves {
    /// For each place that is gone, whether its file is at another place now.
    pub moved: Vec<bool>,
    /// Places that the store was told to be missing, and whose file turned up: a scan may come by
    /// the new place long after the old one.
    pub late: Vec<(Place, Stamp)>,
}

impl Known {
    /// Which of the files that are `gone`, or that the store takes for missing, lie at another
    /// place: one that the store knows, or one of the `held`, of which it is being told.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn moves(
        &mut self,
        gone: &[Place],
        held: &[(Place, Stamp, Sha256)],
    ) -> Result<Moves, Error> {
        self.run(|db| {
            let mut moves = Moves::default();
            for place in gone {
                moves.moved.push(is_elsewhere(db, place, held)?);
            }
            for (_, seen, sha256) in held {
                for left in missing(db, seen, sha256)? {
                    let is_told = |(other, ..): &(Place, Stamp, Sha256)| *other == left.0;
                    let is_noted = gone.contains(&left.0) || moves.late.contains(&left);
                    if !is_noted && !held.iter().any(is_told) {
                        moves.late.push(left);
                    }
                }
            }
            Ok(moves)
        })
    }
}

fn is_elsewhere(
    db: &Transaction<'_>,
    place: &Place,
    held: &[(Place, Stamp, Sha256)],
) -> rusqlite::Result<bool> {
    let (dir, name) = place.split();
    let row = db
        .prepare_cached(
            "SELECT file.dev, file.ino, file.content, content.sha256
             FROM dir JOIN file ON file.dir = dir.id JOIN content ON content.id = file.content
             WHERE dir.root = ?1 AND dir.path = ?2 AND file.name = ?3 AND file.ino <> 0",
        )?
        .query_row(params![place.root.0, dir, name], |row| {
            let (dev, ino): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (content, sha256): (i64, Sha256) = (row.get(2)?, row.get(3)?);
            Ok((dev, ino, content, sha256))
        })
        .optional()?;
    let Some((dev, ino, content, sha256)) = row else {
        return Ok(false);
    };
    let inode = (dev.cast_unsigned(), ino.cast_unsigned());
    let told = held.iter().any(|(other, seen, found)| {
        other != place && (seen.dev, seen.ino) == inode && *found == sha256
    });
    if told {
        return Ok(true);
    }
    db.prepare_cached(
        "SELECT 1 FROM file INDEXED BY file_inode JOIN dir ON dir.id = file.dir
         WHERE file.ino = ?1 AND file.dev = ?2 AND file.content = ?3 AND file.state = 0
         AND NOT (dir.root = ?4 AND dir.path = ?5 AND file.name = ?6)",
    )?
    .exists(params![ino, dev, content, place.root.0, dir, name])
}

/// Places of a file that the store takes for missing.
fn missing(
    db: &Transaction<'_>,
    seen: &Stamp,
    sha256: &Sha256,
) -> rusqlite::Result<Vec<(Place, Stamp)>> {
    if seen.ino == 0 {
        return Ok(Vec::new());
    }
    let mut query = db.prepare_cached(
        "SELECT dir.root, dir.path, file.name, file.dev, file.ino, file.size, file.mtime_ns,
                file.ctime_ns
         FROM file INDEXED BY file_missing
         JOIN dir ON dir.id = file.dir JOIN content ON content.id = file.content
         WHERE file.ino = ?1 AND file.dev = ?2 AND content.sha256 = ?3 AND file.state = 4
         LIMIT ?4",
    )?;
    let found = params![
        seen.ino.cast_signed(),
        seen.dev.cast_signed(),
        sha256,
        NAMES
    ];
    let rows = query.query_map(found, |row| {
        let (dir, name): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
        let place = Place::new(RootId(row.get(0)?), join(&dir, &name));
        Ok((place, stamp(row, 3)?))
    })?;
    rows.collect()
}
