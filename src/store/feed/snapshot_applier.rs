//! Decides whether a document or change of a source is applied: order of revisions, other ledgers, changes that do not fit.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::health::Health;
use crate::revision::Position;
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Changes, Fallbacks, Snapshot, SnapshotError, drop_unknown_keys};

/// Called in order with each new snapshot and its changes; `None` for a whole document. Its duration delays the change.
pub type OnSnapshot = Box<dyn Fn(&Arc<Snapshot>, Option<&Changes>) + Send + Sync>;

pub struct SnapshotApplier {
    current: Option<Arc<Snapshot>>,
    fallbacks: Fallbacks,
    on_snapshot: OnSnapshot,
    health: Health,
    latest: watch::Sender<Option<Arc<Snapshot>>>,
    /// As `latest`, and also with a snapshot from the cache.
    in_force: watch::Sender<Option<Arc<Snapshot>>>,
}

/// A whole document compared with the snapshot in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Newer, or of another ledger; applied.
    New,
    Same,
    /// Same revision, other content: a change was lost; applied.
    Different,
    /// Same revision of another history; applied.
    Fork,
}

/// The snapshot in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A restored ledger must have another id.
    #[error(
        "the ledger is at revision {offered}, older than revision {current} in force; a restored ledger needs a new id: \
         `portcullis restore` creates one, and `portcullis restore --renew` does after a restore by other means"
    )]
    Older { current: u64, offered: u64 },
    #[error("a change follows revision {since}, but another revision is in force")]
    Gap { since: u64 },
    /// It changes an entry that was invalid, so it needs the whole document.
    #[error("a change of an entry that was invalid before")]
    NeedsWholeDocument,
    #[error(transparent)]
    Invalid(#[from] SnapshotError),
}

impl SnapshotApplier {
    pub fn new(on_snapshot: OnSnapshot, health: Health) -> Self {
        let (latest, in_force) = (watch::Sender::new(None), watch::Sender::new(None));
        Self { current: None, fallbacks: Fallbacks::default(), on_snapshot, health, latest, in_force }
    }

    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Each new snapshot in force, for the cache.
    pub fn latest(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.latest.subscribe()
    }

    pub fn in_force(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.in_force.subscribe()
    }

    pub const fn current(&self) -> Option<&Arc<Snapshot>> {
        self.current.as_ref()
    }

    pub const fn fallbacks(&self) -> &Fallbacks {
        &self.fallbacks
    }

    pub fn position(&self) -> Option<Position<'_>> {
        self.current.as_deref().map(Position::of)
    }

    /// Reports that the ledger has another history than the snapshot in force.
    pub fn forked(&self) {
        metrics::snapshot_forked();
        let (ledger, revision) = self.position().map(|at| (at.ledger, at.revision)).unzip();
        tracing::error!(
            ledger,
            revision,
            "the ledger has another history than the snapshot in force, for example because a copy was restored without a \
             new id; applying the whole document"
        );
    }

    /// Applies a cached snapshot, `ago` after it was the newest. It is not written to the cache again.
    pub fn resume(&mut self, snapshot: Snapshot, ago: std::time::Duration) {
        self.health.confirmed_before(ago);
        self.put(Arc::new(snapshot), None);
    }

    /// `fallbacks` lists the invalid entries.
    pub fn whole(&mut self, mut snapshot: Snapshot, fallbacks: Fallbacks) -> Result<Comparison, ApplyError> {
        let digest = snapshot.digest.take();
        let known = self.current.as_ref().and_then(|current| current.digest.clone());
        let other_history =
            digest.as_ref().zip(known.as_ref()).is_some_and(|(offered, known)| offered != known);
        // A digest that was unknown before is not a difference.
        snapshot.digest.clone_from(&known);
        let comparison = match &self.current {
            Some(current) if current.ledger == snapshot.ledger => {
                if snapshot.revision < current.revision {
                    metrics::snapshot_reload(false);
                    return Err(ApplyError::Older { current: current.revision, offered: snapshot.revision });
                }
                match snapshot.revision == current.revision {
                    true if other_history => Comparison::Fork,
                    true if **current == snapshot => Comparison::Same,
                    true => Comparison::Different,
                    false => Comparison::New,
                }
            }
            Some(current) => {
                tracing::warn!(before = %current.ledger, now = %snapshot.ledger, "another ledger: its snapshot is applied regardless of the revision");
                Comparison::New
            }
            None => Comparison::New,
        };
        metrics::snapshot_reload(fallbacks.is_empty());
        if comparison == Comparison::Fork {
            self.forked();
        }
        self.set_fallbacks(fallbacks);
        let new_digest = digest != known;
        snapshot.digest = digest;
        let snapshot = Arc::new(snapshot);
        if comparison == Comparison::Same && new_digest {
            self.latest.send_replace(Some(Arc::clone(&snapshot)));
            self.current = Some(snapshot);
        } else if comparison != Comparison::Same {
            self.put(Arc::clone(&snapshot), None);
            self.latest.send_replace(Some(snapshot));
        }
        Ok(comparison)
    }

    /// A merge patch from revision `since` to `revision`. After an error only the whole document helps.
    pub fn change(
        &mut self,
        since: u64,
        revision: u64,
        digest: Option<Arc<str>>,
        patch: &Value,
    ) -> Result<(), ApplyError> {
        let current = self.current.as_ref().filter(|current| current.revision == since);
        let current = current.filter(|_| revision >= since).ok_or(ApplyError::Gap { since })?;
        if self.fallbacks.is_touched_by(patch, current) {
            return Err(ApplyError::NeedsWholeDocument);
        }
        let (applied, unknown) = apply(current, patch, revision, !self.fallbacks.unknown.is_empty());
        let (mut next, changes) = applied.inspect_err(|_| metrics::snapshot_reload(false))?;
        next.digest = digest;
        metrics::snapshot_reload(true);
        let all = self.fallbacks.unknown.union(&unknown).cloned().collect();
        self.set_unknown_keys(all);
        let next = Arc::new(next);
        self.put(Arc::clone(&next), Some(&changes));
        self.latest.send_replace(Some(next));
        Ok(())
    }

    /// Logs each unknown key once.
    fn set_unknown_keys(&mut self, unknown: BTreeSet<String>) {
        metrics::snapshot_unknown_keys(unknown.len());
        for place in unknown.difference(&self.fallbacks.unknown) {
            tracing::warn!(%place, "the snapshot has a key that this build does not know; it is ignored");
        }
        self.fallbacks.unknown = unknown;
    }

    fn set_fallbacks(&mut self, mut fallbacks: Fallbacks) {
        self.set_unknown_keys(std::mem::take(&mut fallbacks.unknown));
        fallbacks.unknown.clone_from(&self.fallbacks.unknown);
        self.health.report_fallbacks(fallbacks.tenants.len(), fallbacks.others.len());
        if fallbacks != self.fallbacks {
            for problem in &fallbacks.problems {
                tracing::error!(%problem, "an entry of the snapshot is invalid; its object stays at its last good state");
            }
            match (fallbacks.is_empty(), fallbacks.tenants.iter().map(|slug| &**slug).collect::<Vec<_>>()) {
                (true, _) => tracing::info!("all entries of the snapshot are valid again"),
                (false, tenants) => {
                    tracing::error!(?tenants, others = ?fallbacks.others, "entries stay at their last good state")
                }
            }
        }
        self.fallbacks = fallbacks;
    }

    fn put(&mut self, snapshot: Arc<Snapshot>, changes: Option<&Changes>) {
        (self.on_snapshot)(&snapshot, changes);
        self.health.applied(snapshot.revision);
        let (tenants, namespaces) = (snapshot.tenants.len(), snapshot.namespaces.len());
        let (revision, ledger) = (snapshot.revision, &snapshot.ledger);
        match changes {
            None => tracing::info!(revision, %ledger, tenants, namespaces, "snapshot in force"),
            // Debug, because there is one per write; a metric counts them.
            Some(_) => tracing::debug!(revision, %ledger, tenants, namespaces, "change in force"),
        }
        self.in_force.send_replace(Some(Arc::clone(&snapshot)));
        self.current = Some(snapshot);
    }
}

/// Applies a change without keys that this build does not know, which are returned.
fn apply(
    current: &Snapshot,
    patch: &Value,
    revision: u64,
    expected: bool,
) -> (Result<(Snapshot, Changes), SnapshotError>, BTreeSet<String>) {
    let known = if expected { None } else { Some(current.apply(patch, revision)) };
    if let Some(Ok(applied)) = known {
        return (Ok(applied), BTreeSet::new());
    }
    let mut rest = patch.clone();
    let unknown = drop_unknown_keys(&mut rest);
    match known {
        Some(refused) if unknown.is_empty() => (refused, unknown),
        _ => (current.apply(&rest, revision), unknown),
    }
}

#[cfg(test)]
mod tests;
