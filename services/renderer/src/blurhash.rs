//! BlurHash (version 1 of its published algorithm): a placeholder of 28 characters.

use std::f64::consts::PI;

/// Components across and down.
const ACROSS: usize = 4;
const DOWN: usize = 3;

const DIGITS: &[u8; 83] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/// Encodes a small square RGB picture, `side` pixels a side.
pub(crate) fn blur_hash(pixels: &[u8], side: usize) -> String {
    let mut linear = [0.0; 256];
    for (value, entry) in (0_u8..=255).zip(&mut linear) {
        *entry = to_linear(value);
    }
    let mut factors = [[0.0; 3]; ACROSS * DOWN];
    for (index, factor) in factors.iter_mut().enumerate() {
        *factor = component(pixels, side, index % ACROSS, index / ACROSS, &linear);
    }
    let (constant, waves) = (factors[0], &factors[1..]);
    let strongest = waves
        .iter()
        .flatten()
        .fold(0.0, |most: f64, v| most.max(v.abs()));
    let step = ((strongest * 166.0 - 0.5).floor()).clamp(0.0, 82.0);
    let scale = (step + 1.0) / 166.0;

    let mut hash = String::with_capacity(28);
    push(&mut hash, (ACROSS - 1 + (DOWN - 1) * 9) as u32, 1);
    push(&mut hash, step as u32, 1);
    let [red, green, blue] = constant.map(to_srgb);
    push(&mut hash, (red << 16) | (green << 8) | blue, 4);
    for wave in waves {
        let [red, green, blue] = wave.map(|value| {
            let root = (value / scale).abs().sqrt().copysign(value);
            (root * 9.0 + 9.5).floor().clamp(0.0, 18.0) as u32
        });
        push(&mut hash, red * 19 * 19 + green * 19 + blue, 2);
    }
    hash
}

fn component(
    pixels: &[u8],
    side: usize,
    across: usize,
    down: usize,
    linear: &[f64; 256],
) -> [f64; 3] {
    let wave = |frequency: usize, at: usize| (PI * (frequency * at) as f64 / side as f64).cos();
    let mut sum = [0.0; 3];
    for (y, row) in pixels.chunks_exact(3 * side).enumerate() {
        let vertical = wave(down, y);
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            let weight = vertical * wave(across, x);
            for (total, value) in sum.iter_mut().zip(pixel) {
                *total += weight * linear[usize::from(*value)];
            }
        }
    }
    let norm = if across + down == 0 { 1.0 } else { 2.0 };
    sum.map(|total| total * norm / (side * side) as f64)
}

fn to_linear(value: u8) -> f64 {
    let value = f64::from(value) / 255.0;
    if value <= 0.04045 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

fn to_srgb(value: f64) -> u32 {
    let value = value.clamp(0.0, 1.0);
    let encoded = if value <= 0.003_130_8 {
        value * 12.92
    } else {
        1.055 * value.powf(1.0 / 2.4) - 0.055
    };
    (encoded * 255.0 + 0.5) as u32
}

fn push(hash: &mut String, value: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = value / 83_u32.pow(place) % 83;
        hash.push(char::from(DIGITS[digit as usize]));
    }
}

#[cfg(test)]
mod tests {
    use super::blur_hash;

    #[test]
    fn a_plain_colour_is_its_own_constant() {
        let red = [255, 0, 0].repeat(64);
        let hash = blur_hash(&red, 8);
        assert_eq!(hash.len(), 28);
        // Size flag, strength of the waves, then the colour itself.
        assert_eq!((&hash[..1], &hash[2..6]), ("L", "TI:j"), "{hash}");
        let black = blur_hash(&[0; 192], 8);
        assert_eq!(black, "L00000fQfQfQfQfQfQfQfQfQfQfQ");
    }
}
