//! Trying again: a few times for a call, for ever for what a process cannot do without.

use std::{future::Future, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use tonic::Status;

use crate::{
    code::{self, Code},
    health::Condition,
    shutdown::Shutdown,
};

fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_factor(2.0)
        .with_jitter()
}

/// The waits between attempts that go on for ever: 100 ms at first, then longer and longer, up to
/// 5 s.
pub fn waits() -> impl Iterator<Item = Duration> + Send {
    backoff().without_max_times().build()
}

/// Whether a call that ended so is worth repeating as it is.
#[must_use]
pub fn is_transient(status: &Status) -> bool {
    matches!(
        code::of(status),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded
    )
}

/// Makes an idempotent call up to four times while the failure is transient, waiting 100 ms to 5 s
/// in between, or as long as the server asks.
///
/// # Errors
/// The last status.
pub async fn calls<T, F, Fut>(call: F) -> Result<T, Status>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Status>>,
{
    call.retry(backoff().with_max_times(3))
        .when(is_transient)
        .adjust(|status, planned| Some(planned?.max(code::retry_after(status).unwrap_or_default())))
        .await
}

/// Makes an idempotent call until it succeeds, the failure is not transient, or the shutdown
/// begins (`None`). While it waits, `condition` says for whom and why; the log says it once.
pub async fn until_up<T, F, Fut>(
    shutdown: &Shutdown,
    condition: &Condition,
    whom: &str,
    mut call: F,
) -> Option<Result<T, Status>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Status>>,
{
    let mut waits = waits();
    loop {
        match shutdown.or(call()).await? {
            Ok(answer) => {
                if condition.ready() {
                    tracing::info!(peer = whom, "the {whom} answers");
                }
                return Some(Ok(answer));
            }
            Err(status) if is_transient(&status) => {
                if condition.waiting(format!("waiting for the {whom}: {}", status.message())) {
                    tracing::warn!(peer = whom, "waiting for the {whom}: {}", status.message());
                }
            }
            Err(status) => {
                condition.waiting(format!("the {whom} refuses: {}", status.message()));
                return Some(Err(status));
            }
        }
        let wait = waits.next().unwrap_or(Duration::from_secs(5));
        shutdown.or(tokio::time::sleep(wait)).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::health::Health;

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_tried_four_times_and_others_once() {
        for (status, tries) in [
            (Status::unavailable("down"), 4),
            (Status::not_found("no"), 1),
        ] {
            let count = AtomicU32::new(0);
            let outcome = calls(|| {
                count.fetch_add(1, Ordering::Relaxed);
                let status = status.clone();
                async move { Err::<(), _>(status) }
            });
            assert_eq!(outcome.await.map_err(|s| s.code()), Err(status.code()));
            assert_eq!(count.into_inner(), tries);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_visible_and_ends_when_the_peer_is_up() {
        let health = Health::new();
        let condition = health.condition("store");
        let count = AtomicU32::new(0);
        let shutdown = Shutdown::new();
        let outcome = until_up(&shutdown, &condition, "store", || {
            let tries = count.fetch_add(1, Ordering::Relaxed);
            let health = &health;
            async move {
                if tries == 7 {
                    assert_eq!(health.reasons(), ["store: waiting for the store: down"]);
                    Ok(5)
                } else {
                    Err(Status::unavailable("down"))
                }
            }
        });
        assert_eq!(outcome.await.expect("no shutdown").ok(), Some(5));
        assert!(health.reasons().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_the_wait() {
        let shutdown = Shutdown::new();
        let condition = Health::new().condition("store");
        let wait = until_up(&shutdown, &condition, "store", || async {
            shutdown.begin();
            Err::<(), _>(Status::unavailable("down"))
        });
        assert!(wait.await.is_none());
    }
}
