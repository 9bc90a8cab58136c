//! Roots: which folders may be watched, and whether the folder that is there now is the one that
//! was there before. A root that is away is *offline*: nothing of it becomes missing.

mod file_system;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use file_system::FileSystem;
use rustix::io::Errno;

use crate::{
    beneath::Base,
    place::RootId,
    settle::{LOCAL_QUIET, NETWORK_QUIET},
    stamp::Stamp,
};

/// Why a folder cannot be a root.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is something, but no folder.
    #[error("{} is no folder", .0.display())]
    NotAFolder(PathBuf),
    /// The name means nothing.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// One of two roots would be watched twice.
    #[error("{} lies in {}; name only one of them", inner.display(), outer.display())]
    Nested {
        /// The inner one.
        inner: PathBuf,
        /// The outer one.
        outer: PathBuf,
    },
    /// Our own files would be catalogued.
    #[error(
        "{} and the data folder {} lie in one another; choose another --data",
        root.display(), data.display()
    )]
    Data {
        /// The root.
        root: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
}

/// Whether a root can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It is there; see [`Base::identity`].
    Online((u64, u64)),
    /// It is not, and why.
    Offline(String),
}

/// A folder that is watched.
#[derive(Debug, Clone)]
pub struct Root {
    /// Its number in the known table.
    pub id: RootId,
    /// Its path, without links as far as it exists.
    pub path: PathBuf,
    /// What it lies on, when it was last there.
    pub file_system: FileSystem,
    /// Whether it can be reached.
    pub reach: Reach,
    /// Why changes are not noticed at once, if so.
    pub polled: Option<String>,
}

impl Root {
    /// How long a file of this root must stand still.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        match self.file_system {
            FileSystem::Local => LOCAL_QUIET,
            FileSystem::Network(_) => NETWORK_QUIET,
        }
    }

    /// Whether it can be reached.
    #[must_use]
    pub fn is_online(&self) -> bool {
        matches!(self.reach, Reach::Online(_))
    }

    /// Opens its directory if that is still the one it was.
    #[must_use]
    pub fn open(&self) -> Option<Base> {
        let Reach::Online(identity) = self.reach else {
            return None;
        };
        let base = Base::open(&self.path).ok()?;
        (base.identity() == identity).then_some(base)
    }

    /// What a person should know of it; empty if nothing.
    #[must_use]
    pub fn notice(&self) -> String {
        match (&self.reach, &self.polled) {
            (Reach::Offline(why), _) | (Reach::Online(_), Some(why)) => why.clone(),
            (Reach::Online(_), None) => String::new(),
        }
    }
}

/// Checks the folders named by the user: each a folder or absent, none twice, none within another,
/// none together with the data folder.
///
/// # Errors
/// The first folder that cannot be watched.
pub fn check(paths: &[PathBuf], data: &Path) -> Result<Vec<PathBuf>, Error> {
    let data = resolve(data)?;
    let mut roots: Vec<PathBuf> = Vec::new();
    for path in paths {
        let root = resolve(path)?;
        if root.exists() && !root.is_dir() {
            return Err(Error::NotAFolder(root));
        }
        if root.starts_with(&data) || data.starts_with(&root) {
            return Err(Error::Data { root, data });
        }
        if roots.contains(&root) {
            continue;
        }
        for other in &roots {
            for (inner, outer) in [(&root, other), (other, &root)] {
                if inner.starts_with(outer) {
                    let (inner, outer) = (inner.clone(), outer.clone());
                    return Err(Error::Nested { inner, outer });
                }
            }
        }
        roots.push(root);
    }
    Ok(roots)
}

/// The path without links, as far as it exists: a disk that is not plugged in must keep its name.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let unusable = |source| Error::Unusable {
        path: path.to_owned(),
        source,
    };
    let whole = std::path::absolute(path).map_err(unusable)?;
    for existing in whole.ancestors() {
        match existing.canonicalize() {
            Ok(real) => {
                // `join` of an empty rest would add a slash.
                return Ok(match whole.strip_prefix(existing) {
                    Ok(rest) if rest.as_os_str().is_empty() => real,
                    Ok(rest) => real.join(rest),
                    Err(_) => real,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(error)),
        }
    }
    Ok(whole)
}

/// Looks whether the root at `path` is there. `before` is its identity when it was last there
/// (zeros: never). If another directory is there now, it is taken for the same root only if some
/// of the files known of it are in it: an empty mount point, or another disk, is not.
pub fn examine(
    path: &Path,
    before: (u64, u64),
    witnesses: impl FnOnce() -> Vec<(Vec<u8>, Stamp)>,
) -> Reach {
    let base = match Base::open(path) {
        Ok(base) => base,
        Err(Errno::NOENT) => return Reach::Offline("its folder is not there".to_owned()),
        Err(error) => return Reach::Offline(format!("its folder cannot be opened: {error}")),
    };
    let identity = base.identity();
    if identity == before || before == (0, 0) {
        return Reach::Online(identity);
    }
    let witnesses = witnesses();
    let seen = |(path, stamp): &(Vec<u8>, Stamp)| {
        base.stat(path)
            .is_ok_and(|(_, found)| stamp.agrees_with(&found))
    };
    if witnesses.is_empty() || witnesses.iter().any(seen) {
        return Reach::Online(identity);
    }
    Reach::Offline(format!(
        "an empty or another folder is in its place: of {} known files looked for, none is there",
        witnesses.len()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nested_roots_and_the_data_folder_are_refused() {
        let top = tempfile::tempdir().expect("a folder");
        let at = |name: &str| top.path().join(name);
        fs::create_dir_all(at("a/b")).expect("makes");
        fs::create_dir_all(at("data/samples")).expect("makes");
        fs::write(at("file"), "x").expect("writes");
        let check = |names: &[&str]| {
            let paths: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
            super::check(&paths, &at("data"))
        };
        assert!(matches!(check(&["a", "a/b"]), Err(Error::Nested { .. })));
        assert!(matches!(check(&["a/b", "a"]), Err(Error::Nested { .. })));
        assert!(matches!(check(&["data/samples"]), Err(Error::Data { .. })));
        assert!(matches!(check(&[""]), Err(Error::Data { .. })));
        assert!(matches!(check(&["file"]), Err(Error::NotAFolder(_))));
        assert_eq!(check(&["a", "a/../a"]).expect("accepts").len(), 1);
        let absent = check(&["a/not/there"]).expect("accepts");
        assert!(absent[0].ends_with("a/not/there"));
    }

    #[test]
    fn a_root_is_recognised_by_its_directory_or_by_its_files() {
        let top = tempfile::tempdir().expect("a folder");
        let path = top.path().join("root");
        let nobody = || panic!("not needed");
        assert!(matches!(examine(&path, (0, 0), nobody), Reach::Offline(_)));
        fs::create_dir(&path).expect("makes");
        let Reach::Online(identity) = examine(&path, (0, 0), nobody) else {
            panic!("it is there");
        };
        assert_eq!(examine(&path, identity, nobody), Reach::Online(identity));

        fs::write(path.join("a.jpg"), "abc").expect("writes");
        let base = Base::open(&path).expect("opens");
        let (_, stamp) = base.stat(b"a.jpg").expect("stats");
        let other = (identity.0, identity.1 + 1);
        let witness = || vec![(b"gone.jpg".to_vec(), stamp), (b"a.jpg".to_vec(), stamp)];
        assert_eq!(examine(&path, other, witness), Reach::Online(identity));
        let stranger = || vec![(b"gone.jpg".to_vec(), stamp)];
        assert!(matches!(examine(&path, other, stranger), Reach::Offline(_)));
        assert_eq!(examine(&path, other, Vec::new), Reach::Online(identity));
    }
}
