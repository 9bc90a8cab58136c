//! Ends a call whose deadline has passed with DEADLINE_EXCEEDED. tonic does end it, but as
//! CANCELLED, which clients take for their own doing.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, Request, Response};
use tokio::time::Instant;
use tonic::{Status, body::Body};
use tower::Service;

use super::{Answer, Tail};
use crate::code::{Code, plain};

/// Ours must fire before tonic's own timer, which reads the same header.
pub(crate) const DEADLINE_MARGIN: Duration = Duration::from_millis(2);

#[derive(Debug, Clone)]
pub(super) struct Deadline<S> {
    inner: S,
    handler_limit: Duration,
}

impl<S> Deadline<S> {
    /// `handler_limit` bounds a handler whose caller gave no deadline, so that a body that arrives
    /// a byte a second does not hold it for ever. It does not bound a stream of answers.
    pub(super) fn new(inner: S, handler_limit: Duration) -> Self {
        Self {
            inner,
            handler_limit,
        }
    }
}

impl<S> Service<Request<Body>> for Deadline<S>
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
        let now = Instant::now();
        let asked =
            requested(request.headers()).map(|limit| now + limit.saturating_sub(DEADLINE_MARGIN));
        let limit = asked.unwrap_or(now + self.handler_limit);
        let answer = self.inner.call(request);
        Box::pin(async move {
            match tokio::time::timeout_at(limit, answer).await {
                Err(_) => Ok(expired().into_http()),
                Ok(response) => response.map(|response| {
                    response.map(|body| Body::new(Tail::new(body).ending_at(asked)))
                }),
            }
        })
    }
}

/// What an expired call answers.
pub(crate) fn expired() -> Status {
    plain(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        "the deadline of the call has passed",
    )
}

/// The `grpc-timeout` of a request: up to eight digits and a unit.
pub(crate) fn requested(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_as_the_protocol_says() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a header value"));
            requested(&headers)
        };
        assert_eq!(read("5S"), Some(Duration::from_secs(5)));
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for bad in [
            "",
            "S",
            "5",
            "5s",
            "-5S",
            "+5S",
            "123456789S",
            "5.0S",
            "5 S",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
