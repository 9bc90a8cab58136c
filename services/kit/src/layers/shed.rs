//! A ceiling on calls in progress. tonic has none: without it one client can have twenty thousand
//! handlers run at once.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower::Service;

use super::{Answer, Tail};
use crate::code::{Code, plain};

#[derive(Debug, Clone)]
pub(super) struct Shed<S> {
    inner: S,
    calls: Arc<Semaphore>,
}

impl<S> Shed<S> {
    pub(super) fn new(inner: S, calls: Arc<Semaphore>) -> Self {
        Self { inner, calls }
    }
}

impl<S> Service<Request<Body>> for Shed<S>
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
        let Ok(permit) = self.calls.clone().try_acquire_owned() else {
            let status = plain(
                Code::ResourceExhausted,
                "TOO_MANY_CALLS",
                "too many calls are in progress; try again later",
            );
            return Box::pin(async move { Ok(status.into_http()) });
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            // A stream counts until its last message was taken.
            answer
                .await
                .map(|response| response.map(|body| Body::new(Tail::new(body).holding(permit))))
        })
    }
}
