//! The story of every process: flags → telemetry → bind → serve → ready; then the signal, the
//! drain within the grace period, the exit code. A second signal leaves at once.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::Parser;
use tokio::net::TcpListener;

use crate::{
    auth::{self, Authority, Credential, Source, Sources},
    code::{self, Code, Fault},
    config::{Configured, Shared},
    health::Health,
    memory,
    process::Process,
    rundir::{Announced, Announcement},
    shutdown::{Shutdown, Signals},
    tasks::Tasks,
    telemetry,
};

/// Exit code of a process that a second signal made leave.
const EXIT_IMPATIENT: u8 = 130;

/// What a service is handed.
#[derive(Debug, Clone)]
pub struct Context {
    /// Tells when to end.
    pub shutdown: Shutdown,
    /// Starts background tasks.
    pub tasks: Tasks,
    /// What this process waits for.
    pub health: Health,
    /// What this process tells about itself.
    pub process: Process,
    /// What it shows to others.
    pub credential: Credential,
    /// The flags that every service has.
    pub shared: Arc<Shared>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) listeners: ListenersOnce,
    address: SocketAddr,
    admin_address: SocketAddr,
    _announced: Option<Arc<Announced>>,
}

/// Both listeners of a process.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) main: TcpListener,
    pub(crate) admin: TcpListener,
}

/// The listeners until somebody serves on them: then they are his alone, so that they are closed
/// when he stops accepting.
#[derive(Debug, Clone)]
pub(crate) struct ListenersOnce(Arc<Mutex<Option<Listeners>>>);

impl ListenersOnce {
    fn new(main: TcpListener, admin: TcpListener) -> Self {
        Self(Arc::new(Mutex::new(Some(Listeners { main, admin }))))
    }

    pub(crate) fn take(&self) -> Option<Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be made.
    #[error("cannot make the data folder {}: {source}; choose another with --data", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] auth::Error),
    /// The address is taken, or is none of this machine.
    #[error("cannot listen on {address}: {source}; choose another with {flag}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The address can be reached from other machines, and nothing protects it.
    #[error(
        "{0} can be reached by other machines, and connections are not encrypted; listen on \
             127.0.0.1, or accept that with --insecure"
    )]
    Exposed(SocketAddr),
    /// The process that was to end with its parent has none any more.
    #[error("process {0}, which started this one, has ended already")]
    Orphaned(i32),
    /// The system refuses something basic.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Data { .. } | Self::System(_) => Code::FailedPrecondition,
            Self::Credentials(error) => error.code(),
            Self::Bind { .. } | Self::Orphaned(_) => Code::Unavailable,
            Self::Exposed(_) => Code::InvalidArgument,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::Data { .. } => "DATA_FOLDER",
            Self::Credentials(error) => error.reason(),
            Self::Bind { .. } => "CANNOT_LISTEN",
            Self::Exposed(_) => "EXPOSED_WITHOUT_TLS",
            Self::Orphaned(_) => "PARENT_GONE",
            Self::System(_) => "SYSTEM",
        }
    }
}

/// Runs a service from its flags to its exit code. This is the whole `main` of every service.
pub fn main<C, F, Fut, E>(role: &'static str, serve: F) -> ExitCode
where
    C: Configured,
    F: FnOnce(C, Context) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Fault,
{
    memory::share_heaps();
    let config = match parse::<C>() {
        Ok(config) => config,
        Err(code) => return code,
    };
    telemetry::start(config.shared());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(config.shared().threads))
        .max_blocking_threads(16)
        .thread_name(role)
        .enable_all()
        .build();
    let code = match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(live(role, config, serve));
            runtime.shutdown_timeout(Duration::from_millis(100));
            code
        }
        Err(error) => report(&Error::System(error)),
    };
    ExitCode::from(code)
}

/// Reads the flags; help and version go to stdout, mistakes to stderr with exit code 64.
pub fn parse<C: Parser>() -> Result<C, ExitCode> {
    C::try_parse().map_err(|error| {
        // If stdout or stderr is closed, the exit code still tells.
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { 64 } else { 0 })
    })
}

async fn live<C, F, Fut, E>(role: &'static str, config: C, serve: F) -> u8
where
    C: Configured,
    F: FnOnce(C, Context) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Fault,
{
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => return report(&Error::System(error)),
    };
    let shared = config.shared().clone();
    let cx = match Context::open(role, shared, C::default_listen()).await {
        Ok(cx) => cx,
        Err(error) => return report(&error),
    };
    tracing::info!(
        server.address = %cx.address,
        process.incarnation = cx.process.incarnation(),
        "{role} {} listens on {}", env!("CARGO_PKG_VERSION"), cx.address
    );
    let shutdown = cx.shutdown.clone();
    let work = work(serve(config, cx.clone()), cx);
    tokio::pin!(work);
    tokio::select! {
        code = &mut work => return code,
        signal = signals.next() => {
            tracing::info!("{signal}: stopping; once more leaves at once");
            shutdown.begin();
        }
    }
    tokio::select! {
        code = work => code,
        signal = signals.next() => {
            tracing::warn!("{signal} again: leaving at once");
            EXIT_IMPATIENT
        }
    }
}

/// Serves, then joins what runs in the background; both within the grace period once the shutdown
/// has begun.
async fn work<E: Fault>(serve: impl Future<Output = Result<(), E>>, cx: Context) -> u8 {
    let overdue = async {
        cx.shutdown.begun().await;
        tokio::time::sleep(cx.shared.grace).await;
    };
    let whole = async {
        let code = match serve.await {
            Ok(()) => 0,
            Err(error) => report(&error),
        };
        cx.shutdown.begin();
        cx.tasks.joined().await;
        code
    };
    tokio::select! {
        code = whole => code,
        () = overdue => {
            tracing::warn!(
                tasks.left = cx.tasks.len(),
                "work was still in progress after {:?}; leaving", cx.shared.grace
            );
            0
        }
    }
}

/// Logs why the process ends, and gives its exit code.
fn report(error: &impl Fault) -> u8 {
    tracing::error!(error.reason = error.reason(), "{}", code::chain(error));
    error.code().exit_code()
}

impl Context {
    /// Makes ready what a service is handed: the data folder, credentials, both listeners. Nothing
    /// is served yet.
    ///
    /// # Errors
    /// If any of these cannot be had.
    pub async fn open(
        role: &'static str,
        shared: Shared,
        default_listen: SocketAddr,
    ) -> Result<Self, Error> {
        if let Some(parent) = shared.end_with_parent {
            end_with(parent)?;
        }
        make_private(&shared.data)?;
        let local = Credential::local(&shared.data)?;
        let credential = match &shared.token_file {
            Some(path) => Credential::read(path)?,
            None => local.clone(),
        };
        let usual = |name| shared.data.join(name);
        let named = (
            shared.admin_token_file.as_deref(),
            shared.auth_file.as_deref(),
        );
        let authority = Authority::load(Sources {
            local: Some(local),
            admin: Some(Source::named_or(named.0, usual("admin.token"))),
            auth_file: Some(Source::named_or(named.1, usual("auth"))),
        })?;

        let wanted = shared.listen.unwrap_or(default_listen);
        let listener = bind(wanted, "--listen", shared.insecure).await?;
        let address = listener.local_addr()?;
        let admin_wanted = shared.admin_listen.unwrap_or_else(|| admin_of(wanted));
        let admin_listener = bind(admin_wanted, "--admin-listen", shared.insecure).await?;

        let admin_address = admin_listener.local_addr()?;

        let health = Health::new();
        let process = Process::new(role, shared.instance(), health.clone());
        let announced = Announcement {
            role: role.to_owned(),
            address,
            admin_address,
            pid: std::process::id(),
            incarnation: process.incarnation(),
        }
        .write(&shared.data)?;
        Ok(Self {
            shutdown: Shutdown::new(),
            tasks: Tasks::new(),
            health,
            process,
            credential,
            shared: Arc::new(shared),
            authority: Arc::new(authority),
            listeners: ListenersOnce::new(listener, admin_listener),
            address,
            admin_address,
            _announced: announced.map(Arc::new),
        })
    }

    /// Makes the token of the first administrator, `DATA/admin.token`, unless `--admin-token-file`
    /// names one. It counts from anywhere, so that the cluster can be reached from other machines
    /// before anybody was given a token.
    ///
    /// # Errors
    /// If it can be neither read nor made.
    pub fn make_first_admin(&self) -> Result<(), auth::Error> {
        if self.shared.admin_token_file.is_some() {
            return Ok(());
        }
        Credential::kept(&self.shared.data.join("admin.token"))?;
        self.authority.refresh()
    }

    /// Address of the gRPC listener, with the port that was given.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Address of the health listener.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_address
    }

    /// The folder where this machine keeps everything.
    #[must_use]
    pub fn data(&self) -> &std::path::Path {
        &self.shared.data
    }
}

/// Asks the kernel for SIGTERM when the parent ends. It may have ended before that was asked.
fn end_with(parent: i32) -> Result<(), Error> {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from)?;
    if getppid() == Pid::from_raw(parent) {
        Ok(())
    } else {
        Err(Error::Orphaned(parent))
    }
}

fn make_private(path: &std::path::Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| Error::Data {
            path: path.to_owned(),
            source,
        })
}

/// The admin port is the main one plus 100; any free one if that was asked for.
fn admin_of(main: SocketAddr) -> SocketAddr {
    let port = match main.port() {
        0 => 0,
        port => port.checked_add(100).unwrap_or(0),
    };
    SocketAddr::new(main.ip(), port)
}

async fn bind(
    address: SocketAddr,
    flag: &'static str,
    insecure: bool,
) -> Result<TcpListener, Error> {
    if !address.ip().to_canonical().is_loopback() && !insecure {
        return Err(Error::Exposed(address));
    }
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Bind {
            address,
            flag,
            source,
        })
}
