//! Readiness: handles that must be dropped first, and named conditions that may go bad again.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

/// The readiness of the process; all clones are one.
#[derive(Clone)]
pub struct Readiness(Arc<Shared>);

/// Something that has to finish before the process is ready. Dropping it releases.
#[must_use = "dropping the handle says that the work is done"]
pub struct Handle(Condition);

/// Something that is good or bad, with a reason, and may change for ever; all clones are one.
#[derive(Clone)]
pub struct Condition {
    shared: Arc<Shared>,
    index: usize,
}

/// The answer of `/readyz`: `{"ready":false,"conditions":[{"name":"tenancy","ready":false,"reason":"…"}]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every condition is good and no drain has begun.
    pub ready: bool,
    /// In the order in which they were registered; a drain comes last.
    pub conditions: Vec<Entry>,
}

/// One condition as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// One word, such as `policies`.
    pub name: Cow<'static, str>,
    /// Whether this one stands in the way.
    pub ready: bool,
    /// Why not; or, where it is good, what an operator should know all the same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

struct Shared {
    state: Mutex<State>,
    ready: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    draining: bool,
}

// === impl Readiness ===

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Nothing registered yet, hence ready: take the handles before anything is announced.
    pub fn new() -> Self {
        let (ready, _) = watch::channel(true);
        Self(Arc::new(Shared { state: Mutex::default(), ready }))
    }

    /// Registers work that must finish first.
    pub fn handle(&self, name: impl Into<Cow<'static, str>>) -> Handle {
        Handle(self.condition(name, "starting"))
    }

    /// Registers a condition that is bad for this reason until somebody says otherwise.
    pub fn condition(&self, name: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Condition {
        let entry = Entry { name: name.into(), ready: false, reason: reason.into() };
        let index = self.0.change(|state| {
            state.entries.push(entry);
            state.entries.len() - 1
        });
        Condition { shared: self.0.clone(), index }
    }

    /// From here on the process is not ready, whatever the conditions say.
    pub fn drain(&self) {
        self.0.change(|state| state.draining = true);
    }

    /// Whether traffic may come.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Returns once the process is ready; at once where it is.
    pub async fn wait(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// What `/readyz` answers now.
    pub fn report(&self) -> Report {
        let state = self.0.lock();
        let mut conditions = state.entries.clone();
        if state.draining {
            let reason = "draining: new connections belong elsewhere".to_owned();
            conditions.push(Entry { name: "drain".into(), ready: false, reason });
        }
        Report { ready: state.is_ready(), conditions }
    }
}

// === impl Condition ===

impl Condition {
    /// Good, and nothing to add. Like the others, returns whether that is news, so that it is logged once.
    pub fn good(&self) -> bool {
        self.set(true, String::new())
    }

    /// Good, but an operator should know this.
    pub fn good_but(&self, detail: impl Into<String>) -> bool {
        self.set(true, detail.into())
    }

    /// Bad for this reason: not ready until it is good again.
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

// === impl Shared ===

impl Shared {
    fn change<T>(&self, edit: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let out = edit(&mut state);
        let now = state.is_ready();
        // Sent while the lock is held: two changes cannot be published in the wrong order.
        self.ready.send_if_modified(|ready| std::mem::replace(ready, now) != now);
        out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every edit leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
    fn a_drain_cannot_be_undone() {
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
