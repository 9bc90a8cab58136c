//! The flags that programs around a node share.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use kit::config::{processors, seconds};

use crate::device::DeviceChoice;

/// Flags of every program that is a node.
#[derive(Debug, Clone, Args)]
pub struct Flags {
    /// Address of the store.
    #[arg(
        long,
        env = "KUMO_STORE",
        value_name = "ADDR",
        default_value = "http://127.0.0.1:7801"
    )]
    pub store: String,

    /// ONNX Runtime library, or its folder; by default ORT_DYLIB_PATH, then folders around this
    /// program.
    #[arg(long, value_name = "FILE")]
    pub runtime: Option<PathBuf>,

    /// Device: auto, cpu, cuda or cuda:N. One that cannot be proven to run the model is refused;
    /// auto takes the best that can.
    #[arg(
        long,
        env = "KUMO_DEVICE",
        value_name = "DEVICE",
        default_value = "auto"
    )]
    pub device: DeviceChoice,

    /// Most pictures in a batch, 1 to 256; by default what the model allows. Batches grow up to
    /// this while a run stays short.
    #[arg(long, env = "KUMO_MAX_BATCH", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub max_batch: Option<u16>,

    /// Threads that share the work of one run on the CPU; by default one for each processor.
    #[arg(long, env = "KUMO_INTRA_THREADS", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub intra_threads: Option<u16>,

    /// Threads that decode and resize samples; by default one for each processor.
    #[arg(long, env = "KUMO_DECODERS", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub decoders: Option<u16>,

    /// Pictures sent by callers that are rendered at once.
    #[arg(long, env = "KUMO_RENDERERS", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=64))]
    pub renderers: u8,

    /// The renderer program; by default `kumo-renderer` beside this one.
    #[arg(long, env = "KUMO_RENDERER", value_name = "FILE")]
    pub renderer: Option<PathBuf>,

    /// Address at which others reach this node; by default the one it listens on.
    #[arg(long, env = "KUMO_ADVERTISE", value_name = "ADDR")]
    pub advertise: Option<String>,

    /// Leave with exit code 0 after so many seconds without work.
    #[arg(long, env = "KUMO_IDLE_EXIT", value_name = "SECONDS", value_parser = seconds)]
    pub idle_exit: Option<Duration>,

    /// Only make the model known to the store, print its name there (`models/3`), and leave.
    /// Neither ONNX Runtime nor the weights are loaded, and no port is opened.
    #[arg(long)]
    pub register_only: bool,
}

impl Flags {
    /// Threads for decoding.
    #[must_use]
    pub fn decoders(&self) -> usize {
        self.decoders.map_or_else(processors, usize::from)
    }

    /// Threads for one run.
    #[must_use]
    pub fn intra_threads(&self) -> usize {
        self.intra_threads.map_or_else(processors, usize::from)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn flags_are_read_into_what_they_mean() {
        let given = ["node", "--device", "cuda:1", "--idle-exit", "2.5"];
        let flags = Command::parse_from(given).flags;
        assert_eq!(flags.device, DeviceChoice::Cuda { index: 1 });
        assert_eq!(flags.idle_exit, Some(Duration::from_millis(2500)));
        assert!(flags.decoders() >= 1 && flags.intra_threads() >= 1);
        for wrong in [
            ["--device", "gpu"],
            ["--max-batch", "0"],
            ["--renderers", "0"],
        ] {
            let given = ["node"].into_iter().chain(wrong);
            assert!(Command::try_parse_from(given).is_err(), "{wrong:?}");
        }
    }
}
