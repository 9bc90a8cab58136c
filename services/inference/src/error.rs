//! What can go wrong between a library on disk and a row of confidences.

use std::fmt;
use std::path::PathBuf;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One place where ONNX Runtime was looked for, and why it was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The path.
    pub path: PathBuf,
    /// Why it did not work.
    pub cause: String,
}

/// A failure of inference. Each message says what, which value, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable ONNX Runtime library in any place.
    #[error(
        "no usable ONNX Runtime library; tried:{}\nfetch the pinned one with `deploy/runtime/fetch.py` \
         in the source folder, or name a library of version 1.{} or newer with ORT_DYLIB_PATH",
        listed(.tried),
        ort::MINOR_VERSION
    )]
    RuntimeNotFound {
        /// Every path tried, in order.
        tried: Vec<Tried>,
    },
    /// The library was loaded but would not start.
    #[error("ONNX Runtime at {} did not start: {cause}", .path.display())]
    RuntimeFailed {
        /// The library.
        path: PathBuf,
        /// What it said.
        cause: String,
    },
    /// A second, different library was asked for; a process can only ever have one.
    #[error("ONNX Runtime is already loaded from {}; {} needs a process of its own", .loaded.display(), .asked.display())]
    RuntimeAlreadyLoaded {
        /// The library in use.
        loaded: PathBuf,
        /// The one asked for.
        asked: PathBuf,
    },
    /// A device name that means nothing here.
    #[error("unknown device '{name}': use auto, cpu, cuda or cuda:N (N counts GPUs from 0)")]
    DeviceUnknown {
        /// The text given.
        name: String,
    },
    /// The device that was asked for cannot run the model.
    #[error(
        "device {device} cannot run this model: {cause}; use --device auto or --device cpu to do without it"
    )]
    DeviceUnavailable {
        /// The device asked for.
        device: String,
        /// Why not.
        cause: String,
    },
    /// A file of the model folder cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    ModelUnreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why not, and what to do.
        cause: String,
    },
    /// A file of the model folder says something that cannot be used.
    #[error("{}: {problem}", .path.display())]
    ModelInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A sample or picture that does not decode or has impossible dimensions.
    #[error("picture cannot be used: {cause}")]
    PictureDamaged {
        /// What is wrong with it.
        cause: String,
    },
    /// A buffer of the wrong size was passed: a mistake in the calling code.
    #[error("{what} has {got} values, the model takes {expected}")]
    ShapeMismatch {
        /// Which buffer.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length needed.
        expected: usize,
    },
    /// The run was stopped by a [`crate::Canceller`].
    #[error("the run was cancelled")]
    RunCancelled,
    /// ONNX Runtime failed in the middle of a run.
    #[error("the model failed to run: {cause}")]
    RunFailed {
        /// What it said.
        cause: String,
    },
    /// The model answered NaN or infinity.
    #[error(
        "the model answered {value} for row {row} of the batch, output {column}: the weights are \
         damaged or the device computes wrongly"
    )]
    NotFinite {
        /// Row of the batch, from 0.
        row: usize,
        /// Output of the row, from 0.
        column: usize,
        /// The value, NaN or an infinity.
        value: f32,
    },
    /// The model answered a vector of zeros.
    #[error(
        "the model answered a vector of length {length}, which has no direction: the weights are \
         damaged, the device computes wrongly, or the model sees nothing in this picture"
    )]
    NoDirection {
        /// Its length.
        length: f64,
    },
}

impl Error {
    /// The reason code for reports: upper snake case, stable.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::RuntimeNotFound { .. } => "ONNXRUNTIME_NOT_FOUND",
            Self::RuntimeFailed { .. } => "ONNXRUNTIME_FAILED",
            Self::RuntimeAlreadyLoaded { .. } => "ONNXRUNTIME_ALREADY_LOADED",
            Self::DeviceUnknown { .. } => "DEVICE_UNKNOWN",
            Self::DeviceUnavailable { .. } => "DEVICE_UNAVAILABLE",
            Self::ModelUnreadable { .. } => "MODEL_UNREADABLE",
            Self::ModelInvalid { .. } => "MODEL_INVALID",
            Self::PictureDamaged { .. } => "PICTURE_DAMAGED",
            Self::ShapeMismatch { .. } => "SHAPE_MISMATCH",
            Self::RunCancelled => "RUN_CANCELLED",
            Self::RunFailed { .. } => "RUN_FAILED",
            Self::NotFinite { .. } => "MODEL_NOT_FINITE",
            Self::NoDirection { .. } => "MODEL_NO_DIRECTION",
        }
    }

    /// Whether one picture is to blame, so that the others of the batch are innocent and the node
    /// is sound.
    #[must_use]
    pub fn blames_picture(&self) -> bool {
        matches!(self, Self::PictureDamaged { .. })
    }

    /// The same failure for the same picture, told once more.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::NotFinite { row, column, value } => Self::NotFinite {
                row: *row,
                column: *column,
                value: *value,
            },
            other => Self::run(other),
        }
    }

    pub(crate) fn invalid(path: impl Into<PathBuf>, problem: impl fmt::Display) -> Self {
        Self::ModelInvalid {
            path: path.into(),
            problem: problem.to_string(),
        }
    }

    pub(crate) fn picture(cause: impl fmt::Display) -> Self {
        Self::PictureDamaged {
            cause: cause.to_string(),
        }
    }

    pub(crate) fn run(cause: impl fmt::Display) -> Self {
        Self::RunFailed {
            cause: cause.to_string(),
        }
    }
}

fn listed(tried: &[Tried]) -> String {
    tried
        .iter()
        .map(|t| format!("\n  {}: {}", t.path.display(), t.cause))
        .collect()
}
