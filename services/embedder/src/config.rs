//! Flags of the embedder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser;
use inference::Kind;
use inference::program::{Flags, Program};
use kit::config::{Configured, Shared};

/// Turns pictures into vectors with an ONNX model, on a CPU or a GPU.
///
/// Any number of these work for one store. Each leases pictures from it, fetches their samples from
/// the disk or from the watchers that have them, and delivers vectors: those of pictures that look
/// alike point the same way.
#[derive(Debug, Clone, Parser)]
#[command(name = "kumo-embedder", version)]
pub struct Config {
    /// Folder of the model (model.toml, model.onnx); by default the built-in layout embedder.
    #[arg(long, env = "KUMO_EMBEDDER_MODEL", value_name = "DIR")]
    pub model: Option<PathBuf>,

    /// Flags of every node.
    #[command(flatten)]
    pub node: Flags,

    /// Flags of every service.
    #[command(flatten)]
    pub shared: Shared,
}

impl Configured for Config {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn default_listen() -> SocketAddr {
        ([127, 0, 0, 1], 7805).into()
    }
}

impl Program for Config {
    const ROLE: &'static str = "embedder";
    const KIND: Kind = Kind::Embed;
    const BUILT_IN: &'static str = "layout-embedder";

    fn flags(&self) -> &Flags {
        &self.node
    }

    fn model(&self) -> Option<&Path> {
        self.model.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Config::command().debug_assert();
        let config =
            Config::parse_from(["kumo-embedder", "--model", "/m", "--store", "http://s:1"]);
        assert_eq!(config.model(), Some(Path::new("/m")));
        assert_eq!(config.flags().store, "http://s:1");
    }
}
