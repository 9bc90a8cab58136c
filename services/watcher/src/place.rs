//! Where a file is: a root and the path below it, in bytes.

use std::sync::Arc;

/// Number of a root in the known table of this watcher. Not the store's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootId(pub u32);

/// A file or directory below a root. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The root.
    pub root: RootId,
    /// The path below it: any bytes but NUL, no slash at either end, empty for the root itself.
    pub path: Arc<[u8]>,
}

impl Place {
    /// A place from its parts.
    #[must_use]
    pub fn new(root: RootId, path: impl Into<Arc<[u8]>>) -> Self {
        Self {
            root,
            path: path.into(),
        }
    }

    /// Directory part and name.
    #[must_use]
    pub fn split(&self) -> (&[u8], &[u8]) {
        match self.path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&self.path[..slash], &self.path[slash + 1..]),
            None => (b"", &self.path),
        }
    }

    /// Whether `self` is `above` or lies below it.
    #[must_use]
    pub fn is_within(&self, above: &Self) -> bool {
        self.root == above.root
            && (above.path.is_empty()
                || self
                    .path
                    .strip_prefix(above.path.as_ref())
                    .is_some_and(|rest| matches!(rest.first(), None | Some(b'/'))))
    }

    /// For logs: bytes that are no UTF-8 and control characters escaped.
    #[must_use]
    pub fn display(&self) -> String {
        readable(&self.path)
    }
}

/// The path of `name` in the directory `dir`.
#[must_use]
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    if !dir.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// A path for people: what is no UTF-8 becomes `\xNN`, control characters are escaped.
#[must_use]
pub fn readable(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Names that are never looked at: hidden entries, files still being downloaded, and folders that
/// other programs keep beside pictures (thumbnails of a NAS, recycle bins).
#[must_use]
pub fn is_skipped(name: &[u8]) -> bool {
    const UNFINISHED: &[&[u8]] = &[
        b".part",
        b".partial",
        b".crdownload",
        b".download",
        b".tmp",
        b".temp",
        b".filepart",
        b".aria2",
        b".opdownload",
        b".!ut",
        b".!qb",
        b"~",
    ];
    const FOREIGN: &[&[u8]] = &[
        b"@eaDir",
        b"#recycle",
        b"$RECYCLE.BIN",
        b"System Volume Information",
        b"lost+found",
    ];
    let lower = name.to_ascii_lowercase();
    name.first() == Some(&b'.')
        || FOREIGN.contains(&name)
        || UNFINISHED.iter().any(|suffix| lower.ends_with(suffix))
}

/// Whether any part of the path is skipped.
#[must_use]
pub fn is_path_skipped(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(is_skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_within_itself_and_what_is_above_but_not_beside() {
        let place = |path: &[u8]| Place::new(RootId(1), path);
        assert!(place(b"a/b").is_within(&place(b"a")));
        assert!(place(b"a").is_within(&place(b"a")));
        assert!(place(b"a").is_within(&place(b"")));
        assert!(!place(b"ab").is_within(&place(b"a")));
        assert!(!place(b"a").is_within(&place(b"a/b")));
        assert!(!Place::new(RootId(2), b"a/b".as_slice()).is_within(&place(b"a")));
    }

    #[test]
    fn splitting_and_joining_are_inverse() {
        for path in [b"a".as_slice(), b"a/b", b"a/b/c\xff"] {
            let place = Place::new(RootId(1), path);
            let (dir, name) = place.split();
            assert_eq!(join(dir, name), path);
        }
    }

    #[test]
    fn people_can_read_any_name() {
        assert_eq!(readable("雲\n.jpg".as_bytes()), "雲\\n.jpg");
        assert_eq!(readable(b"a\xffb"), "a\\xffb");
    }

    #[test]
    fn hidden_unfinished_and_foreign_names_are_skipped() {
        for name in [
            b".a.jpg".as_slice(),
            b"a.jpg.PART",
            b"b.crdownload",
            b"c.jpg~",
            b"@eaDir",
        ] {
            assert!(is_skipped(name), "{}", readable(name));
        }
        for name in [b"a.jpg".as_slice(), b"part.png", b"tmp", b"a.partial.jpg"] {
            assert!(!is_skipped(name), "{}", readable(name));
        }
        assert!(is_path_skipped(b"a/.git/b.jpg"));
    }
}
