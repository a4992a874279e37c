//! What is due, and what comes of it.

use std::time::Duration;

use jiff::Timestamp;

use super::{Order, State, Trust, Wish};
use crate::CertError;

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time.
    Rest(Timestamp),
    /// An authority is ready to sign from this time on, or has been; not everybody is seen to trust it yet.
    Wait(Timestamp),
    /// Nothing that is there is good any more.
    MakeAll,
    /// Another leaf.
    RenewLeaf,
    /// Another authority, trusted first.
    AddAuthority,
    /// The next authority signs from now on, and its first leaf is served.
    Switch,
    /// Authorities leave the bundle, because no leaf of theirs is good any more.
    Forget,
}

/// What is due at `now`, where callers are seen to trust `trust`.
///
/// Two things hold for whoever takes steps only when this says so. No leaf is issued by an authority that has not been in
/// the bundle for [`super::Lives::settle`] and in every registration that there is. No authority leaves the bundle while
/// a leaf of it is good: a replica that learnt of nothing since goes on being trusted until its leaf ends by itself.
pub fn next_step(state: &State, order: &Order, trust: &Trust, wish: Option<Wish>, now: Timestamp) -> Step {
    let State { signing, next, previous, until, leaf } = state;
    if signing.ends() <= now && next.is_none() {
        return Step::MakeAll;
    }
    if let Some(next) = next {
        let settled = after(next.made(), order.lives.settle());
        // With an authority that is over, waiting keeps nobody connected.
        if signing.ends() <= now || settled <= now && trust.includes(next) {
            return Step::Switch;
        }
        if renewal_is_due(state, order, wish, now) {
            return Step::RenewLeaf;
        }
        return Step::Wait(settled);
    }
    if !previous.is_empty() && until.is_some_and(|until| until < now) {
        return Step::Forget;
    }
    if wish == Some(Wish::Authority) || signing.is_due(now) {
        return Step::AddAuthority;
    }
    if renewal_is_due(state, order, wish, now) {
        return Step::RenewLeaf;
    }
    let next = leaf.due().min(signing.due());
    // Where an operator has taken them out by hand, nothing is left to be forgotten.
    let until = until.filter(|_| !previous.is_empty());
    Step::Rest(until.map_or(next, |until| next.min(until)))
}

fn renewal_is_due(state: &State, order: &Order, wish: Option<Wish>, now: Timestamp) -> bool {
    let State { leaf, signing, .. } = state;
    let lacks = order.names.iter().any(|name| !leaf.names().contains(name));
    // A leaf that ends with its authority cannot be given a longer life.
    wish == Some(Wish::Leaf) || lacks || leaf.is_due(now) && leaf.ends() < signing.ends()
}

impl State {
    /// What comes of a step. Makes keys; [`Step::Rest`] and [`Step::Wait`] change nothing.
    pub fn take(&self, step: Step, order: &Order, now: Timestamp) -> Result<Self, CertError> {
        let mut state = self.clone();
        match step {
            Step::Rest(_) | Step::Wait(_) => {}
            Step::MakeAll => state = Self::make(order, now)?,
            Step::RenewLeaf => {
                state.leaf = self.signing.issue(&self.names(order, now), now, order.lives.leaf)?;
            }
            Step::AddAuthority => {
                state.next = Some(super::Authority::make(&order.title, now, order.lives.authority)?);
            }
            Step::Switch => {
                let Some(next) = state.next.take() else { return Ok(state) };
                let leaf = next.issue(&self.names(order, now), now, order.lives.leaf)?;
                let old = std::mem::replace(&mut state.signing, next);
                state.previous.push(old.cert_pem().to_owned());
                // Each of its leaves was made before now. And so much later, for clocks that differ.
                let last = state.leaf.ends().max(after(now, order.lives.leaf));
                let last = after(last, order.lives.settle());
                state.until = Some(state.until.map_or(last, |until| until.max(last)));
                state.leaf = leaf;
            }
            Step::Forget => {
                state.previous.clear();
                state.until = None;
            }
        }
        Ok(state)
    }

    /// While replicas of two minds run beside each other, as in a rollout that changes the names, both get theirs; or each
    /// would undo what the other did. What only the old leaf has is gone with the next renewal that is due by time.
    fn names(&self, order: &Order, now: Timestamp) -> Vec<String> {
        let mut names = order.names.clone();
        if !self.leaf.is_due(now) {
            let old = self.leaf.names().iter().filter(|name| !order.names.contains(name));
            names.extend(old.cloned());
        }
        names
    }
}

fn after(now: Timestamp, length: Duration) -> Timestamp {
    now.saturating_add(length).unwrap_or(now)
}
