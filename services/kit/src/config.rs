//! The flags that every service has.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Implemented by each service's flags: where the shared ones are.
pub trait Configured: clap::Parser {
    /// The flags below.
    fn shared(&self) -> &Shared;

    /// Address to listen on when `--listen` is not given.
    fn default_listen() -> SocketAddr;
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `human` on a terminal, `json` elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For reading.
    Human,
}

/// Flags of every service.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
pub struct Shared {
    /// Address and port for gRPC; port 0 takes any free one.
    #[arg(long, env = "KUMO_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,

    /// Address and port for health checks without credentials; by default the port of `--listen`
    /// plus 100.
    #[arg(long, env = "KUMO_ADMIN_LISTEN", value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,

    /// Folder for everything that this machine keeps.
    #[arg(long, env = "KUMO_DATA", value_name = "DIR", default_value_os_t = default_data())]
    pub data: PathBuf,

    /// Name of this instance, stable over restarts: letters, digits, `.`, `_`, `-`.
    #[arg(long, env = "KUMO_INSTANCE", value_name = "NAME", value_parser = instance_name)]
    pub instance: Option<String>,

    /// Who may call this service: lines of `NAME SCOPE[,SCOPE…] sha256:HASH [expires:TIME]`, as
    /// `kumo token` writes them; by default DATA/auth if it is there. Changes count within seconds.
    #[arg(long, env = "KUMO_AUTH_FILE", value_name = "FILE")]
    pub auth_file: Option<PathBuf>,

    /// Token of the first administrator; by default DATA/admin.token, which the store makes.
    #[arg(long, env = "KUMO_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Token to show to other services; by default that of the local owner, DATA/local.token.
    #[arg(long, env = "KUMO_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Allow listening beyond loopback although the connection is not encrypted. Tokens and
    /// pictures can then be read on the way.
    #[arg(long, env = "KUMO_INSECURE")]
    pub insecure: bool,

    /// Connections accepted at once; more wait in the kernel's queue.
    #[arg(long, env = "KUMO_MAX_CONNECTIONS", value_name = "N", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_connections: u32,

    /// Calls in progress at once; more are refused with RESOURCE_EXHAUSTED.
    #[arg(long, env = "KUMO_MAX_CALLS", value_name = "N", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub max_calls: u32,

    /// Threads for requests.
    #[arg(long, env = "KUMO_THREADS", value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,

    /// How long a shutdown waits for work in progress, in seconds.
    #[arg(long, env = "KUMO_GRACE", value_name = "SECONDS", default_value = "20",
          value_parser = seconds)]
    pub grace: Duration,

    /// What to log: `error`, `warn`, `info`, `debug`, `trace`, or `target=level,…`.
    #[arg(long, env = "KUMO_LOG", value_name = "FILTER", default_value = "info",
          value_parser = log_filter)]
    pub log: Arc<Targets>,

    /// How log lines look.
    #[arg(long, env = "KUMO_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,

    /// End when this process, which started this one, ends. `kumo up` uses it.
    #[arg(long, hide = true, value_name = "PID")]
    pub end_with_parent: Option<i32>,
}

impl Shared {
    /// The name of this instance: `--instance`, or the host's name.
    #[must_use]
    pub fn instance(&self) -> String {
        self.instance.clone().unwrap_or_else(|| {
            let host = rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned();
            instance_name(&host).unwrap_or_else(|_| "kumo".to_owned())
        })
    }
}

/// Checks the name of an instance or node.
///
/// # Errors
/// With a text that says what is allowed.
pub fn instance_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 100 || !text.bytes().all(allowed) {
        return Err("use 1 to 100 letters, digits, `.`, `_` or `-`".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a length of time in seconds, such as `20` or `0.5`; at most a day.
///
/// # Errors
/// With a text that says what is allowed.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=86_400.0).contains(&number) {
        return Err("must be between 0 and 86400 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(number))
}

/// Reads what to log: a level, or `target=level`, or several of these with commas between. Shared,
/// since it is half a KB and flags are copied into many places.
///
/// # Errors
/// If a part is neither, with what is wrong with it.
pub fn log_filter(text: &str) -> Result<Arc<Targets>, String> {
    // To the library a word without a level is a target, and none at all the level of errors: with
    // a level mistyped next to nothing would be logged.
    let wrong = |part: &&str| {
        part.is_empty() || !part.contains('=') && part.parse::<LevelFilter>().is_err()
    };
    let mistyped = text.split(',').find(wrong);
    if let Some(part) = mistyped {
        return Err(format!(
            "{part:?} is no level (off, error, warn, info, debug, trace) and no target=level"
        ));
    }
    let filter = text.parse::<Targets>();
    filter.map(Arc::new).map_err(|error| error.to_string())
}

/// Processors that this process may use, at least 1.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The data folder when none is named: `$XDG_DATA_HOME/kumobooru`, or `~/.local/share/kumobooru`.
#[must_use]
pub fn default_data() -> PathBuf {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("kumobooru")
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::log_filter;

    #[test]
    fn what_to_log_is_a_level_or_targets_with_levels() {
        let filter = log_filter("warn,kumo_store=debug,h2=off").expect("is one");
        assert!(filter.would_enable("kumo_store::db", &tracing::Level::DEBUG));
        assert!(!filter.would_enable("kumo_watcher", &tracing::Level::INFO));
        assert!(!filter.would_enable("h2", &tracing::Level::ERROR));
        assert_eq!(
            log_filter("INFO").expect("is one").default_level(),
            Some(LevelFilter::INFO)
        );
        for wrong in ["", "inof", "warn,", "kumo_store=loud", "a=b=c"] {
            let told = log_filter(wrong).expect_err(wrong);
            assert!(!told.is_empty(), "{wrong}");
        }
    }
}
