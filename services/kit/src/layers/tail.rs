//! What happens to a stream of answers after the handler has returned: it may panic, outlive its
//! deadline, and it counts as a call in progress until it ends.

use std::{
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
#[derive(Debug)]
pub(crate) struct Tail {
    body: Option<Body>,
    deadline: Option<Pin<Box<Sleep>>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Tail {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body: Some(body),
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
        self.deadline = None;
        self.permit = None;
    }
}

impl http_body::Body for Tail {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
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
