//! Demand: how much inference is wanted. The one figure by which nodes are started and stopped.
//!
//! For each active model: tasks that could be leased + tasks leased + people waiting. A person who
//! asks for a kind counts for [`HELD_MS`], in memory only; asking again starts the time anew.

use std::collections::BTreeMap;

use crate::{DeviceClass, ModelId, ModelKind};

/// How long one request for capacity counts: ten minutes.
pub const HELD_MS: u64 = 600_000;

/// Requests of people, by kind. Holds one moment for each kind and caller, at most
/// [`Capacity::MAX_CALLERS`] of them.
#[derive(Debug, Default)]
pub struct Capacity {
    /// Until when each caller's request counts, on the monotonic clock.
    until: BTreeMap<(ModelKind, u64), u64>,
}

/// Work there is for one model, as counted by the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// What kind of model.
    pub kind: ModelKind,
    /// The model.
    pub model: ModelId,
    /// Tasks that could be leased now, or once their back-off ends.
    pub leasable: u64,
    /// Tasks leased.
    pub leased: u64,
    /// Tasks that wait for a machine with the picture; no demand.
    pub parked: u64,
    /// Posts that the backfill has yet to reach; no demand until materialised.
    pub backfill_left: u64,
}

/// Demand for one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The work.
    pub work: Work,
    /// Device class that is wanted; `None` for any, which is what the store asks for so long as no
    /// model says otherwise.
    pub device_class: Option<DeviceClass>,
    /// People waiting for this kind.
    pub interactive: u64,
}

impl Demand {
    /// The figure: what nodes are wanted for.
    pub fn total(&self) -> u64 {
        self.work.leasable + self.work.leased + self.interactive
    }
}

impl Capacity {
    /// Callers remembered at once; beyond that the oldest is forgotten.
    pub const MAX_CALLERS: usize = 1_000;

    /// A person, told apart by any number, wants nodes of `kind`.
    pub fn request(&mut self, kind: ModelKind, caller: u64, now_ms: u64) {
        self.expire(now_ms);
        if self.until.len() >= Self::MAX_CALLERS && !self.until.contains_key(&(kind, caller)) {
            let oldest = self.until.iter().min_by_key(|&(_, &until)| until);
            if let Some((&key, _)) = oldest {
                self.until.remove(&key);
            }
        }
        self.until.insert((kind, caller), now_ms + HELD_MS);
    }

    /// The demand for each model with work, and for each active model of a kind that people want.
    pub fn demand(&self, work: &[Work], now_ms: u64) -> Vec<Demand> {
        work.iter()
            .map(|&work| Demand {
                work,
                device_class: None,
                interactive: self.waiting(work.kind, now_ms),
            })
            .filter(|d| d.total() > 0 || d.work.parked > 0 || d.work.backfill_left > 0)
            .collect()
    }

    /// When the next request stops counting.
    pub fn next_change(&self, now_ms: u64) -> Option<u64> {
        self.until.values().copied().filter(|&u| u > now_ms).min()
    }

    fn waiting(&self, kind: ModelKind, now_ms: u64) -> u64 {
        self.until
            .iter()
            .filter(|&(&(k, _), &until)| k == kind && until > now_ms)
            .count() as u64
    }

    fn expire(&mut self, now_ms: u64) {
        self.until.retain(|_, until| *until > now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(kind: ModelKind, leasable: u64, leased: u64) -> Work {
        Work {
            kind,
            model: 1,
            leasable,
            leased,
            parked: 0,
            backfill_left: 0,
        }
    }

    #[test]
    fn demand_is_leasable_and_leased_and_people() {
        let mut capacity = Capacity::default();
        capacity.request(ModelKind::Tag, 7, 0);
        let demand = capacity.demand(&[work(ModelKind::Tag, 3, 2)], 1);
        assert_eq!(demand[0].total(), 6);
        assert_eq!(demand[0].interactive, 1);
    }

    #[test]
    fn a_request_counts_ten_minutes_from_its_last_use() {
        let mut capacity = Capacity::default();
        let idle = [work(ModelKind::Tag, 0, 0)];
        capacity.request(ModelKind::Tag, 7, 0);
        capacity.request(ModelKind::Tag, 7, 1_000);
        assert_eq!(capacity.next_change(1_000), Some(HELD_MS + 1_000));
        assert_eq!(capacity.demand(&idle, HELD_MS + 999)[0].interactive, 1);
        assert_eq!(capacity.demand(&idle, HELD_MS + 1_000), []);
    }

    #[test]
    fn people_who_want_another_kind_do_not_count() {
        let mut capacity = Capacity::default();
        capacity.request(ModelKind::Embed, 7, 0);
        assert_eq!(capacity.demand(&[work(ModelKind::Tag, 0, 0)], 1), []);
    }

    #[test]
    fn callers_are_bounded() {
        let mut capacity = Capacity::default();
        for caller in 0..3_000 {
            capacity.request(ModelKind::Tag, caller, caller);
        }
        assert_eq!(capacity.until.len(), Capacity::MAX_CALLERS);
        assert!(capacity.until.contains_key(&(ModelKind::Tag, 2_999)));
    }

    #[test]
    fn parked_tasks_are_told_but_are_no_demand() {
        let mut parked = work(ModelKind::Tag, 0, 0);
        parked.parked = 4;
        let demand = Capacity::default().demand(&[parked], 0);
        assert_eq!(demand[0].total(), 0);
    }
}
