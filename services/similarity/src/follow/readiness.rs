//! When this service is of use: everything was loaded, and little is missing.
//!
//! Ready from [`NEAR`] changes behind the store, not ready again only past [`FAR`]: a burst of new
//! pictures must not make a balancer take away every replica in turn. A store that cannot be
//! reached makes nobody less ready, because what is in memory answers.

use kit::Condition;

use super::Trouble;
use crate::live::Standing;

/// So little behind is as good as abreast.
const NEAR: u64 = 1_000;
/// So far behind is of little use.
const FAR: u64 = 10_000;

/// What health is told.
pub(super) struct Readiness {
    condition: Condition,
    ready: bool,
    away: bool,
}

impl Readiness {
    pub(super) fn new(condition: Condition) -> Self {
        condition.waiting("loading");
        Self {
            condition,
            ready: false,
            away: false,
        }
    }

    /// The store answers.
    pub(super) fn found(&mut self) {
        if std::mem::take(&mut self.away) {
            tracing::info!("the store answers again");
        }
    }

    /// The store was just heard of, and this is how far behind it we are.
    pub(super) fn tell(&mut self, standing: &Standing) {
        self.found();
        let behind = standing.behind();
        if standing.cursor.is_none() || !standing.settled {
            self.ready = false;
            self.condition.waiting("reading everything from the store");
        } else if behind <= NEAR && !self.ready {
            self.ready = true;
            self.condition.ready();
            tracing::info!(
                posts = standing.posts,
                vectors = standing.vectors,
                "ready: {} posts, {} with a vector",
                standing.posts,
                standing.vectors
            );
        } else if behind > FAR || !self.ready {
            self.ready = false;
            let news = self
                .condition
                .waiting("too many changes of the store are not taken in yet");
            if news {
                tracing::warn!(lag = behind, "{behind} changes behind the store");
            }
        }
    }

    /// The store was lost, and why.
    pub(super) fn lost(&mut self, trouble: &Trouble, standing: &Standing) {
        if standing.cursor.is_none() {
            self.ready = false;
        }
        if !self.ready {
            self.condition
                .waiting(format!("waiting for the store: {trouble}"));
        }
        if !std::mem::replace(&mut self.away, true) {
            tracing::warn!("waiting for the store: {trouble}; answering from memory");
        }
    }
}

#[cfg(test)]
mod tests {
    use kit::Health;

    use super::*;
    use crate::snapshot::Position;

    fn behind(changes: u64) -> Standing {
        Standing {
            cursor: Some(Position { epoch: 1, seq: 5 }),
            head: 5 + changes,
            settled: true,
            ..Standing::default()
        }
    }

    #[test]
    fn a_burst_does_not_make_it_useless_and_a_flood_does() {
        let health = Health::new();
        let mut readiness = Readiness::new(health.condition("index"));
        let ready = |health: &Health| health.reasons().is_empty();
        readiness.tell(&Standing::default());
        assert!(!ready(&health), "nothing is loaded");
        let unsettled = Standing {
            settled: false,
            ..behind(0)
        };
        readiness.tell(&unsettled);
        assert!(
            !ready(&health),
            "a snapshot that is not caught up answers nobody"
        );
        for (changes, expected) in [
            (NEAR + 1, false),
            (NEAR, true),
            (FAR, true),
            (FAR + 1, false),
            (NEAR + 1, false),
            (0, true),
        ] {
            readiness.tell(&behind(changes));
            assert_eq!(ready(&health), expected, "{changes} behind");
        }
        readiness.lost(&Trouble::Ended, &behind(0));
        assert!(ready(&health), "what is in memory answers");
        readiness.lost(&Trouble::Resync, &Standing::default());
        assert!(!ready(&health), "nothing is in memory");
    }
}
