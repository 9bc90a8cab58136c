//! Presence: who was heard of, and when, on a clock that nobody can set. In memory alone; after a
//! restart everybody is offline until heard of.

use std::collections::{BTreeMap, BTreeSet};

use crate::watcher::WatcherProgress;
use crate::{NodeId, Now, WatcherId};

/// A watcher that was not heard of for this long is offline: three heartbeats missed.
pub const WATCHER_OFFLINE_AFTER_MS: u64 = 35_000;
/// A node that was not heard of for this long is offline. It may wait a minute for work in silence.
pub const NODE_OFFLINE_AFTER_MS: u64 = 90_000;

/// When a watcher was last heard of, and what it said it was doing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) now: Now,
    pub(crate) progress: WatcherProgress,
}

/// Who was heard of since the store started. It grows with the tables of nodes and watchers only.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    nodes: BTreeMap<NodeId, Now>,
    watchers: BTreeMap<WatcherId, Heard>,
    /// Watchers that the lease protocol may believe online.
    told: BTreeSet<WatcherId>,
}

impl Presence {
    pub(crate) fn hear_node(&mut self, id: NodeId, now: Now) {
        self.nodes.insert(id, now);
    }

    pub(crate) fn hear_watcher(&mut self, id: WatcherId, progress: WatcherProgress, now: Now) {
        self.watchers.insert(id, Heard { now, progress });
        self.told.insert(id);
    }

    pub(crate) fn node_online(&self, id: NodeId, now: Now) -> bool {
        self.nodes
            .get(&id)
            .is_some_and(|&heard| lately(heard, NODE_OFFLINE_AFTER_MS, now))
    }

    pub(crate) fn node_seen_ms(&self, id: NodeId) -> Option<i64> {
        self.nodes.get(&id).map(|heard| heard.unix_ms)
    }

    pub(crate) fn watcher(&self, id: WatcherId) -> Option<&Heard> {
        self.watchers.get(&id)
    }

    pub(crate) fn watcher_online(&self, id: WatcherId, now: Now) -> bool {
        self.watcher(id)
            .is_some_and(|heard| lately(heard.now, WATCHER_OFFLINE_AFTER_MS, now))
    }

    /// Watchers that have fallen silent since this was last asked.
    pub(crate) fn take_silent(&mut self, now: Now) -> Vec<WatcherId> {
        let told = std::mem::take(&mut self.told);
        let (online, silent): (Vec<_>, Vec<_>) = told
            .into_iter()
            .partition(|&id| self.watcher_online(id, now));
        self.told.extend(online);
        silent
    }

    /// A request was undone, and what the lease protocol was told with it: silence is told again.
    pub(crate) fn tell_again(&mut self) {
        self.told.extend(self.watchers.keys());
    }
}

fn lately(heard: Now, limit_ms: u64, now: Now) -> bool {
    now.mono_ms.saturating_sub(heard.mono_ms) < limit_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOW, later};

    #[test]
    fn silence_is_told_once_and_again_after_an_undone_request() {
        let mut presence = Presence::default();
        presence.hear_watcher(1, WatcherProgress::default(), NOW);
        presence.hear_watcher(2, WatcherProgress::default(), later(30_000));
        assert_eq!(presence.take_silent(later(34_999)), [0u32; 0]);
        assert_eq!(presence.take_silent(later(35_000)), [1]);
        assert_eq!(presence.take_silent(later(35_001)), [0u32; 0]);
        presence.tell_again();
        assert_eq!(presence.take_silent(later(35_002)), [1]);
    }

    #[test]
    fn the_wall_clock_has_no_say() {
        let mut presence = Presence::default();
        presence.hear_node(1, NOW);
        let year_ahead = Now {
            unix_ms: NOW.unix_ms + 31_536_000_000,
            ..NOW
        };
        assert!(presence.node_online(1, year_ahead));
        assert!(!presence.node_online(1, later(NODE_OFFLINE_AFTER_MS)));
        assert!(!presence.node_online(2, NOW));
    }
}
