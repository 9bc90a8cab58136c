//! Which places are to be scanned, and when.

use std::time::Instant;

use crate::place::{Place, RootId};

/// Directories that may be waiting; more become a scan of their root.
const CAPACITY: usize = 256;

/// Scans that are due or will be.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: Vec<(Instant, Place)>,
}

impl Agenda {
    /// Adds a place (the root itself, for all of it). An entry that is due no later and covers it
    /// makes it superfluous, and it does that to others.
    pub(super) fn add(&mut self, place: Place, due: Instant) {
        let covered = |(at, other): &(Instant, Place)| *at <= due && place.is_within(other);
        if self.entries.iter().any(covered) {
            return;
        }
        self.entries
            .retain(|(at, other)| !(*at >= due && other.is_within(&place)));
        if self.entries.len() >= CAPACITY {
            let whole = Place::new(place.root, Vec::new());
            self.entries.retain(|(_, other)| other.root != place.root);
            self.entries.push((due, whole));
        } else {
            self.entries.push((due, place));
        }
    }

    /// Takes the place that is due first.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Place> {
        let first = (0..self.entries.len()).min_by_key(|&index| self.entries[index].0)?;
        (self.entries[first].0 <= now).then(|| self.entries.swap_remove(first).1)
    }

    /// When the next place is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.entries.iter().map(|(due, _)| *due).min()
    }

    /// Whether some place is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next_due().is_some_and(|due| due <= now)
    }

    /// Drops what concerns a root that is away.
    pub(super) fn forget(&mut self, root: RootId) {
        self.entries.retain(|(_, place)| place.root != root);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(path: &str) -> Place {
        Place::new(RootId(1), path.as_bytes())
    }

    #[test]
    fn a_wider_and_earlier_scan_makes_others_superfluous() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut agenda = Agenda::default();
        agenda.add(place("a/b"), now);
        agenda.add(place("a/b/c"), later);
        agenda.add(place("a"), now);
        assert_eq!(agenda.take_due(now), Some(place("a")));
        assert_eq!(agenda.next_due(), None);

        agenda.add(place("a"), now);
        agenda.add(place("a"), later);
        assert_eq!(agenda.next_due(), Some(now), "the later one is covered");
        assert_eq!(agenda.take_due(now), Some(place("a")));
        assert!(!agenda.is_due(later));
    }

    #[test]
    fn too_many_places_become_their_root() {
        let now = Instant::now();
        let mut agenda = Agenda::default();
        for number in 0..=CAPACITY {
            agenda.add(place(&number.to_string()), now);
        }
        assert_eq!(agenda.take_due(now), Some(place("")));
        assert_eq!(agenda.next_due(), None);
    }
}
