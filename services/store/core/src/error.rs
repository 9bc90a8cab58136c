//! What can go wrong in the store, one variant for each thing a caller would treat differently.

use std::path::PathBuf;

/// A failure of the store. The message is for people and names the value that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value breaks a rule; nothing was changed.
    #[error("{what} {value:?} is not valid: {rule}")]
    Invalid {
        /// What the value is.
        what: &'static str,
        /// The value, shortened if it is long.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// There is no such thing.
    #[error("there is no {noun} {name:?}")]
    NotFound {
        /// What was looked for.
        noun: &'static str,
        /// By which name.
        name: String,
    },
    /// Only a post in the trash can be restored or ended.
    #[error("posts/{post} is not in the trash; nothing was changed")]
    NotTrashed {
        /// The post.
        post: crate::PostId,
    },
    /// More items in one call than its limit allows.
    #[error("{count} {what} in one call, at most {limit} are allowed")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A number that is never reused has run out.
    #[error("no {noun} number is left: {limit} were given out")]
    Exhausted {
        /// What is numbered.
        noun: &'static str,
        /// The greatest number.
        limit: u64,
    },
    /// The caller is an earlier start of its process, or was never announced.
    #[error("{noun} {name:?} is not registered with incarnation {incarnation}; register again")]
    NotRegistered {
        /// `node` or `watcher`.
        noun: &'static str,
        /// Its name.
        name: String,
        /// The incarnation it called with.
        incarnation: u64,
    },
    /// The node was registered with the token of somebody else.
    #[error(
        "node {name:?} belongs to {owner:?}, who registered it; give yours another --instance, or come \
         back when that one is offline and holds no leases"
    )]
    NodeOfAnother {
        /// Name of the node.
        name: String,
        /// Whose it is.
        owner: String,
    },
    /// A cursor of another database, or one from before a restore: read everything again.
    #[error(
        "cursor (epoch {epoch}, seq {seq}) does not belong to this feed (epoch {now_epoch}, seq {now_seq}); read everything again"
    )]
    ResyncRequired {
        /// Epoch of the cursor.
        epoch: u64,
        /// Position of the cursor.
        seq: u64,
        /// Epoch of the store.
        now_epoch: u64,
        /// Last position of the store.
        now_seq: u64,
    },
    /// Another store has the directory open.
    #[error("the data directory {} is in use by another store{}", .dir.display(), holder(.pid))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Process that holds it, if it could be read.
        pid: Option<u32>,
    },
    /// The directory is on a file system where locks and shared memory are not sound.
    #[error(
        "the data directory {} is on {kind}, where SQLite's locks are not sound; put it on a local disk, or allow it explicitly", .dir.display()
    )]
    NetworkFileSystem {
        /// The directory.
        dir: PathBuf,
        /// Name of the kind of file system.
        kind: &'static str,
    },
    /// The database was written by a newer version of this program.
    #[error(
        "the database {} has schema {found}, this program knows up to {known}; use a newer program", .path.display()
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// The database holds something it cannot hold. Restore a backup.
    #[error("the database is damaged: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// A file or directory could not be made, opened or locked.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// No space is left; nothing was changed and reading goes on.
    #[error("the disk of the data directory is full; nothing was changed")]
    DiskFull,
    /// Reading or syncing the database failed, so what is on disk is not known any more. The
    /// process must exit and open it anew; a sync must never be tried again.
    #[error("the database cannot be trusted any more, the process must restart: {what}")]
    Fatal {
        /// Why.
        what: String,
    },
    /// A neighbour's failure made SQLite roll the whole group back. Try again.
    #[error(
        "the transaction was lost to another request's failure, nothing was changed; try again"
    )]
    GroupLost,
    /// SQLite refused a statement.
    #[error("database: {source}")]
    Sqlite {
        /// Why.
        source: rusqlite::Error,
    },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

impl Error {
    /// A value that breaks a rule; long values are shortened to 200 characters.
    pub(crate) fn invalid(
        what: &'static str,
        value: &(impl std::fmt::Display + ?Sized),
        rule: &'static str,
    ) -> Self {
        let value = value.to_string().chars().take(200).collect();
        Self::Invalid { what, value, rule }
    }

    /// Something that does not exist.
    pub(crate) fn not_found(noun: &'static str, name: &(impl std::fmt::Display + ?Sized)) -> Self {
        Self::NotFound {
            noun,
            name: name.to_string(),
        }
    }

    /// Damage found while reading.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    /// Whether the process must exit and read the database anew.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fatal { .. })
    }
}

impl From<rusqlite::Error> for Error {
    fn from(source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match source.sqlite_error_code() {
            Some(Code::DiskFull) => Self::DiskFull,
            Some(Code::SystemIoFailure) => Self::Fatal {
                what: source.to_string(),
            },
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Corrupt {
                what: source.to_string(),
            },
            Some(_) | None => Self::Sqlite { source },
        }
    }
}

/// Refuses a call that carries more than `limit` items.
pub(crate) fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), Error> {
    if count > limit {
        return Err(Error::TooMany { what, count, limit });
    }
    Ok(())
}
