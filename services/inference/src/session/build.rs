//! Making a session: which options it gets and why it may not load.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use ort::session::builder::SessionBuilder;
use ort::session::{RunOptions, Session as Graph};

use super::SessionOptions;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::runtime::Runtime;

/// Where ONNX Runtime writes the profile of the warm-up run.
pub(super) struct Profile {
    prefix: PathBuf,
}

impl Profile {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kumobooru-profile-{}-{number}", std::process::id());
        Self {
            prefix: std::env::temp_dir().join(name),
        }
    }
}

/// The builder of a session with all our choices.
pub(super) fn builder(
    runtime: &Runtime,
    options: &SessionOptions,
    device: DeviceChoice,
    profile: &Profile,
) -> Result<SessionBuilder> {
    let plain = |cause: ort::Error<SessionBuilder>| device.unavailable(cause);
    let builder = Graph::builder(runtime.environment())
        .map_err(|cause| device.unavailable(cause))?
        .with_intra_threads(options.threads.max(1))
        .map_err(plain)?
        .with_intra_op_spinning(false)
        .map_err(plain)?
        .with_memory_pattern(false)
        .map_err(plain)?
        .with_prepacking(options.prepack)
        .map_err(plain)?
        .with_profiling(&profile.prefix)
        .map_err(plain)?;
    match device {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(builder),
        DeviceChoice::Cuda { index } => {
            let index = i32::try_from(index).map_err(|_| device.unavailable("no such GPU"))?;
            let cuda = ort::ep::CUDA::default()
                .with_device_id(index)
                .build()
                .error_on_failure();
            builder.with_execution_providers([cuda]).map_err(plain)
        }
    }
}

/// The options of every run.
pub(super) fn run_options(device: DeviceChoice) -> Result<RunOptions> {
    let arenas = match device {
        DeviceChoice::Auto | DeviceChoice::Cpu => "cpu:0".to_owned(),
        DeviceChoice::Cuda { index } => format!("cpu:0;gpu:{index}"),
    };
    let mut options = RunOptions::new().map_err(Error::run)?;
    options
        .set("memory.enable_memory_arena_shrinkage", arenas)
        .map_err(Error::run)?;
    Ok(options)
}

/// A graph that does not load is the file's fault on the CPU; on a GPU it may be the GPU's.
pub(super) fn load_failed(model: &Model, device: DeviceChoice, cause: &ort::Error) -> Error {
    match device {
        DeviceChoice::Cuda { .. } => device.unavailable(cause),
        DeviceChoice::Auto | DeviceChoice::Cpu => model.invalid(format!(
            "ONNX Runtime cannot load it: {cause}. It is damaged, truncated or made for a newer \
             version; copy it again"
        )),
    }
}
