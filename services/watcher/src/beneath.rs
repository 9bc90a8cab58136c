//! Opening what lies below a root, and nothing else: no link is followed, no `..` leaves it.

use std::{
    ffi::OsStr,
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, statx},
    io::Errno,
};

use crate::stamp::{Kind, Stamp};

/// The directory of a root, held open only for one piece of work: an open descriptor would keep
/// the user from unmounting the disk.
#[derive(Debug)]
pub struct Base {
    fd: OwnedFd,
    identity: (u64, u64),
}

impl Base {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// The system's error; `NOTDIR` if it is no directory.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let stamp = Stamp::of(&rustix::fs::fstat(&fd)?);
        let identity = (stamp.dev, stamp.ino ^ born(&fd));
        Ok(Self { fd, identity })
    }

    /// Device of the root's directory, and a number made of its inode and time of birth. Device
    /// and inode alone are the same for two sticks plugged in one after the other, or for a
    /// directory that was removed and made again.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// As if the root's directory lay on device `dev`, and all that is in it on disks mounted below.
    #[cfg(test)]
    pub(crate) fn on_device(self, dev: u64) -> Self {
        let identity = (dev, self.identity.1);
        Self { identity, ..self }
    }

    /// Whether a file that lay on device `dev` and is not found at `path` any more is gone, and
    /// not merely out of sight because a disk mounted below the root is away, or hides it.
    /// `dev` 0: not known.
    #[must_use]
    pub fn would_show(&self, path: &[u8], dev: u64) -> bool {
        dev == 0 || self.device_above(path) == Some(dev)
    }

    /// Device of the lowest directory above `path` that is there; `None` if that cannot be told.
    fn device_above(&self, path: &[u8]) -> Option<u64> {
        let mut above = path;
        while let Some(slash) = above.iter().rposition(|&byte| byte == b'/') {
            above = &above[..slash];
            match self.stat(above) {
                Ok((Kind::Directory, stamp)) => return Some(stamp.dev),
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(_) => return None,
            }
        }
        Some(self.identity.0)
    }

    /// Opens a file for reading. A pipe in its place does not block; it must be told apart by
    /// fstat.
    ///
    /// # Errors
    /// The system's error; `LOOP` if a link is in the way.
    pub fn file(&self, path: &[u8]) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.resolve(path, flags).map(File::from)
    }

    /// Opens a directory for listing.
    ///
    /// # Errors
    /// The system's error.
    pub fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Kind and stamp of what lies at `path`, links not followed.
    ///
    /// # Errors
    /// The system's error.
    pub fn stat(&self, path: &[u8]) -> Result<(Kind, Stamp), Errno> {
        let fd = self.resolve(path, OFlags::PATH)?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok((Kind::of(&stat), Stamp::of(&stat)))
    }

    /// The part of `path` that is gone: the highest component that is not there though its parent
    /// is. `None` if all of it is there, or if that cannot be told.
    #[must_use]
    pub fn gone_part<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let ends = path
            .iter()
            .enumerate()
            .filter_map(|(at, &byte)| (byte == b'/').then_some(at))
            .chain([path.len()]);
        for end in ends {
            match self.stat(&path[..end]) {
                Ok((Kind::Directory, _)) => {}
                // A file or link where a directory was: what was below is gone.
                Ok(_) => return path.get(..=end).map(|_| path),
                Err(Errno::NOENT | Errno::NOTDIR) => return Some(&path[..end]),
                Err(_) => return None,
            }
        }
        None
    }

    fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() {
            b".".as_slice()
        } else {
            path
        };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        // EAGAIN: a rename elsewhere made the kernel unsure whether the path stays beneath.
        for _ in 0..16 {
            match rustix::fs::openat2(
                &self.fd,
                OsStr::from_bytes(path),
                flags,
                Mode::empty(),
                rules,
            ) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                // Kernels before 5.6, and sandboxes that do not know the call.
                Err(Errno::NOSYS | Errno::PERM) => return self.walk(path, flags),
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    fn walk(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut parts = path.split(|&byte| byte == b'/').peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(part) = parts.next() {
            if part == b".." {
                return Err(Errno::XDEV);
            }
            let last = parts.peek().is_none();
            let dir = at.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            let flags = if last { flags } else { step };
            let next = rustix::fs::openat(dir, OsStr::from_bytes(part), flags, Mode::empty())?;
            at = Some(next);
        }
        at.ok_or(Errno::NOENT)
    }
}

/// Time of birth as one number; 0 where the file system or kernel does not tell.
fn born(fd: &OwnedFd) -> u64 {
    let told = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME);
    told.ok()
        .filter(|told| StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::BTIME))
        .map_or(0, |told| {
            let seconds = told.stx_btime.tv_sec.cast_unsigned();
            (seconds << 30) ^ u64::from(told.stx_btime.tv_nsec)
        })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_and_parents_lead_nowhere() {
        let outside = tempfile::tempdir().expect("makes a folder");
        fs::write(outside.path().join("secret"), "x").expect("writes");
        let root = tempfile::tempdir().expect("makes a folder");
        fs::create_dir(root.path().join("a")).expect("makes");
        fs::write(root.path().join("a/f"), "x").expect("writes");
        symlink(outside.path(), root.path().join("out")).expect("links");
        symlink("a/f", root.path().join("link")).expect("links");
        let base = Base::open(root.path()).expect("opens");
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for open in [
            |base: &Base, path: &[u8], _| base.file(path).map(drop),
            |base: &Base, path: &[u8], flags| base.walk(path, flags).map(drop),
        ] {
            assert_eq!(open(&base, b"a/f", flags), Ok(()));
            assert!(open(&base, b"out/secret", flags).is_err());
            assert!(open(&base, b"link", flags).is_err());
            assert!(open(&base, b"../x", flags).is_err());
            assert_eq!(open(&base, b"a/none", flags), Err(Errno::NOENT));
        }
        assert_eq!(base.stat(b"link").map(|(kind, _)| kind), Ok(Kind::Other));
    }

    #[test]
    fn a_pipe_is_told_apart_without_blocking() {
        let root = tempfile::tempdir().expect("makes a folder");
        let pipe = root.path().join("a.jpg");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .expect("makes a pipe");
        let base = Base::open(root.path()).expect("opens");
        let file = base.file(b"a.jpg").expect("opens at once");
        assert!(!file.metadata().expect("stats").is_file());
        assert_eq!(base.stat(b"a.jpg").map(|(kind, _)| kind), Ok(Kind::Other));
    }

    #[test]
    fn a_directory_made_again_is_another_one_even_if_its_inode_is_used_again() {
        let top = tempfile::tempdir().expect("makes a folder");
        let path = top.path().join("root");
        let identity = || {
            fs::create_dir(&path).expect("makes");
            let identity = Base::open(&path).expect("opens").identity();
            fs::remove_dir(&path).expect("removes");
            identity
        };
        let mut seen: Vec<_> = (0..8)
            .map(|_| {
                // File systems' clocks tick slowly.
                std::thread::sleep(std::time::Duration::from_millis(12));
                identity()
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 8, "{seen:?}");
    }

    #[test]
    fn a_file_would_show_only_where_its_device_is() {
        let root = tempfile::tempdir().expect("makes a folder");
        fs::create_dir(root.path().join("a")).expect("makes");
        let base = Base::open(root.path()).expect("opens");
        let (here, _) = base.identity();
        for path in [b"x".as_slice(), b"a/x", b"a/b/c/x"] {
            assert!(base.would_show(path, here));
            assert!(base.would_show(path, 0), "not known where it lay");
            assert!(!base.would_show(path, here + 1), "on a disk that is away");
        }
    }

    #[test]
    fn the_highest_part_that_is_gone_is_named() {
        let root = tempfile::tempdir().expect("makes a folder");
        fs::create_dir_all(root.path().join("a/b")).expect("makes");
        fs::write(root.path().join("a/f"), "x").expect("writes");
        let base = Base::open(root.path()).expect("opens");
        assert_eq!(base.gone_part(b"a/b/c"), Some(b"a/b/c".as_slice()));
        assert_eq!(base.gone_part(b"a/x/y/z"), Some(b"a/x".as_slice()));
        assert_eq!(base.gone_part(b"a/f/z"), Some(b"a/f/z".as_slice()));
        assert_eq!(base.gone_part(b"a/b"), None);
    }
}
