//! What happens to a stream of answers after the handler has returned: it may panic, outlive its
//! deadline or its caller's token, and it counts as a call in progress until it ends.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};
use tonic::{Status, body::Body};

use super::deadline::expired;
use crate::code::{Code, plain};

/// A response body that is watched to its end.
pub(crate) struct Tail {
    body: Option<Body>,
    until: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
    deadline: Option<Pin<Box<Sleep>>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Tail {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body: Some(body),
            until: None,
            deadline: None,
            permit: None,
        }
    }

    /// Holds the permit until the stream ends.
    pub(crate) fn holding(self, permit: OwnedSemaphorePermit) -> Self {
        Self {
            permit: Some(permit),
            ..self
        }
    }

    /// Ends the stream with DEADLINE_EXCEEDED then.
    pub(crate) fn ending_at(self, deadline: Option<Instant>) -> Self {
        Self {
            deadline: deadline.map(|at| Box::pin(tokio::time::sleep_until(at))),
            ..self
        }
    }

    /// Ends the stream with the status that `end` gives, as soon as it does.
    pub(crate) fn until(self, end: impl Future<Output = Status> + Send + 'static) -> Self {
        Self {
            until: Some(Box::pin(end)),
            ..self
        }
    }

    /// Ends the stream with `status`, whatever the body still wanted to say.
    fn end_with(&mut self, status: &Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.finish();
        let mut trailers = http::HeaderMap::new();
        Poll::Ready(Some(match status.add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(status) => Err(status),
        }))
    }

    fn finish(&mut self) {
        self.body = None;
        self.until = None;
        self.deadline = None;
        self.permit = None;
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl http_body::Body for Tail {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.body.is_none() {
            return Poll::Ready(None);
        }
        // Asked first: a stream that always has more to say ends, too.
        let until = self.until.as_mut();
        if let Some(Poll::Ready(status)) = until.map(|end| end.as_mut().poll(cx)) {
            return self.end_with(&status);
        }
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)));
        match polled {
            Err(_) => {
                tracing::error!("a stream of answers panicked; its message is above");
                let status = plain(
                    Code::Internal,
                    "PANIC",
                    "internal error; see the service's log",
                );
                self.end_with(&status)
            }
            Ok(Poll::Pending) => {
                let late = self
                    .deadline
                    .as_mut()
                    .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
                if late {
                    return self.end_with(&expired());
                }
                Poll::Pending
            }
            Ok(Poll::Ready(None)) => {
                self.finish();
                Poll::Ready(None)
            }
            Ok(frame) => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map(http_body::Body::size_hint)
            .unwrap_or_default()
    }
}
