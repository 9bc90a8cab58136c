//! What a root lies on: changes that another machine makes are told by no kernel.

use std::path::Path;

/// Kind of file system, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// Of this machine: every change is told.
    Local,
    /// Others may change it unnoticed, and its times come from another clock. With its name.
    Network(&'static str),
}

/// Magic numbers of statfs(2) that stand for "somebody else may change this".
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
    (0x7461_636f, "OCFS2"),
];

impl FileSystem {
    /// What `path` lies on; local if that cannot be told.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        rustix::fs::statfs(path).map_or(Self::Local, |stat| {
            // Sign extension of 32-bit platforms must not hide the number.
            Self::from_magic(stat.f_type as u64 & 0xffff_ffff)
        })
    }

    fn from_magic(magic: u64) -> Self {
        NETWORK
            .iter()
            .find(|(number, _)| *number == magic)
            .map_or(Self::Local, |(_, name)| Self::Network(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_by_their_number() {
        assert_eq!(FileSystem::from_magic(0x6969), FileSystem::Network("NFS"));
        assert_eq!(FileSystem::from_magic(0xef53), FileSystem::Local);
        assert_eq!(FileSystem::of(Path::new("/proc")), FileSystem::Local);
    }
}
