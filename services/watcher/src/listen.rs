//! Listening to the kernel: every directory is watched by itself, and *before* it is listed, so
//! that nothing that happens in between is lost. Events are hints; a scan is the truth.
//!
//! The handler runs on notify's thread, which must keep up with the kernel's queue: it only notes
//! places in the mailbox.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{
    Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

use crate::{
    dirty::Dirty,
    place::{self, Place, RootId},
    settle::Hint,
};

/// Listens to one root. Dropping it ends that.
#[derive(Debug)]
pub struct Listener {
    watcher: RecommendedWatcher,
    root: PathBuf,
}

/// Why a directory cannot be listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deaf {
    /// The kernel's limit of watches is reached.
    Limit,
    /// The directory is gone again: no harm.
    Gone,
    /// Something else.
    Other(String),
}

impl Listener {
    /// Begins to listen; no directory is watched yet.
    ///
    /// # Errors
    /// If the kernel gives no inotify instance.
    pub fn open(id: RootId, root: &Path, dirty: Arc<Dirty>) -> Result<Self, Deaf> {
        let prefix = root.as_os_str().as_bytes().to_vec();
        let handler = move |event: notify::Result<Event>| match event {
            Ok(event) => hear(id, &prefix, &event, &dirty),
            Err(_) => dirty.lost(id),
        };
        let config = Config::default().with_follow_symlinks(false);
        let watcher = RecommendedWatcher::new(handler, config).map_err(|error| deaf(&error))?;
        Ok(Self {
            watcher,
            root: root.to_owned(),
        })
    }

    /// Watches one directory. Again does no harm.
    ///
    /// # Errors
    /// If changes in this directory will not be heard of.
    pub fn watch(&mut self, path: &[u8]) -> Result<(), Deaf> {
        let directory = if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(OsStr::from_bytes(path))
        };
        self.watcher
            .watch(&directory, RecursiveMode::NonRecursive)
            .map_err(|error| deaf(&error))
    }
}

fn deaf(error: &notify::Error) -> Deaf {
    match &error.kind {
        ErrorKind::MaxFilesWatch => Deaf::Limit,
        ErrorKind::PathNotFound | ErrorKind::WatchNotFound => Deaf::Gone,
        ErrorKind::Io(io) if io.kind() == std::io::ErrorKind::NotFound => Deaf::Gone,
        _ => Deaf::Other(error.to_string()),
    }
}

fn hear(id: RootId, prefix: &[u8], event: &Event, dirty: &Dirty) {
    if event.need_rescan() {
        dirty.lost(id);
        return;
    }
    let hint = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Hint::Finished,
        // A new directory is looked into at once; a new file will be written to.
        EventKind::Create(notify::event::CreateKind::Folder) => Hint::Finished,
        // Reading changes nothing, and "both" repeats what "from" and "to" have said.
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => Hint::Touched,
    };
    for path in &event.paths {
        let Some(rest) = path.as_os_str().as_bytes().strip_prefix(prefix) else {
            continue;
        };
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        if rest.is_empty() {
            dirty.tell(|news| news.check_roots = true);
        } else if !place::is_path_skipped(rest) {
            dirty.event(Place::new(id, rest), hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::dirty::News;

    fn heard(dirty: &Dirty, wanted: impl Fn(&News) -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if wanted(&dirty.take(deadline)) {
                return true;
            }
        }
        false
    }

    #[test]
    fn a_close_and_a_rename_into_place_are_heard_as_finished() {
        let root = tempfile::tempdir().expect("a folder");
        let elsewhere = tempfile::tempdir().expect("a folder");
        let dirty = Arc::new(Dirty::default());
        let mut listener = Listener::open(RootId(1), root.path(), dirty.clone()).expect("listens");
        listener.watch(b"").expect("watches");
        fs::write(root.path().join("a.jpg"), "x").expect("writes");
        let finished = |name: &'static [u8]| {
            move |news: &News| {
                news.events
                    .get(&Place::new(RootId(1), name))
                    .map(|(hint, _)| *hint)
                    == Some(Hint::Finished)
            }
        };
        assert!(heard(&dirty, finished(b"a.jpg")));
        fs::write(elsewhere.path().join("b"), "x").expect("writes");
        fs::rename(elsewhere.path().join("b"), root.path().join("b.jpg")).expect("renames");
        assert!(heard(&dirty, finished(b"b.jpg")));
    }

    #[test]
    fn an_overflow_and_the_loss_of_the_root_are_told() {
        let dirty = Dirty::default();
        let overflow = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        hear(RootId(1), b"/r", &overflow, &dirty);
        let removed =
            Event::new(EventKind::Remove(notify::event::RemoveKind::Folder)).add_path("/r".into());
        hear(RootId(1), b"/r", &removed, &dirty);
        let hidden = Event::new(EventKind::Any).add_path("/r/.cache/x".into());
        hear(RootId(1), b"/r", &hidden, &dirty);
        let news = dirty.take(Instant::now());
        assert!(news.lost.contains(&RootId(1)) && news.check_roots && news.events.is_empty());
    }

    #[test]
    fn a_directory_that_is_gone_is_no_failure_of_the_listener() {
        let root = tempfile::tempdir().expect("a folder");
        let dirty = Arc::new(Dirty::default());
        let mut listener = Listener::open(RootId(1), root.path(), dirty).expect("listens");
        assert_eq!(listener.watch(b"not/there"), Err(Deaf::Gone));
    }
}
