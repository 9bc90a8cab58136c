//! Health tells the truth: a process is ready when all conditions it named are met.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

/// What is waited for, by name of the condition.
type Waiting = BTreeMap<&'static str, String>;

/// The conditions of this process.
#[derive(Debug, Clone)]
pub struct Health {
    waiting: Arc<Mutex<Waiting>>,
    reasons: watch::Sender<Vec<String>>,
}

/// One thing that must be so before the process is ready.
#[derive(Debug, Clone)]
pub struct Condition {
    name: &'static str,
    health: Health,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            waiting: Arc::default(),
            reasons: watch::Sender::new(Vec::new()),
        }
    }
}

impl Health {
    /// No conditions: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition that is not met yet.
    #[must_use]
    pub fn condition(&self, name: &'static str) -> Condition {
        let condition = Condition {
            name,
            health: self.clone(),
        };
        condition.waiting("starting");
        condition
    }

    /// Why the process is not ready; empty if it is.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.reasons.borrow().clone()
    }

    /// Follows the reasons.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Vec<String>> {
        self.reasons.subscribe()
    }

    /// Waits until the process is ready.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so this cannot fail.
        let _ = self.watch().wait_for(Vec::is_empty).await;
    }

    /// Changes what is waited for; true if that changed anything.
    fn change(&self, edit: impl FnOnce(&mut Waiting) -> bool) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !edit(&mut waiting) {
            return false;
        }
        let reasons = waiting
            .iter()
            .map(|(name, reason)| format!("{name}: {reason}"))
            .collect();
        self.reasons.send_replace(reasons);
        true
    }
}

impl Condition {
    /// It is met. True if it was not before.
    pub fn ready(&self) -> bool {
        self.health
            .change(|waiting| waiting.remove(self.name).is_some())
    }

    /// It is not met, and why. True if that is news.
    pub fn waiting(&self, reason: impl Into<String>) -> bool {
        let reason = reason.into();
        self.health.change(|waiting| {
            let before = waiting.insert(self.name, reason.clone());
            before != Some(reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_means_that_all_conditions_are_met() {
        let health = Health::new();
        assert!(health.reasons().is_empty());
        let store = health.condition("store");
        let model = health.condition("model");
        assert_eq!(health.reasons(), ["model: starting", "store: starting"]);
        assert!(store.waiting("nobody answers at 127.0.0.1:7801"));
        assert!(
            !store.waiting("nobody answers at 127.0.0.1:7801"),
            "no news"
        );
        assert!(model.ready());
        assert_eq!(
            health.reasons(),
            ["store: nobody answers at 127.0.0.1:7801"]
        );
        store.ready();
        health.ready().await;
        store.waiting("lost");
        assert_eq!(health.reasons(), ["store: lost"]);
    }
}
