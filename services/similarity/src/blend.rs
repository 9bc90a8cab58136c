//! One score of several channels, and the order of answers.

pub use crate::channel::{Channel, Weights};
use crate::index::PostId;

/// Scores are compared in millionths, so that rounding does not decide an order.
const MILLION: f64 = 1_000_000.0;

/// A post like the one asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The post.
    pub post: PostId,
    /// Mean of its channels' scores by weight, 0 to 1, in whole millionths.
    pub score: f32,
    /// Scores by channel; `None` where subject or post have nothing to compare, or the channel is
    /// not used.
    pub scores: [Option<f32>; 4],
}

/// The best `k` with at least `min_score`: highest score first, then most channels, then by number.
/// Channels without weight take no part.
pub(crate) fn rank(
    weights: &Weights,
    scored: impl Iterator<Item = (PostId, [Option<f32>; 4])>,
    k: usize,
    min_score: f32,
) -> Vec<Hit> {
    let least = millionths(f64::from(min_score));
    let mut hits: Vec<(u32, usize, Hit)> = scored
        .filter_map(|(post, scores)| {
            let score = millionths(mean(weights, &scores)?);
            let channels = scores.iter().flatten().count();
            let hit = Hit {
                post,
                score: (f64::from(score) / MILLION) as f32,
                scores,
            };
            (score >= least).then_some((score, channels, hit))
        })
        .collect();
    hits.sort_unstable_by_key(|(score, channels, hit)| {
        (u32::MAX - score, usize::MAX - channels, hit.post)
    });
    hits.into_iter().take(k).map(|(_, _, hit)| hit).collect()
}

/// Mean by weight of the channels that there are; `None` without one.
fn mean(weights: &Weights, scores: &[Option<f32>; 4]) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (channel, score) in Channel::ALL.iter().zip(scores) {
        if let Some(score) = score {
            let counts = f64::from(weights.of(*channel));
            sum += counts * f64::from(*score);
            weight += counts;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

/// A score in the steps in which scores are compared.
pub(crate) fn millionths(score: f64) -> u32 {
    (score.clamp(0.0, 1.0) * MILLION).round() as u32
}

#[cfg(test)]
mod tests {
    use super::{Weights, rank};

    fn order(scored: &[(u32, [Option<f32>; 4])], k: usize, min: f32) -> Vec<u32> {
        let weights = Weights::new([2.0, 1.0, 1.0, 0.0]).expect("they are fit");
        let hits = rank(&weights, scored.iter().copied(), k, min);
        hits.iter().map(|hit| hit.post).collect()
    }

    #[test]
    fn a_channel_that_is_missing_does_not_count() {
        let weights = Weights::new([2.0, 1.0, 1.0, 0.0]).expect("they are fit");
        let scored = [(1, [Some(0.5), None, Some(0.2), None])];
        let [hit] = rank(&weights, scored.into_iter(), 9, 0.0)[..] else {
            panic!("one went in");
        };
        assert!((hit.score - 0.4).abs() < 1e-6, "(2 × 0.5 + 0.2) / 3");
    }

    #[test]
    fn ties_go_to_more_channels_and_then_to_the_lower_number() {
        let half = Some(0.5);
        let scored = [
            (9, [half, None, None, None]),
            (8, [half, half, None, None]),
            (7, [Some(0.500_000_2), None, None, None]),
            (6, [None, None, Some(0.6), None]),
            (5, [None; 4]),
        ];
        assert_eq!(order(&scored, 9, 0.0), [6, 8, 7, 9]);
        assert_eq!(order(&scored, 2, 0.0), [6, 8]);
        assert_eq!(order(&scored, 9, 0.55), [6]);
    }
}
