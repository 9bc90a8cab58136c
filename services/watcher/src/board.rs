//! What the parts of the watcher show each other and the world: roots, and how far things are.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{place::RootId, roots::Root};

/// How far things are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// A scan is under way.
    pub scanning: bool,
    /// Every root that is there was scanned since the start.
    pub first_scan_done: bool,
    /// Files looked at by the present or last scan.
    pub scanned: u64,
    /// Files waiting to settle, to be read, rendered or registered.
    pub pending: u64,
    /// Files registered since the start.
    pub registered: u64,
    /// Files refused since the start.
    pub failed: u64,
    /// Why nothing moves, if nothing moves.
    pub waiting_for: &'static str,
}

/// The board. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// How far things are.
    pub progress: watch::Sender<Progress>,
    roots: watch::Sender<Arc<[Root]>>,
}

impl Board {
    /// The roots as they are now.
    #[must_use]
    pub fn roots(&self) -> Arc<[Root]> {
        self.roots.borrow().clone()
    }

    /// Follows the roots.
    #[must_use]
    pub fn watch_roots(&self) -> watch::Receiver<Arc<[Root]>> {
        self.roots.subscribe()
    }

    /// Shows other roots.
    pub fn show_roots(&self, roots: &[Root]) {
        self.roots.send_replace(roots.into());
    }

    /// One root.
    #[must_use]
    pub fn root(&self, id: RootId) -> Option<Root> {
        self.roots
            .borrow()
            .iter()
            .find(|root| root.id == id)
            .cloned()
    }

    /// Changes the progress; followers hear of it only if it is another one then.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_if_modified(|progress| {
            let before = progress.clone();
            change(progress);
            *progress != before
        });
    }
}
