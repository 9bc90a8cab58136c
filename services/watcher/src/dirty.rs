//! The mailbox of the watching thread: what happened to which place, bounded and without
//! repetition. Whoever fills it never waits; what does not fit becomes "scan that root".

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{
    place::{Place, RootId},
    settle::Hint,
    stamp::Stamp,
};

/// Places that may wait in the mailbox.
const CAPACITY: usize = 16_384;

/// How a piece of work on a place ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is done.
    Done,
    /// The file changed while it was read, for the `tries`th time; it was last seen like this.
    Changed {
        /// What it was like.
        stamp: Stamp,
        /// How often it has changed while it was read.
        tries: u8,
    },
    /// The store does not know its content: read the file, whatever is known of it.
    ReadAgain(Stamp),
    /// Nothing came of it now: its root is not watched any more, or the store refuses it. The next
    /// scan tries again.
    Dropped,
}

/// What came in since the last look.
#[derive(Debug, Default)]
pub struct News {
    /// Places to which something happened, and when it last did.
    pub events: HashMap<Place, (Hint, Instant)>,
    /// Roots of which events were lost.
    pub lost: BTreeSet<RootId>,
    /// Work that ended.
    pub ends: Vec<(Place, End)>,
    /// Files that a person wants read again.
    pub retries: Vec<Place>,
    /// Look at all roots now.
    pub rescan: bool,
    /// Look whether the roots are there now.
    pub check_roots: bool,
    /// Stop.
    pub stop: bool,
}

/// The mailbox.
#[derive(Debug, Default)]
pub struct Dirty {
    news: Mutex<News>,
    arrived: Condvar,
}

impl Dirty {
    /// An event at a place.
    pub fn event(&self, place: Place, hint: Hint) {
        let mut news = self.lock();
        let full = news.events.len() >= CAPACITY && !news.events.contains_key(&place);
        if full {
            news.lost.insert(place.root);
        } else {
            news.events.insert(place, (hint, Instant::now()));
        }
        self.arrived.notify_one();
    }

    /// Events of a root were lost.
    pub fn lost(&self, root: RootId) {
        self.tell(|news| {
            news.lost.insert(root);
        });
    }

    /// A piece of work ended. There are never more of these than pieces of work under way.
    pub fn end(&self, place: Place, end: End) {
        self.tell(|news| news.ends.push((place, end)));
    }

    /// Somebody wants files read again.
    pub fn retry(&self, places: Vec<Place>) {
        self.tell(|news| {
            let room = CAPACITY.saturating_sub(news.retries.len());
            news.retries.extend(places.into_iter().take(room));
        });
    }

    /// Changes the news and wakes the watching thread.
    pub fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut self.lock());
        self.arrived.notify_one();
    }

    /// Looks at what has come in and was not taken yet. Nothing comes in meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(&News) -> R) -> R {
        look(&self.lock())
    }

    /// Waits until something came in, or until `deadline`, and takes it all.
    pub fn take(&self, deadline: Instant) -> News {
        let mut news = self.lock();
        while news.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                break;
            };
            news = self
                .arrived
                .wait_timeout(news, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        mem::take(&mut news)
    }

    /// Bytes held, roughly.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let news = self.lock();
        let each = size_of::<(Place, (Hint, Instant))>();
        (news.events.capacity() * each + news.events.len() * 48) as u64
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        // A panic of another holder leaves a set that is still a set.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl News {
    fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.lost.is_empty()
            && self.ends.is_empty()
            && self.retries.is_empty()
            && !self.rescan
            && !self.check_roots
            && !self.stop
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(number: usize) -> Place {
        Place::new(RootId(1), number.to_string().into_bytes())
    }

    #[test]
    fn many_events_at_one_place_are_one_and_the_last_counts() {
        let dirty = Dirty::default();
        for _ in 0..100_000 {
            dirty.event(place(1), Hint::Touched);
        }
        dirty.event(place(1), Hint::Finished);
        let news = dirty.take(Instant::now());
        assert_eq!(news.events.len(), 1);
        assert_eq!(news.events[&place(1)].0, Hint::Finished);
        assert!(dirty.take(Instant::now()).is_empty());
    }

    #[test]
    fn what_does_not_fit_becomes_a_scan_of_its_root() {
        let dirty = Dirty::default();
        for number in 0..CAPACITY + 10 {
            dirty.event(place(number), Hint::Touched);
        }
        let news = dirty.take(Instant::now());
        assert_eq!(news.events.len(), CAPACITY);
        assert_eq!(news.lost, BTreeSet::from([RootId(1)]));
    }

    #[test]
    fn waiting_ends_with_the_first_news_or_the_deadline() {
        let dirty = Dirty::default();
        let start = Instant::now();
        assert!(dirty.take(start + Duration::from_millis(20)).is_empty());
        assert!(start.elapsed() >= Duration::from_millis(20));
        std::thread::scope(|scope| {
            scope.spawn(|| dirty.tell(|news| news.stop = true));
            assert!(dirty.take(Instant::now() + Duration::from_secs(10)).stop);
        });
    }
}
