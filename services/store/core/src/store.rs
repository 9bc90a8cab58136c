//! The store as one value: the connection and what is kept in memory beside it.

mod directory;
mod group;

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

pub use group::{Published, Write};

use crate::capacity::Capacity;
use crate::index::{Columns, Index, PostDelta, Standing};
use crate::lease::{Leases, Limits};
use crate::model::Cache;
use crate::packed::unpack_ascending;
use crate::presence::Presence;
use crate::running::Running;
use crate::tag::TagTable;
use crate::{Error, Now, PostId, Rating, migrate};
use directory::Directory;
use group::Group;

/// Name of the database file in the data directory.
const DATABASE: &str = "kumo.db";
/// Page cache of the connection: 8 MiB. Larger reads go through the kernel's cache anyway.
const CACHE_KIB: i64 = 8 * 1024;
/// The write-ahead log is cut back to this after a checkpoint: 16 MiB.
const WAL_LIMIT_BYTES: i64 = 16 << 20;
/// Prepared statements kept; more than this crate has.
const STATEMENTS: usize = 256;

/// How to open a store.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Open it although the directory is on a network or FUSE file system.
    pub allow_network_file_system: bool,
}

/// The truth. One thread owns it; see [`Store::begin`] for how it is written.
///
/// Reading needs no group. A read between `begin` and `commit` sees what has been written so far,
/// so its answer must not leave before the COMMIT has returned.
pub struct Store {
    pub(crate) conn: Connection,
    path: PathBuf,
    epoch: u64,
    /// Last position of the feed, uncommitted ones included.
    pub(crate) seq: u64,
    pub(crate) tags: TagTable,
    pub(crate) index: Index,
    pub(crate) leases: Leases,
    pub(crate) models: RefCell<Cache>,
    pub(crate) presence: Presence,
    pub(crate) capacity: Capacity,
    pub(crate) running: Running,
    group: Option<Group>,
    /// Why nothing may be written any more.
    fatal: Option<String>,
    /// Dropped last, after the connection.
    _directory: Directory,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("epoch", &self.epoch)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `dir`, creating it if need be, and loads what is kept in memory.
    ///
    /// Refuses a directory that another store holds, one on a network file system, and a database
    /// of a newer program. Loading reads in slices of bounded size.
    pub fn open(dir: &Path, options: &Options, now: Now) -> Result<Self, Error> {
        let directory = Directory::open(dir, options.allow_network_file_system)?;
        let path = directory.file(DATABASE);
        let conn = connect(&path)?;
        migrate::migrate(&conn, &path)?;
        let epoch = epoch(&conn)?;
        let running = Running::read(&conn, now)?;
        let mut store = Self {
            conn,
            path,
            epoch,
            seq: 0,
            tags: TagTable::default(),
            index: Index::new(),
            leases: Leases::new(epoch, Limits::default()),
            models: RefCell::default(),
            presence: Presence::default(),
            capacity: Capacity::default(),
            running,
            group: None,
            fatal: None,
            _directory: directory,
        };
        store.seq = store.last_seq()?;
        store.load_tags()?;
        store.load_index()?;
        store.load_leases(now)?;
        Ok(store)
    }

    /// The search index, as of the last COMMIT.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// When [`Write::tick`] has something to do next, on the monotonic clock.
    pub fn next_tick(&self) -> Option<u64> {
        self.leases.next_due()
    }

    fn load_index(&mut self) -> Result<(), Error> {
        const SLICE: u32 = 2_000;
        let mut after: PostId = 0;
        loop {
            let deltas = self.stored_deltas(after, SLICE)?;
            for delta in &deltas {
                self.index.apply(delta);
            }
            match deltas.last() {
                Some(last) if deltas.len() == SLICE as usize => after = last.post,
                Some(_) | None => return Ok(()),
            }
        }
    }

    fn stored_deltas(&self, after: PostId, limit: u32) -> Result<Vec<PostDelta>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT id, width, height, byte_size, rating, tags, trashed_ms IS NOT NULL FROM post \
             WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let rows = select.query_and_then(params![after, limit], |row| {
            let post = row.get(0)?;
            let rating: Option<u8> = row.get(4)?;
            let tags = unpack_ascending(row.get_ref(5)?.as_blob().unwrap_or_default());
            Ok(PostDelta {
                post,
                added: tags.ok_or_else(|| Error::corrupt(format!("tags of post {post}")))?,
                removed: Vec::new(),
                columns: Some(Columns {
                    width: row.get(1)?,
                    height: row.get(2)?,
                    bytes: row.get::<_, i64>(3)?.cast_unsigned(),
                }),
                rating: rating.and_then(Rating::from_code),
                standing: match row.get(6)? {
                    true => Standing::Trashed,
                    false => Standing::Live,
                },
            })
        })?;
        rows.collect()
    }

    /// Identity of this database, new at its creation and at every restore; part of every lease
    /// token and every cursor.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Sizes of the database file and of its write-ahead log, bytes.
    pub(crate) fn file_sizes(&self) -> (u64, u64) {
        let size = |path: &Path| path.metadata().map_or(0, |meta| meta.len());
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        (size(&self.path), size(Path::new(&wal)))
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Before anything is read: a damaged file must not be able to run what it holds.
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |r| r.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Error::corrupt(format!(
            "journal mode is {mode} and cannot be made WAL"
        )));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "journal_size_limit", WAL_LIMIT_BYTES)?;
    Ok(conn)
}

/// The epoch of the database; drawn at random when it has none yet.
fn epoch(conn: &Connection) -> Result<u64, Error> {
    let kept = conn
        .query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| {
            row.get::<_, i64>(0)
        })
        .optional()?;
    if let Some(epoch) = kept {
        return Ok(epoch.cast_unsigned());
    }
    let epoch = getrandom::u64().map_err(|error| Error::File {
        action: "draw a random number from",
        path: PathBuf::from("the system"),
        source: std::io::Error::other(error),
    })?;
    conn.execute(
        "INSERT INTO meta (key, value) VALUES ('epoch', ?1)",
        params![epoch.cast_signed()],
    )?;
    Ok(epoch)
}

#[cfg(test)]
mod tests;
