//! What this watcher has seen, on disk: so that looking again at an unchanged library reads no
//! file, and memory does not grow with the library.
//!
//! Derived from the store's locations and the disks: a table that is absent, damaged or of another
//! version is thrown away and rebuilt (docs/adr/0003). One thread owns it ([`kit::worker`]).

mod content;
mod device;
mod dir;
mod file;
mod moved;
mod root;
mod table;

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, ffi};

pub use content::{Checks, RenditionCheck};
pub use dir::{DirId, KnownDir};
pub use file::{Compared, Record, Row, State};
pub use moved::Moves;
pub use root::KnownRoot;
pub use table::Table;

/// Version of the schema; raised with every change of `schema.sql`.
const SCHEMA: i64 = 3;
/// Size of the page cache, KiB. The kernel's page cache does the rest.
const CACHE_KIB: i64 = 1024;

/// How long a watcher that is just leaving may hold the folder.
const LEAVING: Duration = Duration::from_secs(2);

/// A SHA-256.
pub type Sha256 = [u8; 32];

/// Why the table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite refuses. If it says that the file is damaged, the next start rebuilds it.
    #[error("the table of known files {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The file is of another version of this program.
    #[error("the table of known files {} has version {version}, not {SCHEMA}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
    },
    /// Another watcher works in the same folder.
    #[error("another watcher uses {}; give each its own --data folder", .0.display())]
    InUse(PathBuf),
    /// The folder or file cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No thread could be had.
    #[error("cannot start the thread of the known table: {0}")]
    Thread(#[from] io::Error),
}

impl Error {
    /// Whether there was no room to write. Nothing was changed then.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        let Self::Sqlite { source, .. } = self else {
            return false;
        };
        // The shared memory of the log is a file, too, and has an error of its own.
        source.sqlite_error().is_some_and(|error| {
            error.code == rusqlite::ErrorCode::DiskFull
                || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
        })
    }
}

/// How the table was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// As it was left.
    Kept,
    /// There was none.
    Absent,
    /// It could not be used, for this reason, and was replaced by an empty one.
    Replaced(String),
}

/// The table.
#[derive(Debug)]
pub struct Known {
    db: Connection,
    path: PathBuf,
    // Held for as long as the table is open.
    _lock: fs::File,
}

impl Known {
    /// Opens the table in `folder`, making or replacing it if need be.
    ///
    /// # Errors
    /// If another watcher has it open, the folder cannot be written, or the disk is full.
    pub fn open(folder: &Path) -> Result<(Self, Found), Error> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let lock = lock(folder)?;
        let path = folder.join("known.db");
        let exists = path.try_exists().map_err(io_error(&path))?;
        let damage = damage_marker(&path);
        let opened = if damage.exists() {
            Err("it was found damaged while in use".to_owned())
        } else {
            match prepare(&path) {
                // Nothing is wrong with the table: it can be opened when there is room again.
                Err(error) if error.is_disk_full() => return Err(error),
                opened => opened.map_err(|error| error.to_string()),
            }
        };
        let (db, found) = match opened {
            Ok(db) => (db, if exists { Found::Kept } else { Found::Absent }),
            Err(reason) => {
                discard(&path).map_err(io_error(&path))?;
                (prepare(&path)?, Found::Replaced(reason))
            }
        };
        let known = Self {
            db,
            path,
            _lock: lock,
        };
        Ok((known, found))
    }

    /// Bytes of memory that SQLite holds in this process.
    #[must_use]
    pub fn memory_bytes() -> u64 {
        // SAFETY: the function takes no arguments, is documented as thread-safe, and SQLite needs
        // no prior initialisation for it.
        let used = unsafe { ffi::sqlite3_memory_used() };
        u64::try_from(used).unwrap_or(0)
    }

    /// Turns what SQLite said into our error. Damage is remembered, so that the next start
    /// replaces the file.
    fn fault(&self, source: rusqlite::Error) -> Error {
        if matches!(
            source.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
        ) {
            // If even this cannot be written, the next start meets the damage again.
            let _ = fs::write(damage_marker(&self.path), source.to_string());
        }
        Error::Sqlite {
            path: self.path.clone(),
            source,
        }
    }

    fn run<T>(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let outcome = self.db.transaction().and_then(|transaction| {
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        outcome.map_err(|source| self.fault(source))
    }
}

fn lock(folder: &Path) -> Result<fs::File, Error> {
    let path = folder.join("lock");
    let io_error = |source| Error::Io {
        path: path.clone(),
        source,
    };
    let file = fs::File::create(&path).map_err(io_error)?;
    let deadline = Instant::now() + LEAVING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LEAVING / 20);
            }
            Err(fs::TryLockError::WouldBlock) => return Err(Error::InUse(folder.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(io_error(source)),
        }
    }
}

fn prepare(path: &Path) -> Result<Connection, Error> {
    let sqlite = |source| Error::Sqlite {
        path: path.to_owned(),
        source,
    };
    let db = connect(path).map_err(sqlite)?;
    let one = |sql| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = one("PRAGMA user_version").map_err(sqlite)?;
    let tables = one("SELECT count(*) FROM sqlite_schema").map_err(sqlite)?;
    if (version, tables) == (0, 0) {
        let schema = include_str!("known/schema.sql");
        db.execute_batch(&format!(
            "BEGIN; {schema} PRAGMA user_version = {SCHEMA}; COMMIT;"
        ))
        .map_err(sqlite)?;
    } else if version != SCHEMA {
        let path = path.to_owned();
        return Err(Error::Version { path, version });
    }
    Ok(db)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    // NORMAL keeps the file whole through a power cut; the last commits may be lost, and then
    // those files are read again, which changes nothing.
    db.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -{CACHE_KIB};
         PRAGMA mmap_size = 0; PRAGMA journal_size_limit = 4194304; PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;"
    ))?;
    db.set_prepared_statement_cache_capacity(48);
    Ok(db)
}

fn damage_marker(path: &Path) -> PathBuf {
    path.with_extension("damaged")
}

fn discard(path: &Path) -> io::Result<()> {
    for suffix in ["db", "db-wal", "db-shm", "damaged"] {
        match fs::remove_file(path.with_extension(suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
