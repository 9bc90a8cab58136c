//! The one way to serve: accepts with ceilings, puts the layers around the handlers, adds health,
//! reflection and `ProcessService`, and drains at shutdown.

mod accept;
mod reflection;

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use proto::node::v1::process_service_server::ProcessServiceServer;
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::Server,
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::Service;

pub use accept::Peer;

use crate::{
    auth::{Authority, Principal, REFRESH, Scope},
    code::{Code, Fault},
    health::Health,
    layers::{Rules, Scopes, wrap},
    run::Context,
};

/// Methods that every service has, and what they need.
const COMMON: &[(&str, Scope)] = &[
    ("/kumo.node.v1.ProcessService/GetProcess", Scope::Read),
    ("/grpc.health.v1.Health/Check", Scope::Read),
    ("/grpc.health.v1.Health/Watch", Scope::Read),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Scope::Metrics,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Scope::Metrics,
    ),
];

/// Streams open at once on one connection.
const STREAMS: u32 = 256;
/// What a caller may send ahead of its handler, bytes. A connection has room for that of every
/// stream: calls that wait for their turn, unread, then never hold up the one that is being read.
const STREAM_WINDOW: u32 = 128 << 10;
/// How often a silent connection is asked for a sign of life, and how long it may take.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(10);
/// How long an idle connection may take to say goodbye.
const FAREWELL: Duration = Duration::from_millis(500);
/// A handler that was given no deadline ends after this.
const HANDLER_LIMIT: Duration = Duration::from_secs(120);

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The transport failed as a whole.
    #[error("the server failed")]
    Transport(#[from] tonic::transport::Error),
    /// `serve` was called a second time.
    #[error("this process serves already")]
    AlreadyServing,
}

impl Fault for Error {
    fn code(&self) -> Code {
        match self {
            Self::Transport(_) | Self::AlreadyServing => Code::Internal,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::Transport(_) => "TRANSPORT",
            Self::AlreadyServing => "ALREADY_SERVING",
        }
    }
}

/// The services of one process.
#[derive(Debug, Default)]
pub struct Api {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    scopes: Scopes,
}

impl Api {
    /// No services yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "a builder step, not arithmetic"
    )]
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.names.push(S::NAME);
        self
    }

    /// Says what scope methods need, by path (`/package.Service/Method`). A method that is not
    /// named needs [`Scope::Admin`].
    #[must_use]
    pub fn scopes(mut self, scopes: &[(&'static str, Scope)]) -> Self {
        self.scopes.extend(scopes.iter().copied());
        self
    }
}

/// Who made this request.
///
/// # Panics
/// Never behind [`Context::serve`]: its layers refuse requests without a principal.
pub fn principal<T>(request: &tonic::Request<T>) -> &Principal {
    request
        .extensions()
        .get::<Principal>()
        .expect("the auth layer lets no request pass without a principal")
}

impl Context {
    /// Serves `api` and the admin port until the shutdown has begun and what was in progress is
    /// done. Streams that do not end by themselves must watch [`Context::shutdown`].
    ///
    /// # Errors
    /// If the transport fails as a whole.
    pub async fn serve(&self, mut api: Api) -> Result<(), Error> {
        let (reporter, health) = tonic_health::server::health_reporter();
        api.names.push(ProcessServiceServer::<crate::Process>::NAME);
        api.routes
            .add_service(ProcessServiceServer::new(self.process.clone()));
        api.routes.add_service(health.clone());
        reflection::add(&mut api.routes, &api.names);
        api.scopes.extend(COMMON.iter().copied());

        self.tasks.spawn(
            "health",
            report(
                reporter,
                self.health.clone(),
                api.names,
                self.shutdown.clone(),
            ),
        );
        self.tasks.spawn(
            "credentials",
            follow(self.authority.clone(), self.shutdown.clone()),
        );
        let rules = Rules {
            authority: self.authority.clone(),
            scopes: Arc::new(api.scopes),
            calls: Arc::new(Semaphore::new(self.shared.max_calls as usize)),
            handler_limit: HANDLER_LIMIT,
        };
        let idle = self.idle(rules.calls.clone());
        let listeners = self.listeners.take().ok_or(Error::AlreadyServing)?;
        let drained = crate::Shutdown::new();
        let main = async {
            let service = wrap(api.routes.routes().prepare(), &rules);
            let serving = self.listen(service, listeners.main, &self.shutdown);
            let ended = tokio::select! {
                ended = serving => ended,
                () = idle => Ok(()),
            };
            drained.begin();
            ended
        };
        // Probes are answered until the drain is over: NOT_SERVING is an answer too.
        let service = Routes::new(health).prepare();
        let admin = self.listen(service, listeners.admin, &drained);
        let admin = async {
            tokio::select! {
                ended = admin => ended,
                () = async { drained.begun().await; tokio::time::sleep(FAREWELL).await } => Ok(()),
            }
        };
        let (main, admin) = tokio::join!(main, admin);
        main?;
        Ok(admin?)
    }

    /// Waits until the shutdown has begun and no call has been in progress for a moment. A peer that
    /// is frozen never acknowledges the end of its connection; there is nothing to wait for.
    async fn idle(&self, calls: Arc<Semaphore>) {
        self.shutdown.begun().await;
        let every = Duration::from_millis(50);
        let mut quiet = Duration::ZERO;
        while quiet < FAREWELL {
            tokio::time::sleep(every).await;
            let free = calls.available_permits() >= self.shared.max_calls as usize;
            quiet = if free { quiet + every } else { Duration::ZERO };
        }
    }

    async fn listen<S>(
        &self,
        service: S,
        listener: TcpListener,
        shutdown: &crate::Shutdown,
    ) -> Result<(), tonic::transport::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        let connections = accept::connections(listener, self.shared.max_connections);
        Server::builder()
            .max_concurrent_streams(STREAMS)
            .http2_keepalive_interval(Some(PING))
            .http2_keepalive_timeout(Some(PONG))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(STREAMS * STREAM_WINDOW)
            .http2_max_header_list_size(16 << 10)
            .serve_with_incoming_shutdown(service, connections, shutdown.begun())
            .await
    }
}

/// Keeps up with the files that say who may call. Looking at two small files does not block to speak
/// of.
async fn follow(authority: Arc<Authority>, shutdown: crate::Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            () = shutdown.begun() => return,
        }
        if let Err(error) = authority.refresh() {
            tracing::error!(
                error.reason = error.reason(),
                "who may call stays as it was: {error}"
            );
        }
    }
}

/// Tells `grpc.health.v1` what is so: for the whole process (the empty name, and `readiness`) and
/// for each service. `liveness` is about this process alone, and so is true while it answers.
async fn report(
    reporter: HealthReporter,
    health: Health,
    names: Vec<&'static str>,
    shutdown: crate::Shutdown,
) {
    let mut reasons = health.watch();
    reporter
        .set_service_status("liveness", ServingStatus::Serving)
        .await;
    loop {
        let ready = reasons.borrow_and_update().is_empty() && !shutdown.is_begun();
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in ["", "readiness"].iter().chain(&names) {
            reporter.set_service_status(*name, status).await;
        }
        if shutdown.is_begun() {
            return;
        }
        tokio::select! {
            () = shutdown.begun() => {}
            changed = reasons.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests;
