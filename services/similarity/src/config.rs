//! Flags of the similarity service.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use kit::config::{Configured, Shared, seconds};

/// Finds pictures that are like another, and pictures that are there several times.
///
/// It keeps a vector, a perceptual hash and a colour layout of every post in memory, follows the
/// store, and answers from memory. All of it can be lost: it is read from the store again.
#[derive(Debug, Clone, Parser)]
#[command(name = "kumo-similarity", version)]
pub struct Config {
    /// Address of the store.
    #[arg(
        long,
        env = "KUMO_STORE",
        value_name = "ADDR",
        default_value = "http://127.0.0.1:7801"
    )]
    pub store: String,

    /// How often to write DATA/similarity/snapshot.bin while things change, in seconds, at least
    /// 0.1; one is also written at the end. It only makes the next start quick.
    #[arg(long, env = "KUMO_SNAPSHOT_EVERY", value_name = "SECONDS", default_value = "300",
          value_parser = snapshot_every)]
    pub snapshot_every: Duration,

    /// Pictures sent by callers that are rendered at once.
    #[arg(long, env = "KUMO_RENDERERS", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..=64))]
    pub renderers: u8,

    /// The renderer program; by default `kumo-renderer` beside this one.
    #[arg(long, env = "KUMO_RENDERER", value_name = "FILE")]
    pub renderer: Option<PathBuf>,

    /// Flags of every service.
    #[command(flatten)]
    pub shared: Shared,
}

impl Configured for Config {
    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn default_listen() -> SocketAddr {
        ([127, 0, 0, 1], 7804).into()
    }
}

/// A snapshot costs a write of the whole index: it must not be the only thing done.
fn snapshot_every(text: &str) -> Result<Duration, String> {
    let every = seconds(text)?;
    if every < Duration::from_millis(100) {
        return Err("must be at least 0.1 seconds".to_owned());
    }
    Ok(every)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Config::command().debug_assert();
        let config = Config::parse_from(["kumo-similarity", "--snapshot-every", "2.5"]);
        assert_eq!(config.snapshot_every, Duration::from_millis(2500));
        assert_eq!(Config::default_listen().port(), 7804);
        for wrong in [
            ["--snapshot-every", "0"],
            ["--snapshot-every", "-1"],
            ["--renderers", "0"],
        ] {
            let flags = ["kumo-similarity"].into_iter().chain(wrong);
            assert!(Config::try_parse_from(flags).is_err(), "{wrong:?}");
        }
    }
}
