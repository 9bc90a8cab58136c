//! Gives every request a place in its trace, and a span for the log lines made while it is handled.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Instant,
};

use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::Service;
use tracing::Instrument;

use super::Answer;
use crate::trace::{self, TraceContext};

#[derive(Debug, Clone)]
pub(super) struct Trace<S> {
    inner: S,
}

impl<S> Trace<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request<Body>> for Trace<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let context = TraceContext::extract(request.headers())
            .map_or_else(TraceContext::new_root, TraceContext::child);
        let span = tracing::info_span!(
            "rpc",
            rpc.method = request.uri().path().trim_start_matches('/'),
            trace_id = context.trace_id(),
        );
        let begun = Instant::now();
        let answer = self.inner.call(request);
        let work = async move {
            let response = trace::scope(context, answer).await?;
            let code = Status::from_header_map(response.headers())
                .map_or(tonic::Code::Ok, |status| status.code());
            let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
            tracing::debug!(rpc.code = ?code, rpc.duration_ms = milliseconds, "answered");
            Ok(response)
        };
        Box::pin(work.instrument(span))
    }
}
