//! Perceptual hashes: 32 bytes a row, compared by the bits in which they differ.

use renderer::PerceptualHash;

use crate::blend::millionths;

/// Words of a hash.
pub(crate) const WORDS: usize = 4;

/// From this distance on two hashes have nothing in common: unrelated pictures differ in about 128.
const UNRELATED: u32 = 128;

/// The bits of a hash as numbers.
pub(crate) fn words(hash: &PerceptualHash) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(hash.bits.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// Bits in which two hashes differ.
pub(crate) fn distance(a: &[u64; WORDS], b: &[u64; WORDS]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// Score of a distance: 1 for the same bits, 0 from 128 on.
pub(crate) fn score(distance: u32) -> f32 {
    UNRELATED.saturating_sub(distance) as f32 / UNRELATED as f32
}

/// The largest distance that has at least so high a score, in the millionths that scores are told in.
pub(crate) fn reach(min_score: f32) -> u32 {
    let least = millionths(f64::from(min_score));
    (0..UNRELATED)
        .rev()
        .find(|bits| millionths(f64::from(score(*bits))) >= least)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use renderer::PerceptualHash;

    use super::{distance, reach, score, words};

    #[test]
    fn words_keep_the_distance_of_the_bits() {
        let of = |bits| PerceptualHash { bits, detail: 900 };
        let mut bits = [0; 32];
        bits[0] = 0b101;
        bits[31] = 0x80;
        let (a, b) = (of([0; 32]), of(bits));
        assert_eq!(distance(&words(&a), &words(&b)), a.distance(&b));
        assert_eq!(a.distance(&b), 3);
    }

    #[test]
    fn scores_end_where_unrelated_pictures_begin() {
        assert_eq!((score(0), score(64), score(128)), (1.0, 0.5, 0.0));
        assert_eq!(score(256), 0.0);
    }

    #[test]
    fn a_lowest_score_says_how_many_bits_may_differ() {
        assert_eq!(reach(1.0 - 10.0 / 128.0), 10);
        assert_eq!((reach(1.0), reach(0.999), reach(0.0)), (0, 0, 127));
    }
}
