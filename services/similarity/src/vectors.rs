//! Embedding vectors: halves to compare by, and binary codes to find what is worth comparing.

mod centre;
mod dot;

use half::f16;

pub(crate) use centre::Centre;
use dot::dot;
pub(crate) use dot::prefetch;

use crate::{column::Column, index::Refused, words::Words};

/// Up to so many vectors, of all or of a filter, each is compared: the answer is exact by
/// definition. Of more, the so many with the nearest codes are.
pub(crate) const POOL: usize = 4096;

/// The centre is taken again whenever there are four times as many vectors as it was taken from,
/// until it was taken from so many; then it stays.
const CENTRE_OF: u64 = 65_536;

/// A vector may be so much shorter or longer than 1.
const LENGTH_SLACK: f32 = 0.05;

/// Vectors by slot.
#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    dimensions: usize,
    halves: Column,
    codes: Words,
    centre: Option<Centre>,
}

impl Vectors {
    pub(crate) fn new(dimensions: usize) -> Self {
        Self {
            dimensions,
            halves: Column::new(2 * dimensions),
            codes: Words::new(centre::words(dimensions)),
            centre: None,
        }
    }

    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub(crate) fn halves(&self) -> &Column {
        &self.halves
    }

    pub(crate) fn codes(&self) -> &Words {
        &self.codes
    }

    pub(crate) fn centre(&self) -> Option<&Centre> {
        self.centre.as_ref()
    }

    pub(crate) fn columns_mut(&mut self) -> [&mut Column; 2] {
        [&mut self.halves, self.codes.column_mut()]
    }

    /// Puts back the centre by which the codes were made.
    pub(crate) fn restore_centre(&mut self, centre: Centre) {
        self.centre = Some(centre);
    }

    /// Checks the bytes of a vector of length 1.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), Refused> {
        let values = self.decode(bytes)?;
        let length = length(&values);
        if (length - 1.0).abs() > LENGTH_SLACK {
            return Err(Refused::Length(length));
        }
        Ok(())
    }

    /// The numbers of a vector.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Vec<f32>, Refused> {
        if bytes.len() != 2 * self.dimensions {
            return Err(Refused::Size {
                bytes: bytes.len(),
                dimensions: self.dimensions,
            });
        }
        if !finite(bytes) {
            return Err(Refused::NotFinite);
        }
        Ok(numbers(bytes))
    }

    /// Sets a vector that was checked.
    pub(crate) fn set(&mut self, slot: u32, bytes: &[u8]) {
        self.halves.row_mut(slot).copy_from_slice(bytes);
        if let Some(centre) = &self.centre {
            self.codes.set(slot, &centre.code(&numbers(bytes)));
        }
    }

    /// The vector of a slot as numbers of length 1.
    pub(crate) fn get(&self, slot: u32) -> Vec<f32> {
        let mut values = numbers(self.halves.row(slot));
        normalise(&mut values);
        values
    }

    /// Cosine of a slot's vector and a query of length 1, −1 to 1: stored lengths are only nearly 1.
    pub(crate) fn cosine(&self, slot: u32, query: &[f32]) -> f32 {
        dot(self.halves.row(slot), query).clamp(-1.0, 1.0)
    }

    /// Asks for the vector of a slot before it is needed.
    pub(crate) fn prefetch(&self, slot: u32) {
        prefetch(self.halves.row(slot));
    }

    /// Whether there are so many vectors that the centre should be taken, or taken again.
    pub(crate) fn wants_centre(&self, vectors: u64) -> bool {
        vectors > POOL as u64
            && self
                .centre
                .as_ref()
                .is_none_or(|centre| centre.of() < CENTRE_OF && vectors >= 4 * centre.of())
    }

    /// Takes the centre of the vectors in these slots, and makes all codes anew.
    pub(crate) fn take_centre(&mut self, slots: &[u32]) {
        let mut sum = vec![0.0_f64; self.dimensions];
        for slot in slots {
            let halves = self.halves.row(*slot).as_chunks::<2>().0;
            for (sum, half) in sum.iter_mut().zip(halves) {
                *sum += f64::from(f16::from_le_bytes(*half).to_f32());
            }
        }
        let count = slots.len().max(1) as f64;
        let mean = sum.iter().map(|sum| (sum / count) as f32).collect();
        let centre = Centre::new(mean, slots.len() as u64);
        for slot in slots {
            let code = centre.code(&numbers(self.halves.row(*slot)));
            self.codes.set(*slot, &code);
        }
        self.centre = Some(centre);
    }
}

/// Whether binary16 numbers are all finite.
pub(crate) fn finite(bytes: &[u8]) -> bool {
    bytes
        .as_chunks::<2>()
        .0
        .iter()
        .all(|half| u16::from_le_bytes(*half) & 0x7c00 != 0x7c00)
}

/// Makes a vector one of length 1; `false` if it has no direction.
pub(crate) fn normalise(values: &mut [f32]) -> bool {
    // Largest first to 1, so that squares neither overflow nor vanish.
    let most = values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    if most == 0.0 || !values.iter().all(|v| v.is_finite()) {
        return false;
    }
    for value in values.iter_mut() {
        *value /= most;
    }
    let length = length(values);
    for value in values.iter_mut() {
        *value /= length;
    }
    true
}

fn length(values: &[f32]) -> f32 {
    let squares: f64 = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    squares.sqrt() as f32
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let halves = bytes.as_chunks::<2>().0.iter();
    halves
        .map(|half| f16::from_le_bytes(*half).to_f32())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{finite, normalise};

    #[test]
    fn any_finite_direction_is_made_one_of_length_one() {
        for values in [vec![3.0, 4.0], vec![1e-38, 0.0], vec![3e38, 3e38, -3e38]] {
            let mut unit = values.clone();
            assert!(normalise(&mut unit), "{values:?}");
            let length: f32 = unit.iter().map(|v| v * v).sum();
            assert!((length - 1.0).abs() < 1e-5, "{values:?} became {unit:?}");
        }
        for mut none in [
            vec![0.0, 0.0],
            vec![f32::NAN, 1.0],
            vec![f32::INFINITY],
            vec![],
        ] {
            assert!(!normalise(&mut none), "{none:?}");
        }
    }

    #[test]
    fn halves_that_are_no_numbers_are_seen() {
        assert!(finite(&[0xff, 0x7b, 0, 0]));
        assert!(!finite(&[0, 0, 0, 0x7c]));
        assert!(!finite(&[1, 0xfc]));
    }
}
