//! The perceptual hash: 256 bits of low frequencies, for finding the same picture again.
//!
//! Exactly: the upright sample is reduced to 64×64 by area mean (8 bits a channel); luminance is
//! (299 R + 587 G + 114 B) / 1000; an unnormalised two-dimensional DCT-II is taken, and of it the
//! 16×16 lowest frequencies, the constant one included; amounts below 0.001 are rounding, and
//! count as 0. A bit is 1 where a coefficient exceeds the median of the 256 (the mean of the two
//! middle ones). Row by row, vertical frequency first, most significant bit first: 32 bytes.

use std::f64::consts::PI;

/// Side of the reduced picture that is transformed.
pub(crate) const HASHED_SIDE: usize = 64;
/// Frequencies kept in each direction.
const KEPT: usize = 16;

/// A hash whose [`PerceptualHash::detail`] is below this says little: nearly blank pictures have
/// nearly random hashes, or all the same one, and must be set apart.
pub const NEAR_BLANK_DETAIL: u16 = 200;

/// 256 bits that change little when a picture is re-encoded or resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PerceptualHash {
    /// The bits; the module says in which order.
    pub bits: [u8; 32],
    /// Standard deviation of the 64×64 luminance in hundredths of a grey level (0 to 12,750): how
    /// much there was to hash.
    pub detail: u16,
}

impl PerceptualHash {
    /// The hash of a picture that was already reduced to 64×64 RGB.
    #[must_use]
    pub fn of(reduced: &[u8; 3 * HASHED_SIDE * HASHED_SIDE]) -> Self {
        perceptual(reduced)
    }

    /// Number of bits that differ, 0 to 256; unrelated pictures differ in about 128.
    #[must_use]
    pub fn distance(&self, other: &Self) -> u32 {
        self.bits
            .iter()
            .zip(other.bits)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum()
    }

    /// Whether there was too little to hash: see [`NEAR_BLANK_DETAIL`].
    #[must_use]
    pub fn is_near_blank(&self) -> bool {
        self.detail < NEAR_BLANK_DETAIL
    }
}

/// Hashes a picture already reduced to 64×64 RGB.
pub(crate) fn perceptual(reduced: &[u8]) -> PerceptualHash {
    let luminance: Vec<f64> = reduced
        .chunks_exact(3)
        .map(|pixel| {
            f64::from(
                299 * u32::from(pixel[0]) + 587 * u32::from(pixel[1]) + 114 * u32::from(pixel[2]),
            ) / 1000.0
        })
        .collect();
    let coefficients = low_frequencies(&luminance);
    let mut sorted = coefficients;
    sorted.sort_by(f64::total_cmp);
    let median = f64::midpoint(sorted[127], sorted[128]);
    let mut bits = [0; 32];
    for (index, coefficient) in coefficients.iter().enumerate() {
        if *coefficient > median {
            bits[index / 8] |= 0x80 >> (index % 8);
        }
    }
    PerceptualHash {
        bits,
        detail: detail(&luminance),
    }
}

fn low_frequencies(luminance: &[f64]) -> [f64; KEPT * KEPT] {
    let mut basis = [[0.0; HASHED_SIDE]; KEPT];
    for (frequency, row) in basis.iter_mut().enumerate() {
        for (at, value) in row.iter_mut().enumerate() {
            let angle = PI * (2 * at + 1) as f64 * frequency as f64 / (2 * HASHED_SIDE) as f64;
            *value = angle.cos();
        }
    }
    let dot = |row: &[f64], wave: &[f64]| row.iter().zip(wave).map(|(a, b)| a * b).sum::<f64>();
    // Columns of horizontal frequencies, one entry a row of the picture.
    let mut across = [[0.0; HASHED_SIDE]; KEPT];
    for (y, row) in luminance.chunks_exact(HASHED_SIDE).enumerate() {
        for (horizontal, wave) in basis.iter().enumerate() {
            across[horizontal][y] = dot(row, wave);
        }
    }
    let mut kept = [0.0; KEPT * KEPT];
    for (vertical, wave) in basis.iter().enumerate() {
        for (horizontal, column) in across.iter().enumerate() {
            let value = dot(column, wave);
            kept[vertical * KEPT + horizontal] = if value.abs() < 0.001 { 0.0 } else { value };
        }
    }
    kept
}

fn detail(luminance: &[f64]) -> u16 {
    let count = luminance.len() as f64;
    let mean = luminance.iter().sum::<f64>() / count;
    let variance = luminance.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    (variance.sqrt() * 100.0).round() as u16
}

#[cfg(test)]
mod tests {
    use super::{HASHED_SIDE, perceptual};

    fn picture(grey: impl Fn(usize, usize) -> u8) -> Vec<u8> {
        (0..HASHED_SIDE * HASHED_SIDE)
            .flat_map(|at| [grey(at % HASHED_SIDE, at / HASHED_SIDE); 3])
            .collect()
    }

    #[test]
    fn blank_pictures_hash_to_the_constant_alone_and_say_so() {
        let black = perceptual(&picture(|_, _| 0));
        let white = perceptual(&picture(|_, _| 255));
        assert_eq!(black.bits, [0; 32]);
        assert_eq!(white.bits[0], 0x80);
        assert_eq!(white.bits[1..], [0; 31]);
        assert!(black.is_near_blank() && white.is_near_blank());
    }

    #[test]
    fn bits_are_row_by_row_with_vertical_frequencies_first() {
        let falling = perceptual(&picture(|x, _| 255 - 4 * x as u8));
        assert_eq!(
            falling.bits[0] & 0xc0,
            0xc0,
            "horizontal frequency 1 is bit 1"
        );
        let sinking = perceptual(&picture(|_, y| 255 - 4 * y as u8));
        assert_eq!(sinking.bits[0], 0x80);
        assert_eq!(
            sinking.bits[2] & 0x80,
            0x80,
            "vertical frequency 1 is bit 16"
        );
        assert!(!falling.is_near_blank());
    }

    #[test]
    fn detail_is_the_deviation_in_hundredths() {
        let halves = perceptual(&picture(|x, _| if x < 32 { 100 } else { 110 }));
        assert_eq!(halves.detail, 500);
        let extremes = perceptual(&picture(|x, _| if x < 32 { 0 } else { 255 }));
        assert_eq!(extremes.detail, 12_750);
    }
}
