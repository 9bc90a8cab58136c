//! Calling other services: one lazy connection that comes back by itself, credentials, trace
//! context and a deadline on every call.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use tonic::{Status, body::Body, transport};
use tower::Service;

use crate::{
    auth::Credential,
    code::{Code, Fault, plain},
    layers::{DEADLINE_MARGIN, Tail, expired, requested},
    trace,
};

/// A call must begin to answer within this, unless it has a deadline of its own.
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);

/// An address that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("{address:?} is no address of a service; write http://HOST:PORT")]
pub struct BadAddress {
    address: String,
}

impl Fault for BadAddress {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }
    fn reason(&self) -> &'static str {
        "BAD_ADDRESS"
    }
}

/// Another service.
#[derive(Debug, Clone)]
pub struct Peer {
    address: String,
    channel: Channel,
}

impl Peer {
    /// A service at `address` (`http://HOST:PORT`, or `HOST:PORT`). Connects at the first call.
    /// Must be called inside a runtime.
    ///
    /// # Errors
    /// If the address is malformed.
    pub fn new(address: &str, credential: &Credential) -> Result<Self, BadAddress> {
        let bad = || BadAddress {
            address: address.chars().take(200).collect(),
        };
        let url = if address.contains("://") {
            address.to_owned()
        } else {
            format!("http://{address}")
        };
        let endpoint = transport::Endpoint::from_shared(url.clone()).map_err(|_| bad())?;
        let uri = endpoint.uri();
        if uri.scheme_str() != Some("http") || uri.host().is_none() || uri.port_u16().is_none() {
            return Err(bad());
        }
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        Ok(Self {
            address: url,
            channel: Channel {
                inner: endpoint.connect_lazy(),
                authorization: credential.header(),
            },
        })
    }

    /// Its address, `http://HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What generated clients are made from; all share one connection.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// The connection, as generated clients want it.
#[derive(Debug, Clone)]
pub struct Channel {
    inner: transport::Channel,
    authorization: HeaderValue,
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner
            .poll_ready(cx)
            .map_err(|error| unreachable_peer(&error))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        if let Some(context) = trace::current() {
            context.inject(headers);
        }
        let now = tokio::time::Instant::now();
        let asked = requested(headers).map(|limit| now + limit.saturating_sub(DEADLINE_MARGIN));
        let limit = asked.unwrap_or(now + DEFAULT_LIMIT);
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout_at(limit, answer).await {
                Err(_) => Err(expired()),
                Ok(Err(error)) => Err(unreachable_peer(&error)),
                Ok(Ok(response)) => {
                    Ok(response.map(|body| Body::new(Tail::new(body).ending_at(asked))))
                }
            }
        })
    }
}

/// A connection that fails is UNAVAILABLE, whatever the layer that noticed it called it.
fn unreachable_peer(error: &transport::Error) -> Status {
    let cause = crate::code::chain(error);
    plain(
        Code::Unavailable,
        "UNREACHABLE",
        format!("nobody answers ({cause})"),
    )
}
