//! The two clocks of a request, read once for each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use store_core::Now;

/// Wall clock for what people read, monotonic clock for deadlines. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock {
    origin: Instant,
    /// Milliseconds by which the monotonic clock was moved on.
    ahead: Arc<AtomicU64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            ahead: Arc::default(),
        }
    }
}

impl Clock {
    /// Both clocks now. A wall clock before 1970 reads as 1970.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let ahead = self.ahead.load(Ordering::Relaxed);
        Now {
            unix_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            mono_ms: millis(self.origin.elapsed()).saturating_add(ahead),
        }
    }

    /// Moves the monotonic clock on, as if that time had passed in silence.
    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(millis(by), Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_moved_together_and_the_wall_clock_stays() {
        let clock = Clock::default();
        let before = clock.now();
        clock.clone().advance(Duration::from_secs(3_600));
        let after = clock.now();
        assert!(after.mono_ms >= before.mono_ms + 3_600_000);
        assert!(after.unix_ms - before.unix_ms < 60_000);
    }
}
