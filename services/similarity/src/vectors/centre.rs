//! Binary codes: one bit for each direction, by the side of the centre on which a vector lies.
//!
//! The centre is subtracted because features of many models are never negative: their signs alone
//! would say nothing. Then the vector is turned by a fixed random rotation (two rounds of sign
//! flips and a Hadamard transform), so that each bit says as much as another however unevenly the
//! model spreads its numbers. The share of bits that differ then grows with the angle between two
//! vectors.

/// The middle of the vectors, and how many it was taken from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Centre {
    mean: Vec<f32>,
    of: u64,
}

/// 64-bit words of a code of vectors with so many dimensions.
pub(crate) fn words(dimensions: usize) -> usize {
    dimensions.div_ceil(64)
}

impl Centre {
    /// `mean` as it was, of `of` vectors.
    pub(crate) fn new(mean: Vec<f32>, of: u64) -> Self {
        Self { mean, of }
    }

    pub(crate) fn of(&self) -> u64 {
        self.of
    }

    pub(crate) fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The code of a vector.
    pub(crate) fn code(&self, vector: &[f32]) -> Vec<u64> {
        let mut turned: Vec<f32> = vector.iter().zip(&self.mean).map(|(v, m)| v - m).collect();
        turned.resize(turned.len().max(64).next_power_of_two(), 0.0);
        for round in 0..2 {
            flip(&mut turned, round);
            hadamard(&mut turned);
        }
        turned
            .chunks_exact(64)
            .take(words(vector.len()))
            .map(|numbers| {
                let bits = numbers.iter().enumerate();
                bits.fold(0, |code, (bit, v)| code | u64::from(*v > 0.0) << bit)
            })
            .collect()
    }
}

/// Flips signs that are the same for ever, since codes are kept in snapshots.
fn flip(values: &mut [f32], round: u64) {
    for (index, numbers) in (0..).zip(values.chunks_exact_mut(64)) {
        let signs = scramble(round << 32 | index);
        for (bit, value) in numbers.iter_mut().enumerate() {
            if signs >> bit & 1 == 1 {
                *value = -*value;
            }
        }
    }
}

/// The output function of splitmix64.
fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The Walsh-Hadamard transform, not normalised: only signs are looked at.
fn hadamard(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::{Centre, scramble, words};

    fn vector(seed: u64, dimensions: usize) -> Vec<f32> {
        (0..dimensions as u64)
            .map(|at| (scramble(seed << 20 | at) >> 40) as f32 / (1 << 24) as f32)
            .collect()
    }

    fn differing(a: &[u64], b: &[u64]) -> u32 {
        a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    #[test]
    fn codes_tell_near_from_far_though_nothing_is_negative() {
        let centre = Centre::new(vec![0.5; 512], 1);
        let (a, far) = (vector(1, 512), vector(2, 512));
        let near: Vec<f32> = a.iter().zip(&far).map(|(a, f)| a * 0.9 + f * 0.1).collect();
        let [a, near, far] = [a, near, far].map(|vector| centre.code(&vector));
        let (near, far) = (differing(&a, &near), differing(&a, &far));
        assert!(near < 60, "{near} of 512 bits differ");
        assert!((200..312).contains(&far), "{far} of 512 bits differ");
    }

    #[test]
    fn one_loud_dimension_does_not_drown_the_others_bits() {
        let centre = Centre::new(vec![0.5; 100], 1);
        let mut a = vector(1, 100);
        let mut b = a.clone();
        (a[3], b[3]) = (9.0, -8.0);
        // Almost opposite vectors: without the rotation one bit of 128 would say so.
        assert!(differing(&centre.code(&a), &centre.code(&b)) > 64);
    }

    #[test]
    fn any_number_of_dimensions_has_a_code() {
        for dimensions in [1, 3, 63, 64, 65, 600, 768, 1152] {
            let centre = Centre::new(vec![0.5; dimensions], 1);
            let code = centre.code(&vector(7, dimensions));
            assert_eq!(code.len(), words(dimensions), "{dimensions}");
        }
    }
}
