//! The end: what runs may finish, what came out is delivered, the rest is given back.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Pull;

/// Parts of the grace period: until then a run may go on; until then it must have stopped.
const RUN_UNTIL: f64 = 0.6;
const STOP_UNTIL: f64 = 0.7;

impl Pull {
    /// Ends within the first 70 % of `grace`; who delivers has the rest.
    pub(super) async fn finish(&mut self, grace: Duration) {
        let begun = Instant::now();
        self.parts.stop.begin();
        self.marking = None;
        (self.filling, self.alone) = (None, None);
        self.ready.clear();
        self.spare.clear();
        for _ in 0..self.parts.engine.take_back() {
            self.device.pop_back();
        }
        self.drain(begun + grace.mul_f64(RUN_UNTIL)).await;
        if !self.device.is_empty() {
            tracing::warn!("the run in progress takes too long; stopping it");
            self.parts.engine.cancel();
            self.drain(begun + grace.mul_f64(STOP_UNTIL)).await;
        }
        // What was reported is settled by the reports, which come first; of the rest this is the
        // last word.
        for lease in self.parts.ledger.all() {
            self.report(super::Report::Released(lease));
        }
    }

    async fn drain(&mut self, deadline: Instant) {
        while !self.device.is_empty() {
            match timeout_at(deadline, self.parts.ran.recv()).await {
                Ok(Some(ran)) => self.ran(ran),
                Ok(None) | Err(_) => return,
            }
        }
    }
}
