//! The store's flags.

use std::net::{Ipv4Addr, SocketAddr};

use kit::config::{Configured, Shared};

use crate::Clock;

/// Keeps the library: posts, tags, tasks and the search index.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "kumo-store", version)]
pub struct Config {
    /// What every service has.
    #[command(flatten)]
    pub shared: Shared,

    /// Open the database although its folder is on a network or FUSE file system, where locks may
    /// not hold. Only if nothing else will ever open it.
    #[arg(long, env = "KUMO_ALLOW_NETWORK_FS")]
    pub allow_network_fs: bool,

    /// Time by which leases and offline watchers are judged; tests move it.
    #[arg(skip)]
    pub clock: Clock,
}

impl Configured for Config {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn default_listen() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 7801).into()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_flags_are_sound_and_the_port_is_the_stores() {
        let config = Config::try_parse_from(["kumo-store", "--allow-network-fs"]).expect("parses");
        assert!(config.allow_network_fs);
        assert_eq!(Config::default_listen().to_string(), "127.0.0.1:7801");
        assert!(Config::try_parse_from(["kumo-store", "--no-such-flag"]).is_err());
    }
}
