//! What the file system says of a file without reading it: enough to know that nothing changed.

use rustix::fs::{FileType, Stat};

/// The marks by which a file is recognised. Any writing changes at least one of them; `ctime_ns`
/// cannot be set by a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stamp {
    /// Device number. Changes from boot to boot on some file systems.
    pub dev: u64,
    /// Inode number; 0 if only the store's record of the file is known.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i64,
}

impl Stamp {
    /// The stamp in a stat result.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// A stamp as far as the store remembers one: no inode, no change time.
    #[must_use]
    pub fn remembered(size: u64, mtime_ns: i64) -> Self {
        Self {
            size,
            mtime_ns,
            ..Self::default()
        }
    }

    /// Whether this came from the store's memory and not from a file system.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.ino == 0 && self.ctime_ns == 0
    }

    /// The device that this was noted on, if `seen` is the same in everything else, as far as that
    /// is remembered.
    #[must_use]
    pub fn on_another_device(&self, seen: &Self) -> Option<u64> {
        let there = Self {
            dev: seen.dev,
            ..*self
        };
        let same = there == *seen || (self.is_remembered() && self.agrees_with(seen));
        (self.dev != 0 && self.dev != seen.dev && same).then_some(self.dev)
    }

    /// Whether size and modification time agree.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.size == other.size && self.mtime_ns == other.mtime_ns
    }
}

/// Kind of a directory entry, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, pipe, socket or device: never opened.
    Other,
}

impl Kind {
    /// The kind in a stat result.
    #[must_use]
    pub fn of(stat: &Stat) -> Self {
        Self::from_type(FileType::from_raw_mode(stat.st_mode))
    }

    fn from_type(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            _ => Self::Other,
        }
    }
}

fn nanoseconds(seconds: i64, nanoseconds: u64) -> i64 {
    let part = i64::try_from(nanoseconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_known_by_all_marks_that_are_remembered_of_a_file() {
        let seen = Stamp {
            dev: 6,
            ino: 7,
            ctime_ns: 20,
            ..Stamp::remembered(100, 10)
        };
        let noted = Stamp { dev: 5, ..seen };
        assert_eq!(noted.on_another_device(&seen), Some(5));
        let learned = Stamp {
            dev: 5,
            ..Stamp::remembered(100, 10)
        };
        assert_eq!(learned.on_another_device(&seen), Some(5));
        for other in [
            seen,
            Stamp { dev: 0, ..seen },
            Stamp { ino: 8, ..noted },
            Stamp {
                ctime_ns: 21,
                ..noted
            },
            Stamp { size: 101, ..noted },
            Stamp {
                size: 101,
                ..learned
            },
            Stamp {
                mtime_ns: 11,
                ..learned
            },
        ] {
            assert_eq!(other.on_another_device(&seen), None, "{other:?}");
        }
    }
}
