//! A model folder, read and checked: what it computes, what its outputs mean, which revision it is.

pub(crate) mod folder;
pub(crate) mod labels;
pub(crate) mod spec;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use labels::{Category, Label};
use spec::{Kind, ModelSpec};

/// A shorter vector is rounding noise around 0.
const LEAST_LENGTH: f64 = 1e-9;

/// A model folder that has been read: everything but the loaded weights.
#[derive(Debug, Clone)]
pub struct Model {
    folder: PathBuf,
    weights: PathBuf,
    spec: ModelSpec,
    labels: Vec<Label>,
    revision: String,
}

/// One label with the confidence that the model gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Index into [`Model::labels`].
    pub label: u32,
    /// 0 to 1.
    pub confidence: f32,
}

impl Model {
    /// Reads a folder: `model.toml`, the labels, and a hash over the weights (which takes about a
    /// second for every gigabyte). The weights are loaded later, by [`crate::Session::open`].
    ///
    /// # Errors
    /// [`Error::ModelUnreadable`] for a missing or unreadable file; [`Error::ModelInvalid`] naming
    /// the file and what to do for anything that cannot be used.
    pub fn open(folder: &Path) -> Result<Self> {
        let spec = folder::read_spec(folder)?;
        let (labels, labels_hash) = folder::read_labels(folder, &spec)?;
        let weights = folder.join(&spec.file);
        let weights_hash = folder::hash_weights(folder, &spec)?;
        let revision = folder::revision(&spec, &weights_hash, labels_hash.as_deref());
        Ok(Self {
            folder: folder.to_path_buf(),
            weights,
            spec,
            labels,
            revision,
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The weights file.
    #[must_use]
    pub fn weights(&self) -> &Path {
        &self.weights
    }

    /// What `model.toml` says.
    #[must_use]
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Labels in the order of the outputs; empty unless the model tags.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Hash of everything that decides the results: weights, preprocessing, output and labels, but
    /// not thresholds. 64 lower-case hex digits.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Names the values of one output row: all labels from the storage threshold up, highest first.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the row is not of this model.
    pub fn predictions(&self, row: &[f32]) -> Result<Vec<Prediction>> {
        if row.len() != self.labels.len() {
            return Err(Error::ShapeMismatch {
                what: "output row",
                got: row.len(),
                expected: self.labels.len(),
            });
        }
        let store = self.spec.thresholds.store;
        let mut found: Vec<Prediction> = (0u32..)
            .zip(row)
            .filter(|&(_, &confidence)| confidence >= store)
            .map(|(label, &confidence)| Prediction { label, confidence })
            .collect();
        found.sort_by(|a, b| {
            b.confidence
                .total_cmp(&a.confidence)
                .then(a.label.cmp(&b.label))
        });
        Ok(found)
    }

    /// The confidence from which labels of a category become tags.
    #[must_use]
    pub fn threshold(&self, category: Category) -> f32 {
        self.spec.thresholds.of(category)
    }

    /// Numbers in a vector; 0 unless the model embeds.
    #[must_use]
    pub fn dimensions(&self) -> u16 {
        self.spec.output.dimensions.unwrap_or(0)
    }

    /// The vector of one output row: its direction, at length 1.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the row is not of this model; [`Error::NoDirection`] if it has
    /// no direction, which no cosine could ever be computed with.
    pub fn vector(&self, row: &[f32]) -> Result<Vec<f32>> {
        let dimensions = usize::from(self.dimensions());
        if row.len() != dimensions {
            return Err(Error::ShapeMismatch {
                what: "output row",
                got: row.len(),
                expected: dimensions,
            });
        }
        let squares = row.iter().map(|&value| f64::from(value).powi(2));
        let length = squares.sum::<f64>().sqrt();
        if !length.is_finite() || length < LEAST_LENGTH {
            return Err(Error::NoDirection { length });
        }
        let scaled = row.iter().map(|&value| (f64::from(value) / length) as f32);
        Ok(scaled.collect())
    }

    /// Problem with this model's weights, for the session that meets it.
    pub(crate) fn invalid(&self, problem: impl std::fmt::Display) -> Error {
        Error::invalid(&self.weights, problem)
    }

    /// Values that one row of output must have.
    pub(crate) fn expected_width(&self) -> Option<usize> {
        match self.spec.kind {
            Kind::Tag => Some(self.labels.len()),
            Kind::Embed => self.spec.output.dimensions.map(usize::from),
        }
    }
}

#[cfg(test)]
mod tests;
