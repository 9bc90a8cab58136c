//! Flags of the watcher.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use kit::config::{Configured, Shared, seconds};

/// Watches folders, catalogues every picture once, and serves the bytes of pictures.
///
/// Folders are only ever read. Hidden files and folders (`.name`), unfinished downloads (`.part`,
/// `.crdownload`, `.tmp`, `~` and the like) and what other programs keep beside pictures
/// (`@eaDir`, recycle bins, `lost+found`) are not looked at; links are not followed.
#[derive(Debug, Clone, Parser)]
#[command(name = "kumo-watcher", version)]
pub struct Config {
    /// Folders to watch; without any, the folders of the last start.
    #[arg(value_name = "DIR", env = "KUMO_ROOTS", value_delimiter = ':')]
    pub roots: Vec<PathBuf>,

    /// Address of the store.
    #[arg(
        long,
        env = "KUMO_STORE",
        value_name = "ADDR",
        default_value = "http://127.0.0.1:7801"
    )]
    pub store: String,

    /// Address at which others reach this watcher; by default the one it listens on.
    #[arg(long, env = "KUMO_ADVERTISE", value_name = "ADDR")]
    pub advertise: Option<String>,

    /// Pictures rendered at once; by default one for each processor, at most 4.
    #[arg(long, env = "KUMO_RENDERERS", value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=64))]
    pub renderers: Option<u8>,

    /// The renderer program; by default `kumo-renderer` beside this one.
    #[arg(long, env = "KUMO_RENDERER", value_name = "FILE")]
    pub renderer: Option<PathBuf>,

    /// How often to look at everything, in seconds, although the kernel tells what changes.
    #[arg(long, env = "KUMO_RESCAN_EVERY", value_name = "SECONDS", default_value = "3600",
          value_parser = seconds)]
    pub rescan_every: Duration,

    /// How often to look at everything, in seconds, where the kernel does not tell (network file
    /// systems, or more folders than it can watch).
    #[arg(long, env = "KUMO_POLL", value_name = "SECONDS", default_value = "300",
          value_parser = seconds)]
    pub poll: Duration,

    /// Megabytes of samples to keep; the oldest go first and are made again when needed.
    #[arg(
        long,
        env = "KUMO_SAMPLE_CACHE",
        value_name = "MB",
        default_value_t = 20_000
    )]
    pub sample_cache: u64,

    /// Flags of every service.
    #[command(flatten)]
    pub shared: Shared,
}

impl Config {
    /// How many pictures to render at once.
    #[must_use]
    pub fn renderers(&self) -> usize {
        self.renderers
            .map_or_else(|| kit::config::processors().min(4), usize::from)
    }
}

impl Configured for Config {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn default_listen() -> SocketAddr {
        ([127, 0, 0, 1], 7802).into()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent_and_folders_are_positional() {
        Config::command().debug_assert();
        let config = Config::parse_from(["kumo-watcher", "/a", "/b", "--poll", "60"]);
        assert_eq!(config.roots, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(config.poll, Duration::from_secs(60));
        assert!((1..=4).contains(&config.renderers()));
    }
}
