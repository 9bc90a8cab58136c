//! Finds the principal of every request and checks that it may call the method.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, header::AUTHORIZATION};
use tonic::{Status, body::Body};
use tower::Service;

use super::Answer;
use crate::{
    auth::{Authority, Principal, Scope},
    code::{Code, plain},
    server::Peer,
};

/// Which scope each method needs, by its path (`/package.Service/Method`). What is not listed needs
/// [`Scope::Admin`].
pub type Scopes = HashMap<&'static str, Scope>;

#[derive(Debug, Clone)]
pub(super) struct Auth<S> {
    inner: S,
    authority: Arc<Authority>,
    scopes: Arc<Scopes>,
}

impl<S> Auth<S> {
    pub(super) fn new(inner: S, authority: Arc<Authority>, scopes: Arc<Scopes>) -> Self {
        Self {
            inner,
            authority,
            scopes,
        }
    }

    fn check(&self, request: &Request<Body>) -> Result<Principal, Status> {
        let header = request.headers().get(AUTHORIZATION);
        let from = request.extensions().get::<Peer>().map(Peer::ip);
        let principal = self
            .authority
            .identify(header.map(http::HeaderValue::as_bytes), from)
            .map_err(|refusal| {
                let from = from.as_ref().map(IpAddr::to_string).unwrap_or_default();
                tracing::info!(client.address = from, "refused: {refusal}");
                plain(
                    Code::Unauthenticated,
                    "UNAUTHENTICATED",
                    refusal.to_string(),
                )
            })?;
        let path = request.uri().path();
        let scope = self.scopes.get(path).copied().unwrap_or(Scope::Admin);
        if !principal.may(scope) {
            let text = format!(
                "{} may not call {path}: it needs scope {scope:?}",
                principal.name
            );
            return Err(plain(Code::PermissionDenied, "SCOPE_MISSING", text));
        }
        Ok(principal)
    }
}

impl<S> Service<Request<Body>> for Auth<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Answer {
        match self.check(&request) {
            Ok(principal) => {
                request.extensions_mut().insert(principal);
                Box::pin(self.inner.call(request))
            }
            Err(status) => Box::pin(async move { Ok(status.into_http()) }),
        }
    }
}
