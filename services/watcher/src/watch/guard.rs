//! Watching over the roots themselves: a disk that goes away takes nothing along, and one that
//! comes back is looked at.

use std::time::Instant;

use super::{GUARD, Watch};
use crate::{
    Error,
    listen::{Deaf, Listener},
    place::{Place, RootId},
    roots::{FileSystem, Reach, examine},
};

/// Files looked for when another directory is in the place of a root.
const WITNESSES: u32 = 64;

impl Watch {
    /// Looks whether each root is there.
    pub(super) fn guard_roots(&mut self) -> Result<(), Error> {
        self.next_guard = Instant::now() + GUARD;
        for index in 0..self.parts.roots.len() {
            let root = &self.parts.roots[index];
            if root.open().is_some() {
                continue;
            }
            let (id, path) = (root.id, root.path.clone());
            let before = match root.reach {
                Reach::Online(identity) => identity,
                Reach::Offline(_) => self.identity(id)?,
            };
            let table = self.parts.table.clone();
            let mut trouble = None;
            let reach = examine(&path, before, || {
                table
                    .ask_blocking(move |known| known.witnesses(id, WITNESSES))
                    .unwrap_or_else(|error| {
                        trouble = Some(error);
                        Vec::new()
                    })
            });
            if let Some(error) = trouble {
                return Err(error);
            }
            match reach {
                Reach::Online(identity) => self.come_online(index, identity)?,
                Reach::Offline(why) => self.go_offline(index, why),
            }
        }
        Ok(())
    }

    fn identity(&self, id: RootId) -> Result<(u64, u64), Error> {
        self.parts
            .table
            .ask_blocking(move |known| known.identity(id))
    }

    fn come_online(&mut self, index: usize, identity: (u64, u64)) -> Result<(), Error> {
        let root = &mut self.parts.roots[index];
        root.reach = Reach::Online(identity);
        root.file_system = FileSystem::of(&root.path);
        let id = root.id;
        tracing::info!(root.path = %root.path.display(), "watching {}", root.path.display());
        self.parts
            .table
            .ask_blocking(move |known| known.identify(id, identity))?;
        self.listeners.remove(&id);
        self.parts.board.show_roots(&self.parts.roots);
        self.agenda.add(Place::new(id, Vec::new()), Instant::now());
        Ok(())
    }

    fn go_offline(&mut self, index: usize, why: String) {
        let root = &mut self.parts.roots[index];
        let id = root.id;
        if root.reach == Reach::Offline(why.clone()) {
            return;
        }
        tracing::warn!(
            root.path = %root.path.display(),
            "{} is offline: {why}; nothing of it becomes missing", root.path.display()
        );
        root.reach = Reach::Offline(why);
        self.listeners.remove(&id);
        self.settle.forget_where(|place| place.root == id);
        self.agenda.forget(id);
        self.absent.remove(&id);
        if self.scan.as_ref().is_some_and(|scan| scan.root() == id) {
            self.scan = None;
        }
        self.parts.board.show_roots(&self.parts.roots);
    }

    /// Prepares listening to a root before all of it is scanned: from then on it is listened to, or
    /// it is known why not.
    pub(super) fn listen(&mut self, id: RootId) {
        let poll = self.parts.pace.poll;
        let Some(root) = self.parts.roots.iter_mut().find(|root| root.id == id) else {
            return;
        };
        root.polled = match root.file_system {
            FileSystem::Local => None,
            FileSystem::Network(name) => Some(format!(
                "it lies on a network file system ({name}), which does not tell what others \
                 change; looked at every {} s",
                poll.as_secs()
            )),
        };
        let path = root.path.clone();
        if !self.listeners.contains_key(&id) {
            match Listener::open(id, &path, self.parts.dirty.clone()) {
                Ok(listener) => {
                    self.listeners.insert(id, listener);
                }
                Err(deaf) => self.deaf(id, &deaf),
            }
        }
        self.parts.board.show_roots(&self.parts.roots);
    }

    /// Changes of a root are not heard of, or not all.
    pub(super) fn deaf(&mut self, id: RootId, why: &Deaf) {
        let poll = self.parts.pace.poll.as_secs();
        let Some(root) = self.parts.roots.iter_mut().find(|root| root.id == id) else {
            return;
        };
        if root.polled.is_some() {
            return;
        }
        let why = match why {
            Deaf::Gone => return,
            Deaf::Limit => "it has more folders than the kernel may watch: raise \
                            fs.inotify.max_user_watches"
                .to_owned(),
            Deaf::Other(why) => format!("the kernel does not tell what changes: {why}"),
        };
        tracing::warn!(root.path = %root.path.display(), "{}: {why}", root.path.display());
        root.polled = Some(format!("{why}; looked at every {poll} s"));
        self.parts.board.show_roots(&self.parts.roots);
    }
}
