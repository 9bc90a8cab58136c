//! A panicking handler answers INTERNAL. Left alone, tonic would reset the stream, which clients
//! read as CANCELLED: as if they had left.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use http::{Request, Response};
use tonic::body::Body;
use tower::Service;

use super::{Answer, Tail};
use crate::code::{Code, plain};

#[derive(Debug, Clone)]
pub(super) struct Panic<S> {
    inner: S,
}

impl<S> Panic<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request<Body>> for Panic<S>
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
        let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Box::pin(async move {
            let Ok(response) = answer.await else {
                tracing::error!("a handler panicked; its message is above");
                let status = plain(
                    Code::Internal,
                    "PANIC",
                    "internal error; see the service's log",
                );
                return Ok(status.into_http());
            };
            // A stream may panic after its first message; its trailers must say so.
            response.map(|response| response.map(|body| Body::new(Tail::new(body))))
        })
    }
}
