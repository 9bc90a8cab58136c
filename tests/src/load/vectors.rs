//! Vectors with the shape of a real library's: many around each of a number of centres, or none
//! near any other.

use half::f16;

use super::books;
use crate::pictures::Dice;

/// How far members lie from their centre, whose length is 1: two of a centre have a cosine of about
/// 0.64.
const SPREAD: f32 = 0.75;

/// How far the vector of another encoding of a picture lies from that of the picture.
const ENCODED: f32 = 0.1;

/// All vectors that there can be, by number. Vectors have length 1.
#[derive(Debug)]
pub(super) struct Vectors {
    seed: u64,
    dimensions: usize,
    /// One after the other; none for a uniform set.
    centres: Vec<f32>,
}

impl Vectors {
    /// Vectors around so many centres; 0: spread evenly over all directions.
    pub(super) fn new(seed: u64, dimensions: usize, clusters: usize) -> Self {
        let mut centres = Vec::with_capacity(clusters * dimensions);
        for cluster in 0..clusters as u64 {
            let mut centre = normal(&mut Dice::new(seed ^ (cluster << 32)), dimensions);
            unit(&mut centre);
            centres.extend(centre);
        }
        Self {
            seed,
            dimensions,
            centres,
        }
    }

    /// The vector of a number. Numbers that are not in the library make queries held out from it.
    pub(super) fn of(&self, number: u64) -> Vec<f32> {
        let original = books::original(number);
        let mut vector = self.member(original);
        if number != original {
            let noise = normal(&mut Dice::new(self.seed ^ number), self.dimensions);
            let scale = ENCODED / (self.dimensions as f32).sqrt();
            for (value, noise) in vector.iter_mut().zip(noise) {
                *value += noise * scale;
            }
            unit(&mut vector);
        }
        vector
    }

    fn member(&self, number: u64) -> Vec<f32> {
        let mut dice = Dice::new(self.seed ^ 0x7ec ^ number.rotate_left(24));
        let mut vector = normal(&mut dice, self.dimensions);
        let clusters = self.centres.len() / self.dimensions;
        if clusters > 0 {
            let centre = dice.below(clusters as u64) as usize * self.dimensions;
            let scale = SPREAD / (self.dimensions as f32).sqrt();
            let centre = &self.centres[centre..centre + self.dimensions];
            for (value, centre) in vector.iter_mut().zip(centre) {
                *value = *value * scale + centre;
            }
        }
        unit(&mut vector);
        vector
    }

    /// The same as stored: IEEE 754 binary16, little-endian.
    pub(super) fn packed(&self, number: u64) -> Vec<u8> {
        let vector = self.of(number);
        vector
            .into_iter()
            .flat_map(|value| f16::from_f32(value).to_le_bytes())
            .collect()
    }
}

/// Numbers of a normal distribution, two at a time by Box and Muller.
fn normal(dice: &mut Dice, count: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * dice.unit().max(1e-7).ln()).sqrt();
        let (sin, cos) = (dice.unit() * std::f32::consts::TAU).sin_cos();
        values.extend([radius * cos, radius * sin]);
    }
    values.truncate(count);
    values
}

fn unit(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in vector {
        *value /= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_cluster_are_near_each_other_and_all_have_length_one() {
        let vectors = Vectors::new(3, 128, 2);
        let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let all: Vec<_> = (0..40).map(|number| vectors.of(number)).collect();
        let near = all[1..].iter().filter(|v| cosine(v, &all[0]) > 0.4).count();
        assert!((5..35).contains(&near), "{near} of 39 share a cluster");
        assert!(all.iter().all(|v| (cosine(v, v) - 1.0).abs() < 1e-4));
        assert!(cosine(&vectors.of(50), &vectors.of(51)) > 0.98);
        assert_eq!(vectors.packed(5).len(), 256);
    }
}
