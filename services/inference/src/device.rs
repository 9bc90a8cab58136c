//! Which device runs the graph: what was asked for, and the proof of what came of it.
//!
//! ONNX Runtime falls back to the CPU without a word, node by node. So a GPU is always registered
//! in the way that fails loudly, and afterwards the profile of one real run says where each node
//! was executed: that count is the proof.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::runtime::Runtime;

/// What kind of device really runs a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// The processor.
    Cpu,
    /// NVIDIA GPUs.
    Cuda,
    /// Intel GPUs.
    Xpu,
    /// AMD GPUs.
    Rocm,
}

/// What a person asked for with `--device`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best device that can be proven to run the model.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The NVIDIA GPU with this index; refused if it cannot run the model.
    Cuda {
        /// Counts GPUs from 0.
        index: u32,
    },
}

/// Evidence of which device ran the graph, from the profile of a real run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceProof {
    /// The device.
    pub class: DeviceClass,
    /// ONNX Runtime's name of what executed most nodes.
    pub provider: String,
    /// Nodes that this provider executed in the profiled run.
    pub nodes: usize,
    /// All nodes executed in the profiled run.
    pub nodes_total: usize,
    /// Why a better device was passed over, under [`DeviceChoice::Auto`].
    pub passed_over: Option<String>,
}

impl DeviceClass {
    /// The word used in flags, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Xpu => "xpu",
            Self::Rocm => "rocm",
        }
    }

    fn of_provider(provider: &str) -> Option<Self> {
        match provider {
            "CPUExecutionProvider" => Some(Self::Cpu),
            "CUDAExecutionProvider" => Some(Self::Cuda),
            "OpenVINOExecutionProvider" => Some(Self::Xpu),
            "MIGraphXExecutionProvider" | "ROCMExecutionProvider" => Some(Self::Rocm),
            _ => None,
        }
    }
}

impl fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DeviceChoice {
    /// The devices to try, best first; more than one only for `auto`.
    pub(crate) fn candidates(self, runtime: &Runtime) -> Vec<DeviceChoice> {
        match self {
            Self::Auto if cuda_may_work(runtime.folder()) => {
                vec![Self::Cuda { index: 0 }, Self::Cpu]
            }
            Self::Auto => vec![Self::Cpu],
            chosen => vec![chosen],
        }
    }

    pub(crate) fn class(self) -> DeviceClass {
        match self {
            Self::Cuda { .. } => DeviceClass::Cuda,
            Self::Auto | Self::Cpu => DeviceClass::Cpu,
        }
    }

    pub(crate) fn unavailable(self, cause: impl fmt::Display) -> Error {
        Error::DeviceUnavailable {
            device: self.to_string(),
            cause: cause.to_string(),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::DeviceUnknown { name: text.into() };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda { index: 0 }),
            _ => match text.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(index)) => Ok(Self::Cuda { index }),
                _ => Err(unknown()),
            },
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda { index } => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceProof {
    /// Reads the proof out of a profile that ONNX Runtime wrote, and holds it against what was
    /// asked for: the device must have executed most nodes. (A few small shape computations stay
    /// on the CPU by design of ONNX Runtime's GPU support.)
    pub(crate) fn from_profile(profile: &[u8], choice: DeviceChoice) -> Result<Self> {
        let events: Vec<Value> = serde_json::from_slice(profile)
            .map_err(|cause| choice.unavailable(format!("its profile is unreadable: {cause}")))?;
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for provider in events.iter().filter_map(executed_by) {
            match counts.iter_mut().find(|(name, _)| *name == provider) {
                Some((_, count)) => *count += 1,
                None => counts.push((provider, 1)),
            }
        }
        let nodes_total = counts.iter().map(|(_, count)| count).sum();
        let most = counts.iter().max_by_key(|(_, count)| *count);
        let Some(&(provider, nodes)) = most else {
            return Err(choice.unavailable("its profile shows no executed node"));
        };
        match DeviceClass::of_provider(provider) {
            Some(class) if class == choice.class() => Ok(Self {
                class,
                provider: provider.into(),
                nodes,
                nodes_total,
                passed_over: None,
            }),
            _ => Err(choice.unavailable(format!(
                "{nodes} of the graph's {nodes_total} nodes ran on {provider}"
            ))),
        }
    }
}

impl fmt::Display for DeviceProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of {} nodes ran on {}",
            self.class, self.nodes, self.nodes_total, self.provider
        )?;
        match &self.passed_over {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

/// The provider of a kernel execution, if that is what this profile event is.
fn executed_by(event: &Value) -> Option<&str> {
    let name = event.get("name")?.as_str()?;
    if !name.ends_with("_kernel_time") {
        return None;
    }
    event.get("args")?.get("provider")?.as_str()
}

/// Whether trying CUDA makes sense: a library built for it, and a driver.
fn cuda_may_work(folder: &Path) -> bool {
    folder.join("libonnxruntime_providers_cuda.so").exists() && Path::new("/dev/nvidiactl").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(providers: &[&str]) -> Vec<u8> {
        let mut events = vec![serde_json::json!({"name": "session_initialization", "args": {}})];
        for (i, provider) in providers.iter().enumerate() {
            events.push(serde_json::json!({
                "name": format!("n{i}_kernel_time"), "args": {"provider": provider}
            }));
        }
        serde_json::to_vec(&events).unwrap()
    }

    #[test]
    fn devices_are_read_and_written_the_same() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!(
            "cuda".parse::<DeviceChoice>().unwrap(),
            DeviceChoice::Cuda { index: 0 }
        );
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "xpu"] {
            let error = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains("use auto, cpu, cuda"), "{error}");
        }
    }

    #[test]
    fn a_gpu_that_ran_most_nodes_is_proven() {
        let (gpu, cpu) = ("CUDAExecutionProvider", "CPUExecutionProvider");
        let choice = DeviceChoice::Cuda { index: 0 };
        let proof = DeviceProof::from_profile(&profile(&[gpu, gpu, cpu]), choice).unwrap();
        assert_eq!(proof.class, DeviceClass::Cuda);
        assert_eq!(
            proof.to_string(),
            "cuda: 2 of 3 nodes ran on CUDAExecutionProvider"
        );
    }

    #[test]
    fn a_gpu_that_left_the_work_to_the_cpu_is_refused() {
        let (gpu, cpu) = ("CUDAExecutionProvider", "CPUExecutionProvider");
        let choice = DeviceChoice::Cuda { index: 1 };
        let error = DeviceProof::from_profile(&profile(&[cpu, cpu, gpu]), choice).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("cuda:1") && said.contains("2 of the graph's 3 nodes ran on CPU"));
        assert_eq!(error.reason(), "DEVICE_UNAVAILABLE");
    }

    #[test]
    fn a_profile_without_nodes_proves_nothing() {
        for bytes in [&b"["[..], b"[]", b"{}", b""] {
            assert!(DeviceProof::from_profile(bytes, DeviceChoice::Cpu).is_err());
        }
    }
}
