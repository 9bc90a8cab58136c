//! Scanning in slices, and telling of files that are gone.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::Watch;
use crate::{
    Error,
    beneath::Base,
    place::{Place, RootId},
    roots::Root,
    scan::{Find, Scan, Step},
    settle::Hint,
    stamp::{Kind, Stamp},
    work::Finding,
};

/// Files told of as gone at once.
const PAGE: u32 = 256;
/// How long to scan before other things have their turn.
const SLICE: Duration = Duration::from_millis(50);

impl Watch {
    /// Scans for a while, if a scan is under way or due and there is room for what it finds.
    pub(super) fn scan_some(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        while self.has_room() && start.elapsed() < SLICE {
            if self.scan.is_none() && !self.begin_scan()? {
                break;
            }
            let Some(mut scan) = self.scan.take() else {
                break;
            };
            let Some(base) = self.root(scan.root()).and_then(Root::open) else {
                self.lose_sight(scan.root());
                break;
            };
            let listener = self.listeners.get_mut(&scan.root());
            let step = scan.step(&self.parts.table, &base, listener)?;
            self.take_step(scan, step);
        }
        Ok(())
    }

    fn begin_scan(&mut self) -> Result<bool, Error> {
        let Some(place) = self.agenda.take_due(Instant::now()) else {
            return Ok(false);
        };
        if !self.root(place.root).is_some_and(Root::is_online) {
            return Ok(true);
        }
        let number = place.path.is_empty().then(|| {
            self.scan_number += 1;
            self.scan_number
        });
        if number.is_some() {
            self.listen(place.root);
            self.parts.board.update(|progress| progress.scanned = 0);
        }
        self.scan = Some(Scan::begin(&self.parts.table, &place, number)?);
        Ok(true)
    }

    fn take_step(&mut self, scan: Scan, step: Step) {
        let root = scan.root();
        for find in step.finds {
            match find {
                Find::File(place, stamp, compared) => self.found(&place, stamp, &compared),
                Find::Unreadable(place, stamp, error) => self.unreadable(&place, stamp, error),
            }
        }
        if let Some(deaf) = step.deaf {
            self.deaf(root, &deaf);
        }
        if step.absent {
            self.absent.insert(root);
        }
        self.parts
            .board
            .update(|progress| progress.scanned += step.looked);
        if !step.done {
            self.scan = Some(scan);
            return;
        }
        // What was not noticed is looked for by one more scan. Only by one: a disk that each scan
        // recognises too late must not keep us scanning.
        if scan.has_followed() {
            if self.followed.insert(root) {
                self.look_later(root);
            }
        } else if scan.is_whole() {
            self.followed.remove(&root);
        }
        if scan.is_whole() {
            self.end_whole_scan(root);
        }
    }

    fn end_whole_scan(&mut self, id: RootId) {
        // What an earlier process left untold is told now, too.
        self.absent.insert(id);
        self.scanned_once.insert(id);
        let pace = self.parts.pace;
        let polled = self.root(id).is_some_and(|root| root.polled.is_some());
        let every = if polled { pace.poll } else { pace.rescan };
        self.agenda
            .add(Place::new(id, Vec::new()), Instant::now() + every);
    }

    /// Tells of files that are gone, a page at a time. A file becomes missing only while its root
    /// is there, and the disk it lay on, and only after one more look.
    pub(super) fn report_absent(&mut self) -> Result<(), Error> {
        if self.flight.len() >= PAGE as usize / 4 {
            return Ok(());
        }
        let roots: BTreeSet<RootId> = self.absent.clone();
        for id in roots {
            // A move shows as a file that is gone and one that is new: the new one first, so that
            // a post is never without a place.
            if !self.has_room() || self.scan.as_ref().is_some_and(|scan| scan.root() == id) {
                continue;
            }
            let Some(base) = self.root(id).and_then(Root::open) else {
                self.absent.remove(&id);
                self.lose_sight(id);
                continue;
            };
            let page = self
                .parts
                .table
                .ask_blocking(move |known| known.absent(id, PAGE))?;
            if page.len() < PAGE as usize {
                self.absent.remove(&id);
            }
            self.report_page(&base, page)?;
        }
        Ok(())
    }

    fn report_page(&mut self, base: &Base, page: Vec<(Place, Stamp)>) -> Result<(), Error> {
        let mut not_gone = Vec::new();
        for (place, stamp) in page {
            if self.flight.contains_key(&place) {
                continue;
            }
            match base.stat(&place.path) {
                Ok((Kind::File, _)) => {
                    self.note(&place, Hint::Touched, Instant::now());
                    not_gone.push(place);
                }
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
                    if base.would_show(&place.path, stamp.dev) =>
                {
                    self.say(Finding::Missing(place, stamp));
                }
                // Its disk is away or fails: the next scan asks again.
                _ => not_gone.push(place),
            }
        }
        if not_gone.is_empty() {
            return Ok(());
        }
        self.parts
            .table
            .ask_blocking(move |known| known.unmark_absent(&not_gone))
    }

    /// A root that should be there could not be opened. If it is away, that will be noticed now,
    /// and the scan at its return finds everything. If it is not (there were no descriptors left,
    /// or it was away for a moment), this scan does.
    pub(super) fn lose_sight(&mut self, id: RootId) {
        self.next_guard = Instant::now();
        self.look_later(id);
    }
}
