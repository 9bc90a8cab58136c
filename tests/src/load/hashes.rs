//! Perceptual hashes of pictures that were really drawn, at the 64×64 pixels which are hashed.
//!
//! One in a hundred is nearly blank. One in fifty is another encoding of the one before it: the
//! same drawing with a little noise.

use renderer::PerceptualHash;

use super::books;
use crate::pictures::Dice;

const SIDE: usize = 64;
const BASE83: &[u8; 83] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/// What look-alike search knows of a picture without a model.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) hash: [u8; 32],
    pub(super) detail: u32,
    pub(super) colours: String,
}

/// Draws the picture of a number and hashes it.
pub(super) fn drawn(seed: u64, number: u64) -> Look {
    let drawing = books::original(number);
    let mut dice = Dice::new(seed ^ drawing.rotate_left(20));
    let mut grey = if drawing % 100 == 42 {
        vec![dice.unit() * 255.0; SIDE * SIDE]
    } else {
        draw(&mut dice)
    };
    let colours = colours(&mut dice);
    let mut noise = Dice::new(seed ^ number.rotate_left(40));
    for value in &mut grey {
        *value += (noise.unit() - 0.5) * 3.0;
    }
    let mut pixels = [0; 3 * SIDE * SIDE];
    for (pixel, value) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(grey) {
        *pixel = [value as u8; 3];
    }
    let found = PerceptualHash::of(&pixels);
    Look {
        hash: found.bits,
        detail: u32::from(found.detail),
        colours,
    }
}

/// Noise at four scales, weaker the finer, and some discs: lightness from 0 to 255.
fn draw(dice: &mut Dice) -> Vec<f32> {
    let mut grey = vec![60.0 + dice.unit() * 136.0; SIDE * SIDE];
    for (cells, strength) in [(2, 50.0), (4, 36.0), (8, 24.0), (16, 16.0)] {
        let lattice: Vec<f32> = (0..(cells + 1) * (cells + 1))
            .map(|_| (dice.unit() - 0.5) * 2.0 * strength)
            .collect();
        let step = SIDE / cells;
        for (at, value) in grey.iter_mut().enumerate() {
            let (x, y) = (at % SIDE, at / SIDE);
            let corner = (y / step) * (cells + 1) + x / step;
            let across = (x % step) as f32 / step as f32;
            let down = (y % step) as f32 / step as f32;
            let mix = |from: usize| lattice[from] + (lattice[from + 1] - lattice[from]) * across;
            let (top, bottom) = (mix(corner), mix(corner + cells + 1));
            *value += top + (bottom - top) * down;
        }
    }
    for _ in 0..4 {
        let (x, y) = (dice.unit() * 64.0, dice.unit() * 64.0);
        let (radius, light) = (4.0 + dice.unit() * 12.0, dice.unit() * 255.0);
        for (at, value) in grey.iter_mut().enumerate() {
            if ((at % SIDE) as f32 - x).hypot((at / SIDE) as f32 - y) < radius {
                *value = light;
            }
        }
    }
    grey
}

/// A well-formed BlurHash of 4×3 components with random values.
pub(super) fn colours(dice: &mut Dice) -> String {
    let mut text = String::from("L");
    let mut put = |value: u64, digits: u32| {
        for place in (0..digits).rev() {
            let digit = value / 83_u64.pow(place) % 83;
            text.push(char::from(BASE83[digit as usize]));
        }
    };
    put(dice.below(83), 1);
    put(dice.below(1 << 24), 4);
    for _ in 1..12 {
        put(dice.below(19 * 19 * 19), 2);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_fifty_is_the_one_before_again_and_one_in_a_hundred_is_blank() {
        let look = |number| drawn(7, number);
        let distance = |a: &Look, b: &Look| -> u32 {
            let pairs = a.hash.iter().zip(b.hash);
            pairs.map(|(a, b)| (a ^ b).count_ones()).sum()
        };
        assert!(distance(&look(150), &look(151)) <= 10);
        assert!(distance(&look(151), &look(152)) > 60);
        assert!(look(42).detail < 200 && look(41).detail > 200);
        assert_eq!(look(7).colours.len(), 28);
    }
}
