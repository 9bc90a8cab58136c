//! The watching thread: takes in what happened, lets files settle, scans, and hands out work, all
//! within bounds. It blocks on nothing but the disks and the known table; when the pipeline behind
//! it is full, it stops scanning and waits.

mod agenda;
mod guard;
mod look;
mod sweep;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use kit::trace::TraceContext;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::{
    Error,
    board::Board,
    dirty::{Dirty, End, News},
    known::Table,
    listen::Listener,
    place::{Place, RootId},
    roots::Root,
    scan::Scan,
    settle::{Hint, Settle},
    stamp::Stamp,
    work::{Failure, Finding, Job},
};
use agenda::Agenda;

/// Places that may be settling at once.
const SETTLING: usize = 16_384;
/// Work that may wait to be handed out before scanning stops.
const READY: usize = 256;
/// How often to look whether the roots are still there.
const GUARD: Duration = Duration::from_secs(10);
/// A file that changed this often while it was read is given up until it changes again.
const PATIENCE: u8 = 5;

/// How often to look at everything.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Where the kernel tells what changes.
    pub rescan: Duration,
    /// Where it does not.
    pub poll: Duration,
}

/// What the watching thread is given.
#[derive(Debug)]
pub struct Parts {
    /// The roots.
    pub roots: Vec<Root>,
    /// The known table.
    pub table: Table,
    /// The mailbox.
    pub dirty: Arc<Dirty>,
    /// The board.
    pub board: Board,
    /// Where files to be read go.
    pub jobs: mpsc::Sender<Job>,
    /// Where findings go.
    pub findings: mpsc::Sender<Finding>,
    /// How often to look at everything.
    pub pace: Pace,
}

/// The watching thread's own.
#[derive(Debug)]
pub struct Watch {
    parts: Parts,
    listeners: HashMap<RootId, Listener>,
    settle: Settle,
    // Places with work under way; true if something happened there meanwhile.
    flight: HashMap<Place, bool>,
    jobs: VecDeque<Job>,
    findings: VecDeque<Finding>,
    scan: Option<Scan>,
    agenda: Agenda,
    // Roots with files that are gone without the store knowing.
    absent: BTreeSet<RootId>,
    scanned_once: BTreeSet<RootId>,
    // Roots whose last scan recognised a disk under another number.
    followed: BTreeSet<RootId>,
    scan_number: i64,
    next_guard: Instant,
}

impl Watch {
    /// Makes ready, and looks whether the roots are there, but not into them.
    ///
    /// # Errors
    /// If the known table cannot be used.
    pub fn open(parts: Parts) -> Result<Self, Error> {
        let scan_number = parts.table.ask_blocking(crate::known::Known::last_scan)?;
        let mut watch = Self {
            parts,
            listeners: HashMap::new(),
            settle: Settle::new(SETTLING),
            flight: HashMap::new(),
            jobs: VecDeque::new(),
            findings: VecDeque::new(),
            scan: None,
            agenda: Agenda::default(),
            absent: BTreeSet::new(),
            scanned_once: BTreeSet::new(),
            followed: BTreeSet::new(),
            scan_number,
            next_guard: Instant::now(),
        };
        watch.parts.board.show_roots(&watch.parts.roots);
        watch.guard_roots()?;
        Ok(watch)
    }

    /// Watches until told to stop.
    ///
    /// # Errors
    /// If the known table cannot be used any more.
    pub fn run(mut self) -> Result<(), Error> {
        loop {
            let news = self.parts.dirty.take(self.deadline());
            if news.stop {
                return Ok(());
            }
            self.take_in(news)?;
            if Instant::now() >= self.next_guard {
                self.guard_roots()?;
            }
            self.look_at_due()?;
            self.report_absent()?;
            self.scan_some()?;
            self.hand_out();
            self.publish();
        }
    }

    /// When there is something to do, if nothing comes in.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let mut deadline = self.next_guard;
        if self.has_room() {
            if self.scan.is_some() || (!self.absent.is_empty() && self.flight.len() < READY / 4) {
                return now;
            }
            deadline = self
                .agenda
                .next_due()
                .map_or(deadline, |due| due.min(deadline));
            deadline = self
                .settle
                .next_due()
                .map_or(deadline, |due| due.min(deadline));
        }
        deadline.max(now)
    }

    /// Whether more work may be made ready.
    fn has_room(&self) -> bool {
        self.jobs.len() + self.findings.len() < READY
    }

    fn take_in(&mut self, news: News) -> Result<(), Error> {
        for (place, end) in news.ends {
            self.end(&place, end);
        }
        for (place, (hint, at)) in news.events {
            if let Some(again) = self.flight.get_mut(&place) {
                *again = true;
            } else {
                self.note(&place, hint, at);
            }
        }
        for root in news.lost {
            tracing::warn!(
                root = root.0,
                "events of a root were lost: looking at all of it"
            );
            self.agenda
                .add(Place::new(root, Vec::new()), Instant::now());
        }
        if news.rescan {
            for root in &self.parts.roots {
                self.agenda
                    .add(Place::new(root.id, Vec::new()), Instant::now());
            }
        }
        if news.check_roots || news.rescan {
            self.next_guard = Instant::now();
        }
        for place in news.retries {
            self.retry(&place)?;
        }
        Ok(())
    }

    fn end(&mut self, place: &Place, end: End) {
        let again = self.flight.remove(place).unwrap_or(false);
        if self.flight.is_empty() {
            // A burst must not keep its memory for ever.
            self.flight.shrink_to(64);
        }
        match end {
            End::Changed { stamp, tries } if tries >= PATIENCE => {
                self.say(Finding::Failed(Box::new(Failure {
                    place: place.clone(),
                    stamp,
                    reason: "CHANGED_WHILE_READING",
                    message: format!("the file changed {tries} times while it was read"),
                    sha256: None,
                })));
            }
            End::Changed { stamp, tries } => {
                let quiet = self.quiet(place.root);
                if self
                    .settle
                    .watch(place, stamp, tries, quiet, Instant::now())
                    .is_err()
                {
                    self.look_later(place.root);
                }
            }
            End::ReadAgain(stamp) => self.read(place, stamp, 0, true),
            End::Done | End::Dropped if again => self.note(place, Hint::Touched, Instant::now()),
            End::Done | End::Dropped => {}
        }
    }

    fn note(&mut self, place: &Place, hint: Hint, at: Instant) {
        let quiet = self.quiet(place.root);
        if self.settle.note(place, hint, quiet, at).is_err() {
            self.look_later(place.root);
        }
    }

    /// Too much is going on: what was not noted is found by a scan.
    fn look_later(&mut self, root: RootId) {
        let due = Instant::now() + self.quiet(root);
        self.agenda.add(Place::new(root, Vec::new()), due);
    }

    fn quiet(&self, root: RootId) -> Duration {
        self.root(root)
            .map_or(crate::settle::LOCAL_QUIET, Root::quiet)
    }

    fn root(&self, id: RootId) -> Option<&Root> {
        self.parts.roots.iter().find(|root| root.id == id)
    }

    /// Makes a file ready to be read.
    fn read(&mut self, place: &Place, stamp: Stamp, tries: u8, again: bool) {
        self.flight.insert(place.clone(), false);
        self.jobs.push_back(Job {
            place: place.clone(),
            stamp,
            tries,
            again,
            trace: TraceContext::new_root(),
        });
    }

    /// Makes a finding ready to be told.
    fn say(&mut self, finding: Finding) {
        self.flight.insert(finding.place().clone(), false);
        self.findings.push_back(finding);
    }

    /// Hands out what there is room for. What does not fit goes when some of it has ended, of
    /// which the mailbox tells.
    fn hand_out(&mut self) {
        while let Some(finding) = self.findings.pop_front() {
            match self.parts.findings.try_send(finding) {
                Ok(()) => {}
                Err(TrySendError::Full(finding) | TrySendError::Closed(finding)) => {
                    self.findings.push_front(finding);
                    break;
                }
            }
        }
        while let Some(job) = self.jobs.pop_front() {
            match self.parts.jobs.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job) | TrySendError::Closed(job)) => {
                    self.jobs.push_front(job);
                    break;
                }
            }
        }
    }

    fn publish(&self) {
        let online = self.parts.roots.iter().filter(|root| root.is_online());
        let first_scan_done = online
            .map(|root| root.id)
            .all(|id| self.scanned_once.contains(&id));
        let pending = (self.settle.len() + self.flight.len()) as u64;
        let scanning =
            self.scan.is_some() || self.agenda.is_due(Instant::now()) || !self.absent.is_empty();
        // With the mailbox held still: nobody may see an idle watcher while there is news.
        self.parts.dirty.look(|news| {
            self.parts.board.update(|progress| {
                progress.pending = pending + news.events.len() as u64;
                progress.scanning = scanning || news.rescan || !news.lost.is_empty();
                progress.first_scan_done = first_scan_done;
            });
        });
    }
}
