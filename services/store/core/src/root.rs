//! Roots: watched folders. The store issues their numbers.

use rusqlite::{OptionalExtension, Row, params};

use crate::store::{Store, Write};
use crate::{Error, RootId, WatcherId};

/// Longest path, bytes; as on Linux.
pub const MAX_PATH: usize = 4_096;
/// Longest notice, bytes.
const MAX_NOTICE: usize = 1_000;
/// Most roots of one watcher.
pub const MAX_ROOTS: usize = 1_000;

/// What a root is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RootKind {
    /// Watched in place, only ever read.
    Library = 0,
    /// Ours: files are moved into it.
    Managed = 1,
}

/// Whether a root can be reached, as its watcher last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RootState {
    /// There, and watched.
    Online = 1,
    /// Its folder or disk is not there. Nothing of it becomes missing.
    Offline = 2,
}

/// A root as its watcher sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedRoot {
    /// Absolute path on the watcher's machine, exact bytes.
    pub path: Vec<u8>,
    /// What it is for.
    pub kind: RootKind,
    /// Whether it can be reached.
    pub state: RootState,
    /// What a person should know; may be empty.
    pub notice: String,
}

/// A root as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its number.
    pub id: RootId,
    /// The watcher that owns it.
    pub watcher: WatcherId,
    /// What the watcher says of it.
    pub seen: WatchedRoot,
    /// Locations present.
    pub present: u64,
    /// Locations missing.
    pub missing: u64,
}

fn read(row: &Row<'_>) -> Result<Root, Error> {
    let id = row.get(0)?;
    let kind = match row.get(3)? {
        0u8 => RootKind::Library,
        1 => RootKind::Managed,
        code => return Err(Error::corrupt(format!("root {id} has kind {code}"))),
    };
    let state = match row.get(4)? {
        1u8 => RootState::Online,
        2 => RootState::Offline,
        code => return Err(Error::corrupt(format!("root {id} has state {code}"))),
    };
    Ok(Root {
        id,
        watcher: row.get(1)?,
        seen: WatchedRoot {
            path: row.get(2)?,
            kind,
            state,
            notice: row.get(5)?,
        },
        present: row.get::<_, i64>(6)?.cast_unsigned(),
        missing: row.get::<_, i64>(7)?.cast_unsigned(),
    })
}

const COLUMNS: &str = "id, watcher, path, kind, state, notice, present, missing";

impl Store {
    /// All roots by number.
    pub fn roots(&self) -> Result<Vec<Root>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM root ORDER BY id");
        let mut select = self.conn.prepare_cached(&sql)?;
        select.query_and_then([], read)?.collect()
    }

    /// Reads a root.
    pub fn root(&self, id: RootId) -> Result<Root, Error> {
        let sql = format!("SELECT {COLUMNS} FROM root WHERE id = ?1");
        let mut select = self.conn.prepare_cached(&sql)?;
        select
            .query_and_then(params![id], read)?
            .next()
            .unwrap_or_else(|| Err(Error::not_found("root", &format!("roots/{id}"))))
    }
}

impl Write<'_> {
    /// Takes in what a watcher says of its roots and returns them in its order; known paths keep
    /// their numbers. Roots of the watcher that are not named are left as they are.
    pub(crate) fn see_roots(
        &mut self,
        watcher: WatcherId,
        roots: &[WatchedRoot],
    ) -> Result<Vec<RootId>, Error> {
        crate::error::at_most("roots", roots.len(), MAX_ROOTS)?;
        let mut update = self.conn.prepare_cached(
            "UPDATE root SET kind = ?3, state = ?4, notice = ?5 \
             WHERE watcher = ?1 AND path = ?2 RETURNING id",
        )?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO root (watcher, path, kind, state, notice) VALUES (?1, ?2, ?3, ?4, ?5) \
             RETURNING id",
        )?;
        let mut ids = Vec::with_capacity(roots.len());
        for root in roots {
            check(root)?;
            let (kind, state) = (root.kind as u8, root.state as u8);
            let bound = params![watcher, root.path, kind, state, root.notice];
            let known = update.query_row(bound, |row| row.get(0)).optional()?;
            ids.push(match known {
                Some(id) => id,
                None => insert.query_row(bound, |row| row.get(0))?,
            });
        }
        Ok(ids)
    }

    /// Marks the roots of a watcher that are not among `kept` as offline.
    pub(crate) fn unwatch_others(
        &mut self,
        watcher: WatcherId,
        kept: &[RootId],
    ) -> Result<(), Error> {
        let others: Vec<RootId> = self
            .roots()?
            .into_iter()
            .filter(|root| root.watcher == watcher && !kept.contains(&root.id))
            .map(|root| root.id)
            .collect();
        let mut update = self.conn.prepare_cached(
            "UPDATE root SET state = 2, notice = 'not watched now' WHERE id = ?1",
        )?;
        for id in others {
            update.execute(params![id])?;
        }
        Ok(())
    }
}

fn check(root: &WatchedRoot) -> Result<(), Error> {
    let shown = || String::from_utf8_lossy(&root.path).into_owned();
    if root.path.first() != Some(&b'/') {
        return Err(Error::invalid("root path", &shown(), "it must be absolute"));
    }
    if root.path.len() > MAX_PATH || root.path.contains(&0) {
        return Err(Error::invalid(
            "root path",
            &shown(),
            "at most 4096 bytes, no NUL",
        ));
    }
    if root.notice.len() > MAX_NOTICE {
        return Err(Error::invalid("notice", &root.notice, "at most 1000 bytes"));
    }
    Ok(())
}
