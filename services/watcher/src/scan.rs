//! Walking a root, a few hundred entries at a time, so that events are served in between.
//!
//! The frontier lies in the known table, one directory is open at a time, and every directory is
//! watched before it is listed. Links are not followed; what is no regular file is not opened.

mod disks;

use rustix::{
    fs::{AtFlags, Dir, FileType, statat},
    io::Errno,
};

use crate::{
    Error,
    beneath::Base,
    known::{Compared, KnownDir, State, Table},
    listen::{Deaf, Listener},
    place::{self, Place, RootId, join},
    stamp::{Kind, Stamp},
};
use disks::Disks;

/// Entries looked at in one step.
const STEP: usize = 256;

/// Something that a scan came upon.
#[derive(Debug)]
pub enum Find {
    /// A regular file, with what is known of it.
    File(Place, Stamp, Compared),
    /// Something that cannot be read.
    Unreadable(Place, Stamp, Errno),
}

/// What one step of a scan brought.
#[derive(Debug, Default)]
pub struct Step {
    /// What it came upon.
    pub finds: Vec<Find>,
    /// Files that it looked at.
    pub looked: u64,
    /// Whether known files were found to be gone.
    pub absent: bool,
    /// Why changes below the root will not be heard of, if so.
    pub deaf: Option<Deaf>,
    /// Whether the scan is at its end.
    pub done: bool,
}

/// A walk of a root, or of one directory and what is below it.
#[derive(Debug)]
pub struct Scan {
    root: RootId,
    // Number of a walk of the whole root.
    number: Option<i64>,
    listing: Option<Listing>,
    // Path of the last directory asked after, once all were listed.
    asking_after: Option<Vec<u8>>,
    disks: Disks,
    followed: bool,
}

#[derive(Debug)]
struct Listing {
    dir: KnownDir,
    entries: Dir,
    matched: u64,
}

impl Scan {
    /// Begins to walk `start` and what is below; `number` if that is the whole root.
    ///
    /// # Errors
    /// If the known table cannot be used.
    pub fn begin(table: &Table, start: &Place, number: Option<i64>) -> Result<Self, Error> {
        let place = start.clone();
        table.ask_blocking(move |known| known.begin_scan(place.root, &place.path))?;
        Ok(Self {
            root: start.root,
            number,
            listing: None,
            asking_after: None,
            disks: Disks::new(start.root),
            followed: false,
        })
    }

    /// The root that is walked.
    #[must_use]
    pub fn root(&self) -> RootId {
        self.root
    }

    /// Whether the whole root is walked.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.number.is_some()
    }

    /// Whether a disk was recognised under another number: what is gone from directories of it that
    /// were listed before was not noticed.
    #[must_use]
    pub fn has_followed(&self) -> bool {
        self.followed
    }

    /// Looks at the next few entries.
    ///
    /// # Errors
    /// If the known table cannot be used.
    pub fn step(
        &mut self,
        table: &Table,
        base: &Base,
        listener: Option<&mut Listener>,
    ) -> Result<Step, Error> {
        let mut step = Step::default();
        self.disks.own(base.identity().0);
        if self.asking_after.is_some() {
            self.ask_after_unlisted(table, base, &mut step)?;
        } else if self.listing.is_none() {
            self.open_next(table, base, listener, &mut step)?;
        }
        if self.listing.is_some() {
            self.list(table, base, &mut step)?;
        }
        Ok(step)
    }

    fn open_next(
        &mut self,
        table: &Table,
        base: &Base,
        listener: Option<&mut Listener>,
        step: &mut Step,
    ) -> Result<(), Error> {
        let root = self.root;
        let Some(dir) = table.ask_blocking(move |known| known.next_dir(root))? else {
            match self.number {
                Some(_) => self.asking_after = Some(Vec::new()),
                None => step.done = true,
            }
            return Ok(());
        };
        match listener.map_or(Ok(()), |listener| listener.watch(&dir.path)) {
            Ok(()) | Err(Deaf::Gone) => {}
            Err(deaf) => step.deaf = Some(deaf),
        }
        let opened = base.directory(&dir.path).and_then(Dir::new);
        let (id, path) = (dir.id, dir.path.clone());
        match opened {
            Ok(entries) => {
                let listable = Place::new(root, path);
                step.absent |= table.ask_blocking(move |known| known.is_listable(&listable))?;
                self.listing = Some(Listing {
                    dir,
                    entries,
                    matched: 0,
                });
            }
            Err(error) => {
                // What cannot be listed may still show what is gone from below it.
                if let Ok((_, stamp)) = base.stat(&path) {
                    self.disks.meet(table, base, stamp.dev)?;
                }
                if !matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP) {
                    // No disk is noted for it: the failure ends with the directory, in whatever
                    // way that goes, and nothing else is lost with it.
                    let place = Place::new(root, path);
                    step.finds
                        .push(Find::Unreadable(place, Stamp::default(), error));
                }
                table.ask_blocking(move |known| known.finish_dir(id, None))?;
            }
        }
        Ok(())
    }

    fn list(&mut self, table: &Table, base: &Base, step: &mut Step) -> Result<(), Error> {
        let Some(mut listing) = self.listing.take() else {
            return Ok(());
        };
        let chunk = listing.next_chunk(self.root, step);
        step.looked += chunk.files.len() as u64;
        let devices = chunk.files.iter().map(|(_, stamp)| stamp.dev);
        for dev in devices.chain(listing.device()) {
            self.disks.meet(table, base, dev)?;
        }
        let (root, id) = (self.root, listing.dir.id);
        let (path, names) = (listing.dir.path.clone(), chunk.directories);
        let (mut files, mut compared) = table.ask_blocking(move |known| {
            known.add_dirs(root, &path, &names)?;
            let compared = known.compare(id, &chunk.files)?;
            Ok((chunk.files, compared))
        })?;
        if self.disks.follow(table, base, &files, &compared)? {
            self.followed = true;
            (files, compared) = table.ask_blocking(move |known| {
                let compared = known.compare(id, &files)?;
                Ok((files, compared))
            })?;
        }
        for ((name, stamp), compared) in files.into_iter().zip(compared) {
            let is_there = |state| matches!(state, State::Held | State::Failed | State::Ignored);
            listing.matched +=
                u64::from(compared.row.as_ref().is_some_and(|row| is_there(row.state)));
            let place = Place::new(root, join(&listing.dir.path, &name));
            step.finds.push(Find::File(place, stamp, compared));
        }
        match chunk.end {
            None => self.listing = Some(listing),
            Some(whole) => {
                if whole {
                    step.absent |= Self::find_absent(table, &listing)?;
                }
                let number = self.number.filter(|_| whole);
                table.ask_blocking(move |known| known.finish_dir(id, number))?;
            }
        }
        Ok(())
    }

    /// Names that should be in a directory and were not listed are asked after one by one.
    fn find_absent(table: &Table, listing: &Listing) -> Result<bool, Error> {
        let id = listing.dir.id;
        if table.ask_blocking(move |known| known.count_names(id))? == listing.matched {
            return Ok(false);
        }
        let Some((fd, lies_on)) = listing.entries.fd().ok().zip(listing.device()) else {
            return Ok(false);
        };
        let (mut after, mut found) = (Vec::new(), false);
        loop {
            let from = std::mem::take(&mut after);
            let names = table.ask_blocking(move |known| known.names(id, &from, STEP as u32))?;
            let Some((last, _)) = names.last() else {
                return Ok(found);
            };
            after.clone_from(last);
            let gone: Vec<Vec<u8>> = names
                .into_iter()
                // What lay on another device was perhaps on a disk that was mounted here.
                .filter(|(_, dev)| *dev == 0 || *dev == lies_on)
                .map(|(name, _)| name)
                .filter(
                    |name| match statat(fd, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => Kind::of(&stat) == Kind::Other,
                        Err(error) => error == Errno::NOENT,
                    },
                )
                .collect();
            found |= !gone.is_empty();
            table.ask_blocking(move |known| known.mark_absent(id, &gone))?;
        }
    }

    /// Directories that the walk did not come by are asked after; those that are gone take their
    /// files along.
    fn ask_after_unlisted(
        &mut self,
        table: &Table,
        base: &Base,
        step: &mut Step,
    ) -> Result<(), Error> {
        let (root, number) = (self.root, self.number.unwrap_or_default());
        let after = self.asking_after.take().unwrap_or_default();
        let unlisted =
            table.ask_blocking(move |known| known.unlisted(root, number, &after, STEP as u32))?;
        let Some(last) = unlisted.last().cloned() else {
            step.done = true;
            return Ok(());
        };
        self.asking_after = Some(last);
        let gone: Vec<Place> = unlisted
            .into_iter()
            .filter(|path| match base.stat(path) {
                Ok((kind, _)) => kind != Kind::Directory,
                Err(error) => matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP),
            })
            .map(|path| Place::new(root, path))
            .collect();
        step.absent |= table.ask_blocking(move |known| {
            let mut marked = false;
            for place in &gone {
                marked |= known.mark_absent_at(place)? > 0;
                known.forget_dir(place)?;
            }
            Ok(marked)
        })?;
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Chunk {
    files: Vec<(Vec<u8>, Stamp)>,
    directories: Vec<Vec<u8>>,
    // At the end of the directory: whether all of it could be listed.
    end: Option<bool>,
}

impl Listing {
    /// The device that the directory lies on.
    fn device(&self) -> Option<u64> {
        self.entries.stat().ok().map(|stat| stat.st_dev)
    }

    fn next_chunk(&mut self, root: RootId, step: &mut Step) -> Chunk {
        let mut chunk = Chunk::default();
        for _ in 0..STEP {
            let entry = match self.entries.read() {
                None => {
                    chunk.end = Some(true);
                    break;
                }
                Some(Err(error)) => {
                    let place = Place::new(root, self.dir.path.clone());
                    step.finds
                        .push(Find::Unreadable(place, Stamp::default(), error));
                    chunk.end = Some(false);
                    break;
                }
                Some(Ok(entry)) => entry,
            };
            let name = entry.file_name().to_bytes();
            if place::is_skipped(name) {
                continue;
            }
            match entry.file_type() {
                FileType::Directory => chunk.directories.push(name.to_vec()),
                FileType::RegularFile | FileType::Unknown => {
                    self.look(root, name, &mut chunk, step);
                }
                _ => {}
            }
        }
        chunk
    }

    fn look(&self, root: RootId, name: &[u8], chunk: &mut Chunk, step: &mut Step) {
        let stat = self
            .entries
            .fd()
            .and_then(|fd| statat(fd, name, AtFlags::SYMLINK_NOFOLLOW));
        match stat {
            Ok(stat) => match Kind::of(&stat) {
                Kind::File => chunk.files.push((name.to_vec(), Stamp::of(&stat))),
                Kind::Directory => chunk.directories.push(name.to_vec()),
                Kind::Other => {}
            },
            // Gone since it was listed.
            Err(Errno::NOENT) => {}
            Err(error) => {
                let place = Place::new(root, join(&self.dir.path, name));
                step.finds
                    .push(Find::Unreadable(place, Stamp::default(), error));
            }
        }
    }
}

#[cfg(test)]
mod tests;
