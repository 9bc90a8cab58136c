//! Keeps the best few of a million without sorting them.

use crate::index::PostId;

/// The `keep` smallest (key, post) pairs of all that were pushed and are within the bound, equal keys by
/// post number.
#[derive(Debug)]
pub(crate) struct Nearest {
    keep: usize,
    bound: u32,
    best: Vec<(u32, PostId)>,
}

impl Nearest {
    /// Keeps at least one.
    pub(crate) fn new(keep: usize) -> Self {
        Self::within(keep, u32::MAX)
    }

    /// Takes no key above a bound.
    pub(crate) fn within(keep: usize, bound: u32) -> Self {
        Self {
            keep: keep.max(1),
            bound,
            best: Vec::new(),
        }
    }

    /// No larger key can be among the best.
    pub(crate) fn bound(&self) -> u32 {
        self.bound
    }

    pub(crate) fn push(&mut self, key: u32, post: PostId) {
        if key > self.bound {
            return;
        }
        self.best.push((key, post));
        // Twice the room: every cut halves, so a push costs a constant on average.
        if self.best.len() >= 2 * self.keep {
            self.cut();
        }
    }

    /// The bound as tight as can be.
    pub(crate) fn settle(&mut self) -> u32 {
        if self.best.len() >= self.keep {
            self.cut();
        }
        self.bound
    }

    /// The best, in no order.
    pub(crate) fn into_best(mut self) -> Vec<(u32, PostId)> {
        if self.best.len() > self.keep {
            self.cut();
        }
        self.best
    }

    fn cut(&mut self) {
        let (_, last, _) = self.best.select_nth_unstable(self.keep - 1);
        self.bound = last.0;
        self.best.truncate(self.keep);
    }
}

/// A key that falls as a score rises, so that the best score is the smallest key.
pub(crate) fn falling(score: f32) -> u32 {
    let bits = score.to_bits();
    let rising = if bits >> 31 == 1 {
        !bits
    } else {
        bits ^ (1 << 31)
    };
    !rising
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Nearest, falling};

    proptest! {
        #[test]
        fn the_best_are_those_of_a_full_sort(
            keys in prop::collection::vec(0_u32..50, 0..400),
            keep in 1_usize..40,
            bound in prop::sample::select(vec![0, 5, 30, u32::MAX]),
        ) {
            let mut nearest = Nearest::within(keep, bound);
            let mut all: Vec<(u32, u32)> = keys.iter().copied().zip(0..).collect();
            for (key, post) in &all {
                nearest.push(*key, *post);
            }
            all.retain(|(key, _)| *key <= bound);
            all.sort_unstable();
            all.truncate(keep);
            let mut best = nearest.into_best();
            best.sort_unstable();
            prop_assert_eq!(best, all);
        }

        #[test]
        fn keys_fall_as_scores_rise(a in -2.0_f32..2.0, b in -2.0_f32..2.0) {
            prop_assert_eq!(a < b, falling(a) > falling(b));
        }
    }
}
