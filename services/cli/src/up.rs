//! `kumo up`: the whole cluster on one machine. Store, watcher and similarity run always; tagger and
//! embedder only while there is work for them.

mod child;
mod cluster;
mod follow;
mod idle;
mod launch;
mod lock;
mod log;
mod progress;
mod summary;
mod supervise;

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use kit::{
    Credential,
    config::{instance_name, log_filter, seconds},
};

use crate::{error::Error, run::Session};

/// Exit code of a `kumo` that a second signal made leave, or that was stopped before it was done.
const EXIT_STOPPED: u8 = 130;

/// Flags of `kumo up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo up ~/Pictures ~/Scans            watch these folders until Ctrl-C; they are only read
  kumo up                               the same folders again
  kumo up DIR --until-idle              catalogue, tag and embed once, then leave
  kumo up DIR --until-idle --json       and say in one line what was done
  kumo up DIR --model ~/models/wd-v3    tag with another model
  kumo up --data /srv/kumo --ports any  a second cluster beside the first

Ctrl-C stops all in order; once more leaves at once. Logs are in DATA/logs.
With --until-idle the exit code is 0 when nothing is left to do (what failed is counted, not waited
for), and 1 if something makes that impossible.
JSON keys of the last line: posts, tagged, embedded, indexed (posts that look-alike search knows),
failed (tasks and files), ingest_failures, parked, missing, registered, seconds, files_per_second,
rss {ROLE {rss_bytes, anonymous_bytes, file_bytes, peak_rss_bytes}}.")]
pub(crate) struct Flags {
    /// Folders to watch; without any, those of the last time.
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,

    /// Leave when every file is catalogued, tagged and embedded, and look-alike search knows it.
    #[arg(long)]
    until_idle: bool,

    /// With --until-idle: give up when nothing has moved for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds,
          requires = "until_idle")]
    stall: Duration,

    /// Ports to listen on: 7801 and up, or whatever is free.
    #[arg(long, value_enum, default_value_t = Ports::Default)]
    ports: Ports,

    /// Stop tagger and embedder when nobody has needed them for so many seconds; their memory comes
    /// back.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    idle_stop: Duration,

    /// Folder of the model to tag with; by default the built-in palette tagger.
    #[arg(long, env = "KUMO_MODEL", value_name = "DIR")]
    model: Option<PathBuf>,

    /// Folder of the model to find look-alikes with; by default the built-in layout embedder.
    #[arg(long, env = "KUMO_EMBED_MODEL", value_name = "DIR")]
    embed_model: Option<PathBuf>,

    /// The ONNX Runtime library, or its folder.
    #[arg(long, env = "KUMO_RUNTIME", value_name = "PATH")]
    runtime: Option<PathBuf>,

    /// Device for the models: auto, cpu, cuda…
    #[arg(long, env = "KUMO_DEVICE", value_name = "DEVICE")]
    device: Option<String>,

    /// Name of this machine in the cluster; by default its host name.
    #[arg(long, env = "KUMO_INSTANCE", value_name = "NAME", value_parser = instance_name)]
    instance: Option<String>,

    /// What the children log: `error`, `warn`, `info`, `debug`, `trace`, or `target=level,…`.
    #[arg(long, env = "KUMO_LOG", value_name = "FILTER", default_value = "info",
          value_parser = |text: &str| log_filter(text).map(|_| text.to_owned()))]
    log: String,

    /// Folder of kumo-store and the other programs; by default that of kumo.
    #[arg(long, env = "KUMO_PROGRAMS", value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Ports to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ports {
    /// 7801 and up.
    Default,
    /// Whatever is free.
    Any,
}

impl Flags {
    fn instance(&self) -> String {
        self.instance.clone().unwrap_or_else(|| {
            let host = rustix::system::uname();
            instance_name(&host.nodename().to_string_lossy()).unwrap_or_else(|_| "kumo".to_owned())
        })
    }
}

pub(crate) async fn run(flags: Flags, session: &Session) -> Result<u8, Error> {
    let data = &session.global.data;
    if let Some(store) = &session.global.store {
        return Err(Error::Usage(format!(
            "`kumo up` starts a store of its own; leave out --store {store} (and unset KUMO_STORE)"
        )));
    }
    if flags.dirs.is_empty() && !data.join("local.token").exists() {
        return Err(nothing_to_watch());
    }
    let _lock = lock::Lock::take(data)?;
    let credential = Credential::local(data)?;
    Box::pin(cluster::run(flags, credential, session)).await
}

fn nothing_to_watch() -> Error {
    Error::Usage("no folder was ever watched here; say which: `kumo up ~/Pictures`".to_owned())
}
