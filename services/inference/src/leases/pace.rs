//! How large a batch should be: as large as the model allows while a run stays short, so that
//! somebody who waits between two batches does not wait long, and a slow node hoards nothing.

use std::time::Duration;

/// A run shorter than this may grow: twice as many pictures still end within [`LONG`].
const SHORT: Duration = Duration::from_millis(250);
/// A run longer than this is cut down.
const LONG: Duration = Duration::from_millis(1000);
/// The first batch.
const FIRST: usize = 4;

/// The batch size of the moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    size: usize,
    max: usize,
}

impl Pace {
    pub(super) fn new(max: usize) -> Self {
        Self {
            size: FIRST.min(max).max(1),
            max: max.max(1),
        }
    }

    /// Pictures in a full batch, at least 1.
    pub(super) fn size(self) -> usize {
        self.size
    }

    /// Learns from a run of so many pictures.
    pub(super) fn learn(&mut self, pictures: usize, time: Duration) {
        if pictures >= self.size && time < SHORT {
            self.size = (self.size * 2).min(self.max);
        } else if time > LONG {
            self.size = (self.size.min(pictures.max(1)) / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_runs_grow_to_the_maximum_and_slow_ones_shrink_to_one() {
        let mut pace = Pace::new(32);
        for expected in [8, 16, 32, 32] {
            pace.learn(pace.size(), Duration::from_millis(5));
            assert_eq!(pace.size(), expected);
        }
        pace.learn(3, Duration::from_millis(5));
        pace.learn(32, Duration::from_millis(500));
        assert_eq!(
            pace.size(),
            32,
            "a short batch and a fair one change nothing"
        );
        for expected in [16, 8, 4, 2, 1, 1] {
            pace.learn(pace.size(), Duration::from_secs(2));
            assert_eq!(pace.size(), expected);
        }
        assert_eq!(Pace::new(1).size(), 1);
    }
}
