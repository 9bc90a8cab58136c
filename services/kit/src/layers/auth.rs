//! Finds the principal of every request and checks that it may call the method; ends a stream when
//! its caller's token is revoked; and writes down who changed what.

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

use super::{Answer, Tail};
use crate::{
    auth::{Authority, Principal, Refusal, Scope},
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

    fn check(
        &self,
        request: &Request<Body>,
        scope: Scope,
        from: Option<IpAddr>,
    ) -> Result<Principal, Status> {
        let header = request.headers().get(AUTHORIZATION);
        let principal = self
            .authority
            .identify(header.map(http::HeaderValue::as_bytes), from)
            .map_err(|refusal| {
                let from = from.as_ref().map(IpAddr::to_string).unwrap_or_default();
                tracing::info!(client.address = from, "refused: {refusal}");
                refused(refusal)
            })?;
        if !principal.may(scope) {
            let (name, path) = (&principal.name, request.uri().path());
            tracing::info!(
                enduser.id = &**name,
                rpc.method = path,
                "refused: no scope {}",
                scope.name()
            );
            let text = format!(
                "{name} may not call {path}: it needs scope {}",
                scope.name()
            );
            return Err(plain(Code::PermissionDenied, "SCOPE_MISSING", text));
        }
        Ok(principal)
    }
}

fn refused(refusal: Refusal) -> Status {
    let text = refusal.to_string();
    plain(Code::Unauthenticated, "UNAUTHENTICATED", text)
}

/// Writes down who called a method that changes something, and what came of it. What nodes and
/// watchers do by the thousand is told only in detail.
fn audit(principal: &Principal, scope: Scope, path: &str, response: &Response<Body>) {
    let status = Status::from_header_map(response.headers());
    let code = status.map_or(tonic::Code::Ok, |status| status.code());
    let (who, method) = (&*principal.name, path.trim_start_matches('/'));
    match scope {
        Scope::Write | Scope::Admin => tracing::info!(
            target: "audit",
            { enduser.id = who, rpc.method = method, rpc.code = ?code },
            "{who} called {method}: {code:?}"
        ),
        Scope::Node => tracing::debug!(
            target: "audit",
            { enduser.id = who, rpc.method = method, rpc.code = ?code },
            "{who} called {method}: {code:?}"
        ),
        Scope::Read | Scope::Scale | Scope::Metrics => {}
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
        let path = request.uri().path().to_owned();
        let scope = self.scopes.get(&*path).copied().unwrap_or(Scope::Admin);
        let from = request.extensions().get::<Peer>().map(Peer::ip);
        let changes = self.authority.changes();
        let principal = match self.check(&request, scope, from) {
            Ok(principal) => principal,
            Err(status) => return Box::pin(async move { Ok(status.into_http()) }),
        };
        request.extensions_mut().insert(principal.clone());
        let answer = self.inner.call(request);
        let authority = self.authority.clone();
        Box::pin(async move {
            let response = answer.await?;
            audit(&principal, scope, &path, &response);
            let dismissed = authority.dismissed(changes, principal, from);
            let dismissed = async move { refused(dismissed.await) };
            Ok(response.map(|body| Body::new(Tail::new(body).until(dismissed))))
        })
    }
}
