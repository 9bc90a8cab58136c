//! A batch: the input tensor with room for several pictures, reused from run to run, and what
//! comes out of it.

use crate::error::{Error, Result};
use crate::model::spec::{Activation, InputSpec};

/// Input rows for one run. Memory is taken once, for the largest batch.
#[derive(Debug)]
pub struct Batch {
    values: Vec<f32>,
    row: usize,
    len: usize,
    capacity: usize,
    step: usize,
}

/// Output rows of one run, in the order of the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    values: Vec<f32>,
    width: usize,
}

impl Batch {
    /// Room for `capacity` pictures, rounded up so that runs of `step` pictures fill it evenly.
    pub(crate) fn new(input: &InputSpec, capacity: usize, step: usize) -> Self {
        let row = input.values();
        Self {
            values: vec![0.0; row * capacity.next_multiple_of(step.max(1))],
            row,
            len: 0,
            capacity,
            step,
        }
    }

    /// An empty batch of the same kind with room for `capacity` pictures.
    pub(crate) fn another(&self, capacity: usize) -> Self {
        Self {
            values: vec![0.0; self.row * capacity.next_multiple_of(self.step.max(1))],
            len: 0,
            capacity,
            row: self.row,
            step: self.step,
        }
    }

    /// Keeps only the pictures for which `keep` says so; the others close up.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut kept = 0;
        for index in 0..self.len {
            if keep(index) {
                let start = index * self.row;
                self.values
                    .copy_within(start..start + self.row, kept * self.row);
                kept += 1;
            }
        }
        self.len = kept;
    }

    /// Pictures in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no picture in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most pictures it takes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes it holds.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }

    /// Forgets the pictures, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds a picture: `write` fills its row, and if it fails nothing was added. Nothing happens
    /// and `None` comes back if the batch is full.
    pub fn push<T, E>(
        &mut self,
        write: impl FnOnce(&mut [f32]) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        if self.len == self.capacity {
            return None;
        }
        let start = self.len * self.row;
        let written = write(&mut self.values[start..start + self.row]);
        self.len += usize::from(written.is_ok());
        Some(written)
    }

    /// Makes the batch hold `len` pictures (at most [`Batch::capacity`]) and hands out all their
    /// rows at once, for threads that fill them side by side.
    pub fn rows_mut(&mut self, len: usize) -> impl ExactSizeIterator<Item = &mut [f32]> {
        self.len = len.min(self.capacity);
        self.values[..self.len * self.row].chunks_exact_mut(self.row)
    }

    /// Zeroes the rows up to `len`, which a model of fixed batch size runs along.
    pub(crate) fn pad(&mut self, len: usize) {
        self.values[self.len * self.row..len * self.row].fill(0.0);
    }

    /// The values of `count` rows from `first` on.
    pub(crate) fn slice(&self, first: usize, count: usize) -> &[f32] {
        &self.values[first * self.row..(first + count) * self.row]
    }

    pub(crate) fn row(&self) -> usize {
        self.row
    }
}

impl Outputs {
    pub(crate) fn new(values: Vec<f32>, width: usize) -> Self {
        Self { values, width }
    }

    /// Pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The row of one picture; `None` past the end.
    #[must_use]
    pub fn row(&self, index: usize) -> Option<&[f32]> {
        self.values.chunks_exact(self.width.max(1)).nth(index)
    }

    /// All rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Refuses NaN and infinities, which would be stored as results and never be noticed again.
    pub(crate) fn check_finite(&self) -> Result<()> {
        match self.values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(place) => Err(Error::NotFinite {
                row: place / self.width,
                column: place % self.width,
                value: self.values[place],
            }),
        }
    }

    pub(crate) fn activate(&mut self, activation: Activation) {
        match activation {
            Activation::None => {}
            Activation::Sigmoid => {
                for value in &mut self.values {
                    *value = 1.0 / (1.0 + (-*value).exp());
                }
            }
            Activation::L2 => {
                for row in self.values.chunks_exact_mut(self.width.max(1)) {
                    // In f64, where no square of an f32 overflows.
                    let squares = row.iter().map(|&value| f64::from(value).powi(2));
                    let length = squares.sum::<f64>().sqrt().max(1e-12);
                    for value in row {
                        *value = (f64::from(*value) / length) as f32;
                    }
                }
            }
        }
    }
}
