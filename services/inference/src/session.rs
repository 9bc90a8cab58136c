//! A model loaded on a device: the only file that runs graphs.
//!
//! A session is a plain value for one thread. Choices made here: worker threads of ONNX Runtime
//! sleep when there is nothing to do instead of spinning; the arena gives its memory back after
//! each run, since a batch of 8 would otherwise leave several hundred MB behind; memory
//! patterns are off, because they would be kept for every batch size that occurs.

mod build;
mod graph;
mod memory;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ort::session::{RunOptions, Session as Graph};
use ort::value::TensorRef;

use crate::batch::{Batch, Outputs};
use crate::device::{DeviceChoice, DeviceProof};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::spec::{Activation, InputSpec, Kind, Layout};
use crate::runtime::Runtime;
use build::{Profile, builder, load_failed, run_options};
use graph::Shape;
use memory::{Trim, resident};

/// How a session is to be made.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The device.
    pub device: DeviceChoice,
    /// Threads that share one operator's work on the CPU; at least 1.
    pub threads: usize,
    /// Whether weights are rearranged once while loading. Runs are faster with it; without it,
    /// weights in external data stay in the page cache instead of in our own memory.
    pub prepack: bool,
}

/// A loaded model. Dropping it gives back everything but ONNX Runtime itself.
pub struct Session {
    graph: Graph,
    options: Arc<RunOptions>,
    cancelled: Arc<AtomicBool>,
    input: InputSpec,
    shape: Shape,
    activation: Activation,
    max_batch: usize,
    proof: DeviceProof,
    report: LoadReport,
    _trim: Trim,
}

/// Stops a session from another thread: the run in progress and every later one.
#[derive(Clone)]
pub struct Canceller {
    options: Arc<RunOptions>,
    cancelled: Arc<AtomicBool>,
}

/// What loading cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadReport {
    /// Reading and preparing the graph.
    pub load_time: Duration,
    /// The first run, of one picture, in which much is still set up.
    pub warm_up_time: Duration,
    /// Resident memory of the process before loading, in bytes; 0 if it cannot be read.
    pub resident_before: u64,
    /// Resident memory of the process after the first run, in bytes; 0 if it cannot be read.
    pub resident_after: u64,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            device: DeviceChoice::Auto,
            threads: kit::config::processors(),
            prepack: true,
        }
    }
}

impl Session {
    /// Loads the model's weights on the device that was asked for, runs it once, and checks what
    /// comes out: shape, count of labels, finite numbers, and the device that really ran it.
    ///
    /// # Errors
    /// [`Error::DeviceUnavailable`] if the device is not there or leaves the work to another;
    /// [`Error::ModelInvalid`] for weights that do not load, do not fit `model.toml` or the labels,
    /// or answer NaN.
    pub fn open(runtime: &Runtime, model: &Model, options: &SessionOptions) -> Result<Self> {
        let mut passed_over = None;
        let mut candidates = options.device.candidates(runtime).into_iter().peekable();
        while let Some(device) = candidates.next() {
            match Self::open_on(runtime, model, options, device) {
                Ok(mut session) => {
                    session.proof.passed_over = passed_over;
                    return Ok(session);
                }
                Err(cause @ Error::DeviceUnavailable { .. }) if candidates.peek().is_some() => {
                    tracing::warn!(device.asked = %device, "{cause}");
                    passed_over = Some(cause.to_string());
                }
                Err(cause) => return Err(cause),
            }
        }
        Err(options.device.unavailable("there is no device to try"))
    }

    fn open_on(
        runtime: &Runtime,
        model: &Model,
        options: &SessionOptions,
        device: DeviceChoice,
    ) -> Result<Self> {
        let resident_before = resident();
        let started = Instant::now();
        let profile = Profile::new();
        let mut builder = builder(runtime, options, device, &profile)?;
        let graph = builder
            .commit_from_file(model.weights())
            .map_err(|cause| load_failed(model, device, &cause))?;
        // The builder keeps hold of what it loaded; together they would never be unloaded.
        drop(builder);
        let shape = graph::check(&graph, model)?;
        let load_time = started.elapsed();
        let spec = model.spec();
        let mut session = Self {
            graph,
            options: Arc::new(run_options(device)?),
            cancelled: Arc::new(AtomicBool::new(false)),
            input: spec.input.clone(),
            shape,
            activation: spec.output.activation,
            max_batch: spec.batch.max,
            proof: DeviceProof {
                class: device.class(),
                provider: String::new(),
                nodes: 0,
                nodes_total: 0,
                passed_over: None,
            },
            report: LoadReport {
                load_time,
                warm_up_time: Duration::ZERO,
                resident_before,
                resident_after: 0,
            },
            _trim: Trim,
        };
        let started = Instant::now();
        session.warm_up(model)?;
        session.report.warm_up_time = started.elapsed();
        session.proof = session.prove(device)?;
        session.report.resident_after = resident();
        Ok(session)
    }

    /// An empty batch of this model's shape, for at most `capacity` pictures and never more than
    /// the model's own maximum.
    #[must_use]
    pub fn batch(&self, capacity: usize) -> Batch {
        let capacity = capacity.clamp(1, self.max_batch);
        Batch::new(&self.input, capacity, self.shape.batch.unwrap_or(1))
    }

    /// Runs the pictures of a batch and gives one row for each. An empty batch gives no rows.
    ///
    /// # Errors
    /// [`Error::RunCancelled`]; [`Error::RunFailed`]; [`Error::NotFinite`];
    /// [`Error::ShapeMismatch`] for a batch of another model.
    pub fn run(&mut self, batch: &mut Batch) -> Result<Outputs> {
        if batch.row() != self.input.values() {
            return Err(Error::ShapeMismatch {
                what: "row of the batch",
                got: batch.row(),
                expected: self.input.values(),
            });
        }
        if self.cancelled.load(Ordering::Acquire) {
            return Err(Error::RunCancelled);
        }
        let rows = batch.len();
        let mut values = Vec::new();
        match self.shape.batch {
            None if rows == 0 => {}
            None => self.run_rows(batch.slice(0, rows), rows, rows, &mut values)?,
            // The graph takes so many and no other number: run in steps, pad and cut the last.
            Some(step) => {
                batch.pad(rows.next_multiple_of(step));
                for first in (0..rows).step_by(step) {
                    let keep = step.min(rows - first);
                    self.run_rows(batch.slice(first, step), step, keep, &mut values)?;
                }
            }
        }
        let width = values.len().checked_div(rows).unwrap_or(0);
        let mut outputs = Outputs::new(values, width);
        outputs.check_finite()?;
        outputs.activate(self.activation);
        Ok(outputs)
    }

    /// Which device runs the graph, and how that is known.
    #[must_use]
    pub fn proof(&self) -> &DeviceProof {
        &self.proof
    }

    /// What loading cost.
    #[must_use]
    pub fn report(&self) -> LoadReport {
        self.report
    }

    /// Most pictures in a batch.
    #[must_use]
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// A handle that stops this session from another thread, for good.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller {
            options: Arc::clone(&self.options),
            cancelled: Arc::clone(&self.cancelled),
        }
    }

    /// Runs `rows` rows and appends the outputs of the first `keep` to `values`.
    fn run_rows(
        &mut self,
        input: &[f32],
        rows: usize,
        keep: usize,
        values: &mut Vec<f32>,
    ) -> Result<()> {
        let (width, height) = (self.input.width as usize, self.input.height as usize);
        let dimensions = match self.input.layout {
            Layout::Nhwc => [rows, height, width, 3],
            Layout::Nchw => [rows, 3, height, width],
        };
        let tensor = TensorRef::from_array_view((dimensions, input)).map_err(Error::run)?;
        let outputs = self
            .graph
            .run_with_options(ort::inputs![tensor], &self.options)
            .map_err(|cause| {
                if self.cancelled.load(Ordering::Acquire) {
                    Error::RunCancelled
                } else {
                    Error::run(cause)
                }
            })?;
        let (shape, found) = outputs[self.shape.output.as_str()]
            .try_extract_tensor::<f32>()
            .map_err(Error::run)?;
        if shape.first() != i64::try_from(rows).ok().as_ref() || found.len() % rows != 0 {
            return Err(Error::run(format!(
                "output '{}' has the shape {shape:?} for {rows} pictures",
                self.shape.output
            )));
        }
        values.extend_from_slice(&found[..found.len() / rows * keep]);
        Ok(())
    }

    /// One run of one grey picture: what is wrong with a model shows here, not in the first batch.
    fn warm_up(&mut self, model: &Model) -> Result<()> {
        let mut batch = self.batch(1);
        let grey = vec![128; self.input.values()];
        let picture = crate::Picture::new(self.input.width, self.input.height, grey)?;
        let mut preprocessor = crate::Preprocessor::new(&self.input);
        batch
            .push(|row| preprocessor.prepare(&picture, row))
            .transpose()?;
        let outputs = self.run(&mut batch).map_err(|cause| match cause {
            Error::NotFinite { .. } | Error::RunFailed { .. } => {
                model.invalid(format!("the first run failed: {cause}"))
            }
            other => other,
        })?;
        if let Some(expected) = model.expected_width().filter(|n| *n != outputs.width()) {
            return Err(graph::width_mismatch(model, expected, outputs.width()));
        }
        let outside = |value: &&f32| !(-1e-3..=1.001).contains(*value);
        let odd = outputs.row(0).unwrap_or_default().iter().find(outside);
        match odd {
            Some(value) if model.spec().kind == Kind::Tag => Err(model.invalid(format!(
                "a confidence is {value}, outside 0 to 1: the graph seems to end in logits, add \
                 activation = \"sigmoid\" to [output] of model.toml"
            ))),
            _ => Ok(()),
        }
    }

    fn prove(&mut self, device: DeviceChoice) -> Result<DeviceProof> {
        let path = self
            .graph
            .end_profiling()
            .map_err(|cause| device.unavailable(format!("no profile of its run: {cause}")))?;
        let profile = std::fs::read(&path);
        // Best effort: a file left in the temporary folder harms nothing.
        let _ = std::fs::remove_file(&path);
        let profile = profile.map_err(|cause| {
            device.unavailable(format!("the profile of its run, {path}: {cause}"))
        })?;
        DeviceProof::from_profile(&profile, device)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("graph", &self.graph)
            .field("proof", &self.proof)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller")
            .field("cancelled", &self.cancelled)
            .finish_non_exhaustive()
    }
}

impl Canceller {
    /// Stops the run in progress at the next operator, and refuses later ones.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        if let Err(cause) = self.options.terminate() {
            tracing::warn!(error = %cause, "the run in progress cannot be stopped early");
        }
    }
}
