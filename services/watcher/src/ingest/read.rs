//! Opening and hashing one file. Blocks.

use std::{fs::File, io, sync::Arc};

use rustix::{fs::fstat, io::Errno};

use crate::{
    beneath::Base,
    glance,
    hash::{self, Digests},
    place::Place,
    roots::Root,
    stamp::{Kind, Stamp},
    work::UNREADABLE,
};

/// What came of reading a file.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its content, unchanged while it was read.
    Content(Content),
    /// It is no picture and does not claim to be one.
    Ignored(Stamp),
    /// It cannot become a post: reason code and text.
    Refused(Stamp, &'static str, String),
    /// It changed meanwhile, to this.
    Changed(Stamp),
    /// It is not there any more.
    Gone,
    /// Its root is not there.
    Away,
}

/// An open file and what its bytes amount to.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) file: Arc<File>,
    pub(super) stamp: Stamp,
    pub(super) digests: Digests,
    root: Root,
    place: Place,
}

/// Reads the file at `place`, unless it has more than `largest` bytes.
pub(super) fn read(root: &Root, place: &Place, largest: u64) -> Outcome {
    let Some(base) = root.open() else {
        return Outcome::Away;
    };
    let unreadable = |stamp, error: &dyn std::fmt::Display| {
        Outcome::Refused(stamp, UNREADABLE, format!("cannot be read: {error}"))
    };
    let file = match base.file(&place.path) {
        Ok(file) => Arc::new(file),
        // NXIO: a socket, or a device without a driver, has taken its place.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Outcome::Gone,
        Err(error) => {
            let stamp = base
                .stat(&place.path)
                .map(|(_, stamp)| stamp)
                .unwrap_or_default();
            return unreadable(stamp, &error);
        }
    };
    let stamp = match fstat(&file) {
        Ok(stat) if Kind::of(&stat) == Kind::File => Stamp::of(&stat),
        Ok(_) => return Outcome::Gone,
        Err(error) => return unreadable(Stamp::default(), &error),
    };
    match reject(&file, place, &stamp, largest) {
        Ok(None) => {}
        Ok(Some(outcome)) => return outcome,
        Err(error) => return unreadable(stamp, &error),
    }
    let digests = match hash::digests(&file) {
        Ok(digests) => digests,
        Err(error) => return unreadable(stamp, &error),
    };
    let content = Content {
        file,
        stamp,
        digests,
        root: root.clone(),
        place: place.clone(),
    };
    match content.is_unchanged() {
        Ok(()) => Outcome::Content(content),
        Err(now) => Outcome::Changed(now),
    }
}

/// What need not be hashed to be refused.
fn reject(file: &File, place: &Place, stamp: &Stamp, largest: u64) -> io::Result<Option<Outcome>> {
    if !glance::claims_to_be_a_picture(&place.path)
        && !glance::looks_like_a_picture(&hash::head::<{ glance::HEAD }>(file)?)
    {
        return Ok(Some(Outcome::Ignored(*stamp)));
    }
    let refused = |reason, message| Ok(Some(Outcome::Refused(*stamp, reason, message)));
    if stamp.size == 0 {
        return refused("EMPTY_FILE", "the file is empty".to_owned());
    }
    if stamp.size > largest {
        let message = format!("{} bytes: the limit is {largest}", stamp.size);
        return refused("TOO_LARGE", message);
    }
    Ok(None)
}

impl Content {
    /// Whether file and path are still what was read; if not, what the path is now.
    pub(super) fn is_unchanged(&self) -> Result<(), Stamp> {
        let open = fstat(&self.file)
            .map(|stat| Stamp::of(&stat))
            .unwrap_or_default();
        let named = self
            .root
            .open()
            .and_then(|base: Base| base.stat(&self.place.path).ok())
            .map(|(_, stamp)| stamp)
            .unwrap_or_default();
        let whole = self.digests.bytes == self.stamp.size;
        if whole && open == self.stamp && named == self.stamp {
            Ok(())
        } else {
            Err(named)
        }
    }
}
