//! The data directory: private, on a sound file system, and held by one store at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

/// A data directory that this process holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Its lock is what counts, and the kernel drops it with the process. The number of the
    /// process is written into it for the message alone.
    _lock: File,
}

impl Directory {
    /// Creates `path` with mode 0700 if need be, and takes it for this process.
    pub(crate) fn open(path: &Path, allow_network: bool) -> Result<Self, Error> {
        create(path).map_err(file_error("create", path))?;
        if !allow_network {
            refuse_network(path)?;
        }
        let lock_path = path.join("store.lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(file_error("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::InUse {
                    dir: path.to_owned(),
                    pid: holder(&mut lock),
                });
            }
            Err(TryLockError::Error(source)) => return Err(file_error("lock", &lock_path)(source)),
        }
        lock.set_len(0)
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .map_err(file_error("write", &lock_path))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Creates a directory and what lacks above it, so that all of it is there after a power cut too:
/// SQLite syncs the directory that its files are in, not those above.
fn create(path: &Path) -> std::io::Result<()> {
    let lacking = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let made: Vec<&Path> = path.ancestors().take_while(lacking).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    for dir in made {
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        action,
        path,
        source,
    }
}

fn refuse_network(path: &Path) -> Result<(), Error> {
    let stat = rustix::fs::statfs(path)
        .map_err(|errno| file_error("look at the file system of", path)(errno.into()))?;
    match network_kind(stat.f_type as u64 & 0xffff_ffff) {
        Some(kind) => Err(Error::NetworkFileSystem {
            dir: path.to_owned(),
            kind,
        }),
        None => Ok(()),
    }
}

/// File systems whose locks or shared memory cannot be relied on, by the kernel's magic numbers.
fn network_kind(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9p",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x00c3_6400 => "Ceph",
        0x7375_7245 => "Coda",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_holder_is_refused_with_the_directory_and_the_process() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        let first = Directory::open(&dir, false).unwrap();
        let error = Directory::open(&dir, false).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::InUse { .. }), "{message}");
        assert!(message.contains(dir.to_str().unwrap()), "{message}");
        assert!(
            message.contains(&std::process::id().to_string()),
            "{message}"
        );
        drop(first);
        Directory::open(&dir, false).unwrap();
    }

    #[test]
    fn a_new_directory_is_private() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let _held = Directory::open(&dir, false).unwrap();
        let mode = dir.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(network_kind(0x6573_5546), Some("FUSE"));
        assert_eq!(network_kind(0xff53_4d42), Some("SMB"));
        assert_eq!(network_kind(0xef53), None, "ext4");
        assert_eq!(network_kind(0x0102_1994), None, "tmpfs");
    }
}
