//! Disks mounted below a root, by their device numbers. A number says nothing of which disk it is:
//! another one may have it the next time, at the same place or elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Error,
    beneath::Base,
    known::{Compared, Table},
    place::RootId,
    stamp::{Kind, Stamp},
};

/// The disks that a scan has come by.
#[derive(Debug)]
pub(super) struct Disks {
    root: RootId,
    // Numbers under which nothing is noted but what lay on the disks that have them now.
    met: BTreeSet<u64>,
}

impl Disks {
    /// None yet.
    pub(super) fn new(root: RootId) -> Self {
        let met = BTreeSet::new();
        Self { root, met }
    }

    /// The root's own disk has this number. That it is the right one was made sure of when the root
    /// came online.
    pub(super) fn own(&mut self, dev: u64) {
        self.met.insert(dev);
    }

    /// The scan has come by a device. If files are noted under its number, and of those looked for
    /// none is where it was, they lie on another disk, which is away and takes nothing along.
    /// Should it be this one after all, the first file that is as it was brings all of them back
    /// ([`Disks::follow`]).
    ///
    /// To be called before anything of the device is looked up: what is on it must not be noted
    /// together with what was on another disk.
    pub(super) fn meet(&mut self, table: &Table, base: &Base, dev: u64) -> Result<(), Error> {
        let root = self.root;
        if !self.met.insert(dev) || is_there(table, base, root, dev)? {
            return Ok(());
        }
        let files = table.ask_blocking(move |known| known.displace(root, dev))?;
        if files > 0 {
            tracing::info!(
                root = root.0,
                dev,
                files,
                "a disk below a root is away, and another one has its number"
            );
        }
        Ok(())
    }

    /// A disk may have another number than the last time: a file of it that is the same but for
    /// that shows it, unless the disk is also there under the old number. All that lay on it
    /// follows, what is gone from it as well. Whether any did. All devices of the files must have
    /// been met.
    pub(super) fn follow(
        &mut self,
        table: &Table,
        base: &Base,
        files: &[(Vec<u8>, Stamp)],
        compared: &[Compared],
    ) -> Result<bool, Error> {
        let pairs = files.iter().zip(compared);
        let moved: BTreeMap<u64, u64> = pairs
            .filter_map(|((_, seen), compared)| {
                let old = compared.row.as_ref()?.stamp.on_another_device(seen)?;
                Some((old, seen.dev))
            })
            .collect();
        let (root, mut followed) = (self.root, false);
        for (old, new) in moved {
            if self.met.contains(&old) {
                continue;
            }
            if is_there(table, base, root, old)? {
                self.met.insert(old);
                continue;
            }
            table.ask_blocking(move |known| known.renumber(root, old, new))?;
            tracing::info!(
                root = root.0,
                old,
                new,
                "a disk below a root has another number than before"
            );
            followed = true;
        }
        Ok(followed)
    }
}

/// Whether some file of a root lies where it did, as it was, on the device of this number.
fn is_there(table: &Table, base: &Base, root: RootId, dev: u64) -> Result<bool, Error> {
    let witnesses = table.ask_blocking(move |known| known.on_device(root, dev))?;
    let seen = |(path, known): &(Vec<u8>, Stamp)| {
        base.stat(path).is_ok_and(|(kind, found)| {
            kind == Kind::File && found.dev == dev && known.agrees_with(&found)
        })
    };
    Ok(witnesses.iter().any(seen))
}
