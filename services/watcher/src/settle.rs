//! When a file is finished: a pure state machine, with the clock passed in.
//!
//! A rename into place, or a close after writing, followed by 50 ms without another event, is
//! believed at once. Anything else (a file found by a scan, a change without a close) must stand
//! still, in size, modification and change time, for the quiet time of its file system. A file that
//! is gone is believed gone after the same time, so that a rename can be seen as one.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use crate::{place::Place, stamp::Stamp};

/// How long a finished file must have had no further event.
const PAUSE: Duration = Duration::from_millis(50);
/// Quiet time on local file systems.
pub const LOCAL_QUIET: Duration = Duration::from_secs(2);
/// Quiet time on network file systems, whose events and times come late.
pub const NETWORK_QUIET: Duration = Duration::from_secs(10);
/// How much older than now the times of a file on a network file system must be to be believed
/// without watching it: its server may have another clock.
const CLOCK_SKEW: Duration = Duration::from_secs(600);

/// What an event said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The file was renamed into place, or closed after writing.
    Finished,
    /// Something happened to it.
    Touched,
}

/// What a look at the file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is there.
    There(Stamp),
    /// It is not there.
    Gone,
}

/// What to do after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stood still: act on what was seen.
    Settled,
    /// It will be due again.
    Wait,
}

/// The set holds as many places as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The places that something happened to, until they have settled.
#[derive(Debug)]
pub struct Settle {
    entries: HashMap<Place, Entry>,
    queue: BTreeSet<(Instant, Place)>,
    capacity: usize,
}

#[derive(Debug)]
struct Entry {
    due: Instant,
    finished: bool,
    last: Option<(Look, Instant)>,
    quiet: Duration,
    tries: u8,
}

impl Settle {
    /// A set of at most `capacity` places.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: HashMap::new(),
            queue: BTreeSet::new(),
            capacity,
        }
    }

    /// How many places have not settled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether all have settled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes held, roughly.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let each = size_of::<(Place, Entry)>() + size_of::<(Instant, Place)>() + 64;
        (self.entries.len() * each + self.entries.capacity() * size_of::<(Place, Entry)>()) as u64
    }

    /// Notes an event. `quiet` is the quiet time of the file system.
    ///
    /// # Errors
    /// [`Full`]: the place was not noted, and only a scan will find it.
    pub fn note(
        &mut self,
        place: &Place,
        hint: Hint,
        quiet: Duration,
        now: Instant,
    ) -> Result<(), Full> {
        if !self.entries.contains_key(place) && self.entries.len() >= self.capacity {
            return Err(Full);
        }
        let due = now + PAUSE;
        let tries = self.entries.get(place).map_or(0, |entry| entry.tries);
        // What was seen before the event counts for nothing: clocks of file systems tick slowly,
        // so a write need not show in the times.
        self.put(
            place,
            Entry {
                due,
                finished: hint == Hint::Finished,
                last: None,
                quiet,
                tries,
            },
        );
        Ok(())
    }

    /// Notes a file that a scan found, or that changed while it was read for the `tries`th time.
    ///
    /// # Errors
    /// [`Full`], as for [`Settle::note`].
    pub fn watch(
        &mut self,
        place: &Place,
        stamp: Stamp,
        tries: u8,
        quiet: Duration,
        now: Instant,
    ) -> Result<(), Full> {
        if self.entries.contains_key(place) {
            return Ok(());
        }
        if self.entries.len() >= self.capacity {
            return Err(Full);
        }
        let last = Some((Look::There(stamp), now));
        self.put(
            place,
            Entry {
                due: now + quiet,
                finished: false,
                last,
                quiet,
                tries,
            },
        );
        Ok(())
    }

    /// When the next place is due for a look.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    /// A place that is due. Answer with [`Settle::judge`].
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<Place> {
        let (due, place) = self.queue.first()?;
        (*due <= now).then(|| place.clone())
    }

    /// Judges what a look at a due place found. A settled place leaves the set; the number is how
    /// often it already changed while it was read.
    pub fn judge(&mut self, place: &Place, look: Look, now: Instant) -> (Verdict, u8) {
        let Some(entry) = self.entries.get(place) else {
            return (Verdict::Settled, 0);
        };
        let tries = entry.tries;
        let still = match entry.last {
            Some((seen, since)) if seen == look => now.duration_since(since) >= entry.quiet,
            _ => false,
        };
        if still || (entry.finished && look != Look::Gone) {
            self.forget(place);
            return (Verdict::Settled, tries);
        }
        let since = match entry.last {
            Some((seen, since)) if seen == look => since,
            _ => now,
        };
        let (quiet, finished) = (entry.quiet, entry.finished);
        let due = since + quiet;
        self.put(
            place,
            Entry {
                due,
                finished,
                last: Some((look, since)),
                quiet,
                tries,
            },
        );
        (Verdict::Wait, tries)
    }

    /// Drops a place without judging it.
    pub fn forget(&mut self, place: &Place) {
        if let Some(entry) = self.entries.remove(place) {
            self.queue.remove(&(entry.due, place.clone()));
        }
        if self.entries.is_empty() {
            // A burst must not keep its memory for ever.
            self.entries.shrink_to(64);
        }
    }

    /// Drops every place of a root, which a scan will find again.
    pub fn forget_where(&mut self, gone: impl Fn(&Place) -> bool) {
        self.entries.retain(|place, _| !gone(place));
        self.queue.retain(|(_, place)| !gone(place));
        self.entries.shrink_to(64);
    }

    fn put(&mut self, place: &Place, entry: Entry) {
        let due = entry.due;
        if let Some(old) = self.entries.insert(place.clone(), entry) {
            self.queue.remove(&(old.due, place.clone()));
        }
        self.queue.insert((due, place.clone()));
    }
}

/// Whether a file found by a scan needs no watching, because its own times say that it has stood
/// still long enough. `wall_ns` is the time now, nanoseconds since 1970.
#[must_use]
pub fn stood_still(stamp: &Stamp, wall_ns: i64, quiet: Duration) -> bool {
    let needed = if quiet > LOCAL_QUIET {
        CLOCK_SKEW
    } else {
        quiet
    };
    let needed = i64::try_from(needed.as_nanos()).unwrap_or(i64::MAX);
    wall_ns.saturating_sub(stamp.ctime_ns.max(stamp.mtime_ns)) >= needed
}

#[cfg(test)]
mod tests;
