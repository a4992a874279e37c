//! Readiness: work that must finish before the process is ready, and named conditions that can fail again later.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

/// Readiness of the process. Clones share it.
#[derive(Clone)]
pub struct Readiness(Arc<ReadinessState>);

/// Startup work that keeps the process unready until the handle is dropped.
#[must_use = "dropping the handle says that the work is done"]
pub struct Handle(Condition);

/// A named condition with a reason. Clones share it.
#[derive(Clone)]
pub struct Condition {
    shared: Arc<ReadinessState>,
    index: usize,
}

/// The answer of `/readyz`: `{"ready":false,"conditions":[{"name":"tenancy","ready":false,"reason":"…"}]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every condition is good and no drain has begun.
    pub ready: bool,
    /// In the order in which they were registered; a drain comes last.
    pub conditions: Vec<ConditionReport>,
}

/// One condition in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionReport {
    pub name: Cow<'static, str>,
    pub ready: bool,
    /// Why it is not ready, or a remark for the operator while it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

struct ReadinessState {
    state: Mutex<Conditions>,
    ready: watch::Sender<bool>,
}

#[derive(Default)]
struct Conditions {
    entries: Vec<ConditionReport>,
    draining: bool,
}

// === impl Readiness ===

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Without conditions the process is ready, so handles are taken before the listeners start.
    pub fn new() -> Self {
        let (ready, _) = watch::channel(true);
        Self(Arc::new(ReadinessState { state: Mutex::default(), ready }))
    }

    pub fn handle(&self, name: impl Into<Cow<'static, str>>) -> Handle {
        Handle(self.condition(name, "starting"))
    }

    /// Registers a condition that is not ready, for this reason, until `good` is called.
    pub fn condition(&self, name: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Condition {
        let entry = ConditionReport { name: name.into(), ready: false, reason: reason.into() };
        let index = self.0.change(|state| {
            state.entries.push(entry);
            state.entries.len() - 1
        });
        Condition { shared: self.0.clone(), index }
    }

    /// From now on the process is not ready.
    pub fn drain(&self) {
        self.0.change(|state| state.draining = true);
    }

    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Returns once the process is ready.
    pub async fn wait(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready).await;
    }

    pub fn report(&self) -> Report {
        let state = self.0.lock();
        let mut conditions = state.entries.clone();
        if state.draining {
            let reason = "draining: new connections should go to other replicas".to_owned();
            conditions.push(ConditionReport { name: "drain".into(), ready: false, reason });
        }
        Report { ready: state.is_ready(), conditions }
    }
}

// === impl Condition ===

impl Condition {
    /// Ready, without a remark. Like the other setters it returns whether the condition changed, so that a change is
    /// logged once.
    pub fn good(&self) -> bool {
        self.set(true, String::new())
    }

    /// Ready, with a remark for the operator.
    pub fn good_but(&self, detail: impl Into<String>) -> bool {
        self.set(true, detail.into())
    }

    /// Not ready, for this reason.
    pub fn bad(&self, reason: impl Into<String>) -> bool {
        self.set(false, reason.into())
    }

    fn set(&self, ready: bool, reason: String) -> bool {
        self.shared.change(|state| match state.entries.get_mut(self.index) {
            Some(entry) if entry.ready != ready || entry.reason != reason => {
                (entry.ready, entry.reason) = (ready, reason);
                true
            }
            _ => false,
        })
    }
}

// === impl Handle ===

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.good();
    }
}

// === impl ReadinessState ===

impl ReadinessState {
    fn change<T>(&self, edit: impl FnOnce(&mut Conditions) -> T) -> T {
        let mut state = self.lock();
        let out = edit(&mut state);
        let now = state.is_ready();
        // Sent under the lock, so that two changes are published in order.
        self.ready.send_if_modified(|ready| std::mem::replace(ready, now) != now);
        out
    }

    fn lock(&self) -> MutexGuard<'_, Conditions> {
        // No edit can panic halfway, so a poisoned state is still valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conditions {
    fn is_ready(&self) -> bool {
        !self.draining && self.entries.iter().all(|entry| entry.ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_all_handles_dropped_and_all_conditions_good() {
        let readiness = Readiness::new();
        let handle = readiness.handle("cache");
        let tenancy = readiness.condition("tenancy", "no snapshot yet");
        assert!(!readiness.is_ready());
        drop(handle);
        assert!(!readiness.is_ready());
        assert_eq!(
            serde_json::to_string(&readiness.report()).unwrap(),
            r#"{"ready":false,"conditions":[{"name":"cache","ready":true},{"name":"tenancy","ready":false,"reason":"no snapshot yet"}]}"#
        );
        tenancy.good_but("stale by 3 s");
        assert!(readiness.is_ready());
        tenancy.bad("file is gone");
        assert!(!readiness.is_ready());
    }

    #[test]
    fn drain_is_final() {
        let readiness = Readiness::new();
        let policies = readiness.condition("policies", "loading");
        readiness.drain();
        policies.good();
        assert!(!readiness.is_ready());
        assert_eq!(readiness.report().conditions.last().unwrap().name, "drain");
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_condition_turns_good() {
        let readiness = Readiness::new();
        let policies = readiness.condition("policies", "loading");
        let waiter = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait().await }
        });
        policies.good();
        waiter.await.unwrap();
    }
}
