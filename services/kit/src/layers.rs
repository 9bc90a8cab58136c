//! The layers around every handler, one a file. Their order is written in [`wrap`] and nowhere else.

mod auth;
mod deadline;
mod panic;
mod shed;
mod tail;
mod trace;

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::Service;

pub use auth::Scopes;
pub(crate) use deadline::{DEADLINE_MARGIN, expired, requested};
pub(crate) use tail::Tail;

use crate::auth::Authority;

/// What every layer answers with.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// What the layers need.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) authority: Arc<Authority>,
    pub(crate) scopes: Arc<Scopes>,
    pub(crate) calls: Arc<Semaphore>,
    pub(crate) handler_limit: Duration,
}

/// Puts the layers around `inner`. From the outside in: the trace sees everything, also refusals;
/// a panic anywhere below becomes INTERNAL; strangers are refused before they cost anything; then
/// the ceiling on calls in progress; the deadline ends the handler itself.
pub(crate) fn wrap<S>(
    inner: S,
    rules: &Rules,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
+ Clone
+ Send
+ 'static
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let inner = deadline::Deadline::new(inner, rules.handler_limit);
    let inner = shed::Shed::new(inner, rules.calls.clone());
    let inner = auth::Auth::new(inner, rules.authority.clone(), rules.scopes.clone());
    let inner = panic::Panic::new(inner);
    trace::Trace::new(inner)
}
