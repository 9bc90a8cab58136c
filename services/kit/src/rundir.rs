//! Who runs on this machine: `DATA/run/ROLE.json`, so that programs find each other whatever port
//! was free. Who holds the lock beside it has the word; a second process of that role on the same
//! data stays silent.

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize};

/// What a running service writes about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Role, such as `store`.
    pub role: String,
    /// Address of its gRPC listener.
    pub address: SocketAddr,
    /// Address of its health listener.
    pub admin_address: SocketAddr,
    /// Its process id.
    pub pid: u32,
    /// Its incarnation.
    pub incarnation: u64,
}

/// An announcement on disk; removed when dropped.
#[derive(Debug)]
pub struct Announced {
    path: PathBuf,
    _lock: File,
}

impl Announcement {
    /// Reads what the service of this role last announced. It may have been killed since.
    #[must_use]
    pub fn read(data: &Path, role: &str) -> Option<Self> {
        let text = fs::read(file(data, role)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the announcement, whole or not at all; `None` if another process has the word.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, data: &Path) -> io::Result<Option<Announced>> {
        let path = file(data, &self.role);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lock = File::create(path.with_extension("lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let draft = path.with_extension(format!("json.{}", self.pid));
        fs::write(&draft, serde_json::to_vec(self)?)?;
        fs::rename(&draft, &path)?;
        Ok(Some(Announced { path, _lock: lock }))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        // A stale announcement is harmless: whoever reads it finds nobody answering.
        let _ = fs::remove_file(&self.path);
    }
}

fn file(data: &Path, role: &str) -> PathBuf {
    data.join("run").join(format!("{role}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(incarnation: u64) -> Announcement {
        Announcement {
            role: "store".to_owned(),
            address: ([127, 0, 0, 1], 7801).into(),
            admin_address: ([127, 0, 0, 1], 7901).into(),
            pid: 7,
            incarnation,
        }
    }

    #[test]
    fn an_announcement_lasts_as_long_as_its_process() {
        let data = tempfile::tempdir().expect("a folder");
        let first = announcement(1).write(data.path()).expect("writes");
        assert!(first.is_some());
        let read = || Announcement::read(data.path(), "store");
        assert_eq!(read(), Some(announcement(1)));
        let second = announcement(2).write(data.path()).expect("writes");
        assert!(second.is_none(), "the first one has the word");
        drop(second);
        assert_eq!(read(), Some(announcement(1)));
        drop(first);
        assert_eq!(read(), None);
        let third = announcement(3).write(data.path()).expect("writes");
        assert!(third.is_some());
        assert_eq!(read(), Some(announcement(3)));
    }
}
