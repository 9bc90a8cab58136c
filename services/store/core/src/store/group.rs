//! Group commit: many requests, one sync of the disk.
//!
//! `begin`, then `request` for each waiting caller, then one `commit`. Each request runs in a
//! SAVEPOINT: if it fails, its rows and all it did in memory are undone and its neighbours go on.
//! The search index changes only after COMMIT has returned.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::effective::Effective;
use crate::index::{Columns, PostDelta, Standing};
use crate::lease::{self, Notice};
use crate::post::{Content, Post};
use crate::{Error, ModelId, PostId, TagId};

use super::Store;

/// What a committed group changed; wake whoever waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Last position of the feed.
    pub last_seq: u64,
    /// Whether the feed has grown.
    pub changed: bool,
    /// Models that have tasks to lease now.
    pub woken: Vec<ModelId>,
    /// Nodes that were stopped and tasks that became suspects, for the log.
    pub notices: Vec<Notice>,
    /// Whether demand may have changed.
    pub demand_changed: bool,
    /// Whether [`Write::upkeep`] has something new to do.
    pub upkeep: bool,
}

/// The writing side of a store within one request. It reads as the store does.
#[derive(Debug)]
pub struct Write<'a> {
    pub(crate) store: &'a mut Store,
}

impl std::ops::Deref for Write<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store
    }
}

/// The open group: what is to be published once it is committed.
#[derive(Debug)]
pub(super) struct Group {
    start: Mark,
    deltas: Vec<PostDelta>,
    woken: Vec<ModelId>,
    notices: Vec<Notice>,
    demand_changed: bool,
    upkeep: bool,
    /// Set when SQLite rolled the whole transaction back by itself, as it does on a full disk.
    lost: Option<Lost>,
}

#[derive(Debug, Clone, Copy)]
enum Lost {
    DiskFull,
    Otherwise,
}

/// Where everything in memory stood, to go back to.
#[derive(Debug, Clone, Copy)]
struct Mark {
    lease: lease::Mark,
    seq: u64,
    tags: usize,
    deltas: usize,
    woken: usize,
    notices: usize,
}

impl Store {
    /// Opens a group. Fails if a former COMMIT left the database in doubt.
    pub fn begin(&mut self) -> Result<(), Error> {
        if let Some(what) = &self.fatal {
            return Err(Error::Fatal { what: what.clone() });
        }
        assert!(self.group.is_none(), "invariant: a group is open already");
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        self.group = Some(Group {
            start: Mark {
                lease: self.leases.mark(),
                seq: self.seq,
                tags: self.tags.len(),
                deltas: 0,
                woken: 0,
                notices: 0,
            },
            deltas: Vec::new(),
            woken: Vec::new(),
            notices: Vec::new(),
            demand_changed: false,
            upkeep: false,
            lost: None,
        });
        Ok(())
    }

    /// Runs one request in the open group. If it fails or panics, nothing of it remains.
    pub fn request<T>(
        &mut self,
        work: impl FnOnce(&mut Write<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check_group()?;
        let mark = self.mark();
        self.conn.prepare_cached("SAVEPOINT request")?.execute([])?;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let value = work(&mut Write { store: self })?;
            self.conn.prepare_cached("RELEASE request")?.execute([])?;
            Ok(value)
        }));
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                self.undo_request(mark, matches!(error, Error::DiskFull));
                self.note_fatal(&error);
                Err(error)
            }
            Err(panic) => {
                self.undo_request(mark, false);
                resume_unwind(panic)
            }
        }
    }

    /// Commits the open group, and only then lets what it changed be seen in memory. On error
    /// nothing in memory has changed; after [`Error::Fatal`] the process must exit.
    pub fn commit(&mut self) -> Result<Published, Error> {
        let committed = self.check_group().and_then(|()| {
            self.conn.prepare_cached("COMMIT")?.execute([])?;
            Ok(())
        });
        let group = self.group.take().expect("invariant: commit ends a group");
        if let Err(error) = committed {
            self.abandon(&group, &error);
            return Err(error);
        }
        self.leases.settle();
        for delta in &group.deltas {
            self.index.apply(delta);
        }
        Ok(Published {
            last_seq: self.seq,
            changed: self.seq > group.start.seq,
            woken: group.woken,
            notices: group.notices,
            demand_changed: group.demand_changed,
            upkeep: group.upkeep,
        })
    }

    /// Begins a group of one, runs the request, commits. For start-up, tools and tests.
    pub fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Write<'_>) -> Result<T, Error>,
    ) -> Result<(T, Published), Error> {
        self.begin()?;
        let outcome = self.request(work);
        let published = self.commit()?;
        Ok((outcome?, published))
    }

    fn check_group(&self) -> Result<(), Error> {
        let group = self.group.as_ref().expect("invariant: a group is open");
        match group.lost {
            None => Ok(()),
            Some(Lost::DiskFull) => Err(Error::DiskFull),
            Some(Lost::Otherwise) => Err(Error::GroupLost),
        }
    }

    fn mark(&self) -> Mark {
        let group = self.group.as_ref().expect("invariant: a group is open");
        Mark {
            lease: self.leases.mark(),
            seq: self.seq,
            tags: self.tags.len(),
            deltas: group.deltas.len(),
            woken: group.woken.len(),
            notices: group.notices.len(),
        }
    }

    fn undo_request(&mut self, mark: Mark, disk_full: bool) {
        // SQLite rolls the whole transaction back by itself on some errors; then the savepoint is
        // gone, and so is what the neighbours wrote before.
        let undone = !self.conn.is_autocommit()
            && self
                .conn
                .execute_batch("ROLLBACK TO request; RELEASE request")
                .is_ok();
        self.undo_memory(mark);
        let group = self.group.as_mut().expect("invariant: a group is open");
        group.deltas.truncate(mark.deltas);
        group.woken.truncate(mark.woken);
        group.notices.truncate(mark.notices);
        if !undone {
            group.lost = Some(if disk_full {
                Lost::DiskFull
            } else {
                Lost::Otherwise
            });
        }
    }

    /// Rolls a group back of which nothing was committed.
    fn abandon(&mut self, group: &Group, error: &Error) {
        let rolled_back = self.conn.is_autocommit() || self.conn.execute_batch("ROLLBACK").is_ok();
        self.undo_memory(group.start);
        self.note_fatal(error);
        if !rolled_back {
            self.fatal = Some(format!(
                "the transaction cannot be rolled back after: {error}"
            ));
        }
    }

    fn undo_memory(&mut self, mark: Mark) {
        self.leases.rollback_to(mark.lease);
        self.seq = mark.seq;
        self.tags.truncate(mark.tags);
        self.models.borrow_mut().clear();
        self.presence.tell_again();
    }

    fn note_fatal(&mut self, error: &Error) {
        if error.is_fatal() && self.fatal.is_none() {
            self.fatal = Some(error.to_string());
        }
    }
}

impl Write<'_> {
    fn group(&mut self) -> &mut Group {
        let group = self.store.group.as_mut();
        group.expect("invariant: a request runs in a group")
    }

    /// A model has tasks to lease.
    pub(crate) fn wake(&mut self, model: ModelId) {
        let group = self.group();
        if !group.woken.contains(&model) {
            group.woken.push(model);
        }
    }

    /// Something for the log.
    pub(crate) fn note(&mut self, notice: Notice) {
        self.group().notices.push(notice);
    }

    /// Demand may be another now.
    pub(crate) fn demand_changed(&mut self) {
        self.group().demand_changed = true;
    }

    /// There is something new to do in the background.
    pub(crate) fn upkeep_wanted(&mut self) {
        self.group().upkeep = true;
    }

    /// A post will be searchable.
    pub(crate) fn stage_added(&mut self, post: PostId, content: &Content) {
        let columns = Some(columns(content));
        self.group().deltas.push(PostDelta {
            post,
            added: Vec::new(),
            removed: Vec::new(),
            columns,
            rating: None,
            standing: Standing::Live,
        });
    }

    /// A post will have other tags and another rating.
    pub(crate) fn stage_derived(&mut self, before: &Post, after: &Effective) {
        let delta = PostDelta {
            post: before.id,
            added: without(&after.tags, &before.tags),
            removed: without(&before.tags, &after.tags),
            columns: None,
            rating: after.rating,
            standing: before.standing(),
        };
        self.group().deltas.push(delta);
    }

    /// A post will be in the trash, or out of it.
    pub(crate) fn stage_standing(&mut self, post: &Post, standing: Standing) {
        self.group().deltas.push(PostDelta {
            post: post.id,
            added: Vec::new(),
            removed: Vec::new(),
            columns: None,
            rating: post.rating,
            standing,
        });
    }

    /// A post will be found no more.
    pub(crate) fn stage_removed(&mut self, before: &Post) {
        let delta = PostDelta {
            post: before.id,
            added: Vec::new(),
            removed: before.tags.clone(),
            columns: Some(Columns::default()),
            rating: None,
            standing: Standing::Gone,
        };
        self.group().deltas.push(delta);
    }
}

/// What search filters and sorts by.
pub(super) fn columns(content: &Content) -> Columns {
    Columns {
        width: content.width,
        height: content.height,
        bytes: content.byte_size,
    }
}

/// What of one ascending list is not in another.
fn without(list: &[TagId], other: &[TagId]) -> Vec<TagId> {
    let fresh = |tag: &&TagId| other.binary_search(tag).is_err();
    list.iter().filter(fresh).copied().collect()
}
