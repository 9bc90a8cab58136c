//! W3C trace context: which file's story a piece of work belongs to, across processes.

use std::{fmt, future::Future, str::FromStr};

use http::{HeaderMap, HeaderValue};

/// Name of the metadata key.
pub const KEY: &str = "traceparent";

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A position in a trace: `00-TRACE-SPAN-FLAGS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

/// A text that is no version-00 `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent of version 00")]
pub struct BadTraceparent;

impl TraceContext {
    /// Starts a new trace.
    #[must_use]
    pub fn new_root() -> Self {
        Self {
            trace: random_nonzero(),
            span: random_nonzero(),
            sampled: true,
        }
    }

    /// A new span in the same trace; the sampled flag is inherited.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span: random_nonzero(),
            ..self
        }
    }

    /// The trace id, 32 hex digits.
    #[must_use]
    pub fn trace_id(self) -> String {
        crate::hex::encode(&self.trace)
    }

    /// The span id, 16 hex digits.
    #[must_use]
    pub fn span_id(self) -> String {
        crate::hex::encode(&self.span)
    }

    /// Reads the context that a request carries, if it carries a valid one.
    #[must_use]
    pub fn extract(headers: &HeaderMap) -> Option<Self> {
        headers.get(KEY)?.to_str().ok()?.parse().ok()
    }

    /// Writes the context into the headers of a request.
    pub fn inject(self, headers: &mut HeaderMap) {
        let value = HeaderValue::from_str(&self.to_string())
            .expect("a traceparent is made of visible ASCII");
        headers.insert(KEY, value);
    }
}

fn random_nonzero<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // An all-zero id is invalid. If the kernel gives no randomness, ids only lose their
    // uniqueness; nothing secret depends on them.
    if getrandom::fill(&mut bytes).is_err() || bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{}-{}-{flags:02x}", self.trace_id(), self.span_id())
    }
}

impl FromStr for TraceContext {
    type Err = BadTraceparent;

    fn from_str(text: &str) -> Result<Self, BadTraceparent> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(BadTraceparent);
        if next()? != "00" {
            return Err(BadTraceparent);
        }
        let trace = crate::hex::decode::<16>(next()?).ok_or(BadTraceparent)?;
        let span = crate::hex::decode::<8>(next()?).ok_or(BadTraceparent)?;
        let [flags] = crate::hex::decode::<1>(next()?).ok_or(BadTraceparent)?;
        if parts.next().is_some() || trace == [0; 16] || span == [0; 8] {
            return Err(BadTraceparent);
        }
        Ok(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }
}

/// The context of the work under way, if any.
#[must_use]
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|context| *context).ok()
}

/// The trace id of the work under way, for log lines; empty if there is none.
#[must_use]
pub fn current_id() -> String {
    current().map_or_else(String::new, TraceContext::trace_id)
}

/// Runs `work` as part of `context`: calls made from it carry it on.
pub async fn scope<F: Future>(context: TraceContext, work: F) -> F::Output {
    CURRENT.scope(context, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn text_and_back_is_the_same() {
        let context: TraceContext = EXAMPLE.parse().expect("valid");
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.child().trace_id(), context.trace_id());
        assert_ne!(context.child().span_id(), context.span_id());
    }

    #[test]
    fn hostile_text_is_refused() {
        for text in [
            "",
            "00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(BadTraceparent), "{text}");
        }
    }

    #[tokio::test]
    async fn work_inside_a_scope_sees_its_context() {
        assert_eq!(current(), None);
        let context = TraceContext::new_root();
        assert_eq!(scope(context, async { current() }).await, Some(context));
    }
}
