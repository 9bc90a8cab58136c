//! Looking at places that are due, and deciding what to do about them.

use std::{
    collections::HashMap,
    time::{Instant, SystemTime},
};

use rustix::io::Errno;

use super::Watch;
use crate::{
    Error,
    beneath::Base,
    known::Compared,
    place::{Place, RootId},
    plan::{Action, decide},
    settle::{Look, Verdict, stood_still},
    stamp::{Kind, Stamp},
    work::{Failure, Finding, UNREADABLE},
};

impl Watch {
    /// Looks at the places that are due, as long as there is room for what comes of it.
    pub(super) fn look_at_due(&mut self) -> Result<(), Error> {
        let mut bases: HashMap<RootId, Option<Base>> = HashMap::new();
        while self.has_room() {
            let now = Instant::now();
            let Some(place) = self.settle.due(now) else {
                break;
            };
            if let Some(again) = self.flight.get_mut(&place) {
                *again = true;
                self.settle.forget(&place);
                continue;
            }
            let open = || self.root(place.root).and_then(crate::roots::Root::open);
            let base = bases.entry(place.root).or_insert_with(open);
            let Some(base) = base else {
                self.settle.forget(&place);
                self.lose_sight(place.root);
                continue;
            };
            self.look(&place, base, now)?;
        }
        Ok(())
    }

    fn look(&mut self, place: &Place, base: &Base, now: Instant) -> Result<(), Error> {
        match base.stat(&place.path) {
            Ok((Kind::File, stamp)) => {
                if let (Verdict::Settled, tries) = self.settle.judge(place, Look::There(stamp), now)
                {
                    self.seen(place, stamp, tries)?;
                }
            }
            Ok((Kind::Directory, _)) => {
                self.settle.forget(place);
                self.agenda.add(place.clone(), now);
                // Once more when things have calmed down: whatever was missed is found then.
                self.agenda.add(place.clone(), now + self.quiet(place.root));
            }
            Ok((Kind::Other, _)) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                if let (Verdict::Settled, _) = self.settle.judge(place, Look::Gone, now) {
                    self.gone(place, base)?;
                }
            }
            Err(error) => {
                self.settle.forget(place);
                self.unreadable(place, Stamp::default(), error);
            }
        }
        Ok(())
    }

    /// A settled file was seen.
    fn seen(&mut self, place: &Place, stamp: Stamp, tries: u8) -> Result<(), Error> {
        let asked = place.clone();
        let compared = self
            .parts
            .table
            .ask_blocking(move |known| known.compare_place(&asked, &stamp))?;
        match decide(&compared, &stamp) {
            Action::Read => self.read(place, stamp, tries, false),
            action => self.act(place, stamp, action),
        }
        Ok(())
    }

    /// A scan came by a file.
    pub(super) fn found(&mut self, place: &Place, stamp: Stamp, compared: &Compared) {
        if self.flight.contains_key(place) {
            return;
        }
        let action = decide(compared, &stamp);
        let quiet = self.quiet(place.root);
        if action != Action::Read {
            self.act(place, stamp, action);
        } else if stood_still(&stamp, wall_ns(), quiet) {
            self.settle.forget(place);
            self.read(place, stamp, 0, false);
        } else if self
            .settle
            .watch(place, stamp, 0, quiet, Instant::now())
            .is_err()
        {
            self.look_later(place.root);
        }
    }

    fn act(&mut self, place: &Place, stamp: Stamp, action: Action) {
        match action {
            Action::Nothing | Action::Read => {}
            Action::Remember(sha256) => self.say(Finding::Seen(place.clone(), stamp, sha256)),
            Action::Tell(sha256) => self.say(Finding::Held(place.clone(), stamp, sha256)),
        }
    }

    /// A place is gone for good, perhaps with the directory it was in.
    fn gone(&mut self, place: &Place, base: &Base) -> Result<(), Error> {
        // A link or a pipe in its place hides it as well.
        let part = base.gone_part(&place.path).unwrap_or(&place.path);
        let part = Place::new(place.root, part);
        for (other, again) in &mut self.flight {
            *again |= other.is_within(&part);
        }
        let root = place.root;
        let marked = self
            .parts
            .table
            .ask_blocking(move |known| known.mark_absent_at(&part))?;
        if marked > 0 {
            self.absent.insert(root);
        }
        Ok(())
    }

    /// Something cannot be looked at.
    pub(super) fn unreadable(&mut self, place: &Place, stamp: Stamp, error: Errno) {
        // The root itself has a state of its own, and no name below itself.
        if place.path.is_empty() || self.flight.contains_key(place) {
            return;
        }
        self.say(Finding::Failed(Box::new(Failure {
            place: place.clone(),
            stamp,
            reason: UNREADABLE,
            message: format!("cannot be read: {error}"),
            sha256: None,
        })));
    }

    /// A person wants a file tried again.
    pub(super) fn retry(&mut self, place: &Place) -> Result<(), Error> {
        if let Some(again) = self.flight.get_mut(place) {
            *again = true;
            return Ok(());
        }
        let Some(base) = self.root(place.root).and_then(crate::roots::Root::open) else {
            // The store asks until it has an answer.
            return Ok(());
        };
        match base.stat(&place.path) {
            Ok((Kind::File, stamp)) => {
                self.settle.forget(place);
                self.read(place, stamp, 0, true);
            }
            Ok((Kind::Directory, _)) => self.agenda.add(place.clone(), Instant::now()),
            Ok((Kind::Other, _)) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                let asked = place.clone();
                let compared = self
                    .parts
                    .table
                    .ask_blocking(move |known| known.compare_place(&asked, &Stamp::default()))?;
                let lay_on = compared.row.map_or(0, |row| row.stamp.dev);
                if base.would_show(&place.path, lay_on) {
                    // Nothing to try: that it is gone ends the failure.
                    self.say(Finding::Missing(place.clone(), Stamp::default()));
                } else {
                    let stamp = Stamp {
                        dev: lay_on,
                        ..Stamp::default()
                    };
                    self.unreadable(place, stamp, Errno::NOENT);
                }
            }
            Err(error) => self.unreadable(place, Stamp::default(), error),
        }
        Ok(())
    }
}

/// Nanoseconds since 1970.
fn wall_ns() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
