//! The ways in which pictures can be alike, and how much each counts.

/// One way in which pictures can be alike. As a number it is the place in arrays by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// What an embedding model sees: cosine of the vectors.
    Embedding,
    /// Bits in which perceptual hashes agree.
    PerceptualHash,
    /// The same colours in the same places.
    Colour,
    /// The same tags; scored by the store.
    Tags,
}

/// How much each channel counts against the others; 0 leaves it out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights([f32; 4]);

impl Channel {
    /// All of them, in the order of arrays by channel.
    pub const ALL: [Self; 4] = [
        Self::Embedding,
        Self::PerceptualHash,
        Self::Colour,
        Self::Tags,
    ];
}

impl Weights {
    /// The largest weight that is taken.
    pub const MOST: f32 = 1000.0;

    /// Weights by channel; `None` if one is not a number from 0 to [`Weights::MOST`], or all are 0.
    #[must_use]
    pub fn new(weights: [f32; 4]) -> Option<Self> {
        let fit = weights
            .iter()
            .all(|weight| (0.0..=Self::MOST).contains(weight));
        let some = weights.iter().any(|weight| *weight > 0.0);
        (fit && some).then_some(Self(weights))
    }

    /// Weight of a channel.
    #[must_use]
    pub fn of(&self, channel: Channel) -> f32 {
        self.0[channel as usize]
    }

    /// Share of a channel among those used, by place; they add up to 1. 0 if it is not used, or no
    /// used one has a weight.
    #[must_use]
    pub fn share(&self, channel: Channel, used: [bool; 4]) -> f32 {
        let sum: f32 = self
            .0
            .iter()
            .zip(used)
            .filter_map(|(weight, used)| used.then_some(weight))
            .sum();
        if used[channel as usize] && sum > 0.0 {
            self.of(channel) / sum
        } else {
            0.0
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self([0.45, 0.35, 0.1, 0.1])
    }
}

#[cfg(test)]
mod tests {
    use super::{Channel, Weights};

    #[test]
    fn weights_that_say_nothing_are_refused() {
        for bad in [
            [0.0; 4],
            [-1.0, 1.0, 1.0, 1.0],
            [f32::NAN, 1.0, 0.0, 0.0],
            [f32::INFINITY, 1.0, 0.0, 0.0],
            [1000.5, 0.0, 0.0, 0.0],
        ] {
            assert_eq!(Weights::new(bad), None, "{bad:?}");
        }
        assert!(Weights::new([0.0, 1000.0, 0.0, 0.0]).is_some());
    }

    #[test]
    fn shares_are_among_those_used() {
        let weights = Weights::new([3.0, 1.0, 0.0, 4.0]).expect("they are fit");
        let used = [true, true, true, false];
        assert_eq!(
            Channel::ALL.map(|channel| weights.share(channel, used)),
            [0.75, 0.25, 0.0, 0.0]
        );
        assert_eq!(weights.share(Channel::Embedding, [false; 4]), 0.0);
    }
}
