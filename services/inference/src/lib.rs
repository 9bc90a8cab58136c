//! The engine room: ONNX Runtime, model folders, preprocessing, sessions.
//!
//! The way of a picture: [`Picture::read_sample`] decodes a sample → [`Preprocessor::prepare`]
//! writes it as one row of a [`Batch`] → [`Session::run`] turns the batch into [`Outputs`] →
//! [`Model::predictions`] names what came out.
//!
//! None of these knows gRPC or the store, or starts a thread: a [`Session`] is a plain value that
//! whoever owns a device thread keeps on it, a [`Preprocessor`] one that each decoding thread keeps.
//! The one who does all that is [`leases`]: the loop of a node. What the programs around it have in
//! common is [`program`].

mod batch;
mod device;
mod error;
pub mod leases;
mod model;
mod preprocess;
pub mod program;
mod runtime;
mod session;

pub use batch::{Batch, Outputs};
pub use device::{DeviceChoice, DeviceClass, DeviceProof};
pub use error::{Error, Result, Tried};
pub use model::labels::{Category, Label, RATINGS};
pub use model::spec::{
    Activation, Channels, Filter, Fit, InputSpec, Kind, LabelFormat, Layout, ModelSpec, Range,
    Thresholds,
};
pub use model::{Model, Prediction};
pub use preprocess::{Picture, Preprocessor};
pub use runtime::Runtime;
pub use session::{Canceller, LoadReport, Session, SessionOptions};
