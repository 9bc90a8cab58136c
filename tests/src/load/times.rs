//! How long calls took.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Times of one kind of call, in the order of their ends.
#[derive(Debug, Default, Clone)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// Adds the time since `begun`.
    pub(super) fn since(&mut self, begun: Instant) {
        self.0.push(begun.elapsed());
    }

    /// Adds a time.
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds the times of another.
    pub(super) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// Count and quantiles in milliseconds.
    pub(super) fn summary(&self) -> Value {
        let mut sorted = self.milliseconds();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| match sorted.len() {
            0 => Value::Null,
            count => json!(sorted[((count - 1) as f64 * share).round() as usize]),
        };
        json!({"count": sorted.len(), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99),
               "max_ms": at(1.0)})
    }

    /// All of them in milliseconds, to the microsecond.
    pub(super) fn milliseconds(&self) -> Vec<f64> {
        let round = |time: &Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        self.0.iter().map(round).collect()
    }
}
