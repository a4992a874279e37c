//! What comes from a source, and whether it is taken: the order of revisions, other ledgers, changes that do not fit.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::health::Health;
use crate::revision::Position;
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Changes, Held, Snapshot, SnapshotError, pass_over};

/// Who is handed each new snapshot, and what of it changed; nothing where it is another as a whole. Called in order, and
/// what it does counts towards the time that a change takes to decide.
pub type Enter = Box<dyn Fn(&Arc<Snapshot>, Option<&Changes>) + Send + Sync>;

/// The way in for snapshots of one source.
pub struct Intake {
    current: Option<Arc<Snapshot>>,
    /// What of `current` is not as its source has it.
    held: Held,
    enter: Enter,
    health: Health,
    latest: watch::Sender<Option<Arc<Snapshot>>>,
    /// As `latest`, and with what was kept from an earlier run.
    in_force: watch::Sender<Option<Arc<Snapshot>>>,
}

/// What a whole document was to the snapshot in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Newer, or of another ledger: it is in force now.
    New,
    /// The same.
    Same,
    /// Of the same revision and not the same: a change was lost. It is in force now.
    Different,
    /// Of the same revision of another history of the ledger. It is in force now.
    Fork,
}

/// Why something was not taken. What is in force stays.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A ledger does not go back. One that was restored has another id.
    #[error(
        "the ledger is at revision {offered}, before {current}, which decides here; a ledger that is restored needs a new id: \
         `portcullis restore` gives it one, and `portcullis restore --renew` one that was put back by other means"
    )]
    Older {
        /// The revision in force.
        current: u64,
        /// The one that came.
        offered: u64,
    },
    /// A change of another revision than the one in force.
    #[error("a change that follows revision {since} came while another is in force")]
    Gap {
        /// What it follows.
        since: u64,
    },
    /// It changes what stays at an earlier state here, because it did not read.
    #[error("a change of what did not read before")]
    Held,
    /// With it the document would not hold.
    #[error(transparent)]
    Invalid(#[from] SnapshotError),
}

impl Intake {
    /// Nothing is in force yet.
    pub fn new(enter: Enter, health: Health) -> Self {
        let (latest, in_force) = (watch::Sender::new(None), watch::Sender::new(None));
        Self { current: None, held: Held::default(), enter, health, latest, in_force }
    }

    /// How it is told whether all is well.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Each new snapshot in force, for whoever keeps it.
    pub fn latest(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.latest.subscribe()
    }

    /// The snapshot in force, as that changes.
    pub fn in_force(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.in_force.subscribe()
    }

    /// What is in force.
    pub const fn current(&self) -> Option<&Arc<Snapshot>> {
        self.current.as_ref()
    }

    /// What of it is not as its source has it.
    pub const fn held(&self) -> &Held {
        &self.held
    }

    /// Ledger, revision and digest in force.
    pub fn position(&self) -> Option<Position<'_>> {
        self.current.as_deref().map(Position::of)
    }

    /// The ledger has another history than what is in force, so changes are not taken; the whole is.
    pub fn forked(&self) {
        metrics::snapshot_forked();
        let (ledger, revision) = self.position().map(|at| (at.ledger, at.revision)).unzip();
        tracing::error!(
            ledger,
            revision,
            "the ledger has another history than what is decided by, as a copy has that was put back without a new id; \
             taking the whole document"
        );
    }

    /// Takes a snapshot that was kept from an earlier run, `ago` after it was last known to be the newest. It is not
    /// written again.
    pub fn resume(&mut self, snapshot: Snapshot, ago: std::time::Duration) {
        self.health.confirmed_before(ago);
        self.put(Arc::new(snapshot), None);
    }

    /// Takes a whole document, of which `held` did not read.
    ///
    /// # Errors
    /// It is older than what is in force.
    pub fn whole(&mut self, mut snapshot: Snapshot, held: Held) -> Result<Offer, Refused> {
        let digest = snapshot.digest.take();
        let known = self.current.as_ref().and_then(|current| current.digest.clone());
        let other_history =
            digest.as_ref().zip(known.as_ref()).is_some_and(|(offered, known)| offered != known);
        // Compared as documents: a digest that was not known is no difference.
        snapshot.digest.clone_from(&known);
        let offer = match &self.current {
            Some(current) if current.ledger == snapshot.ledger => {
                if snapshot.revision < current.revision {
                    metrics::snapshot_reload(false);
                    return Err(Refused::Older { current: current.revision, offered: snapshot.revision });
                }
                match snapshot.revision == current.revision {
                    true if other_history => Offer::Fork,
                    true if **current == snapshot => Offer::Same,
                    true => Offer::Different,
                    false => Offer::New,
                }
            }
            Some(current) => {
                tracing::warn!(before = %current.ledger, now = %snapshot.ledger, "another ledger: its snapshot is taken, whatever the revision");
                Offer::New
            }
            None => Offer::New,
        };
        metrics::snapshot_reload(held.is_empty());
        if offer == Offer::Fork {
            self.forked();
        }
        self.hold(held);
        let news = digest != known;
        snapshot.digest = digest;
        let snapshot = Arc::new(snapshot);
        if offer == Offer::Same && news {
            self.latest.send_replace(Some(Arc::clone(&snapshot)));
            self.current = Some(snapshot);
        } else if offer != Offer::Same {
            self.put(Arc::clone(&snapshot), None);
            self.latest.send_replace(Some(snapshot));
        }
        Ok(offer)
    }

    /// Takes a change: a merge patch from revision `since` of the ledger in force to `revision`, of this digest.
    ///
    /// # Errors
    /// It does not fit; then only the whole document helps.
    pub fn change(
        &mut self,
        since: u64,
        revision: u64,
        digest: Option<Arc<str>>,
        patch: &Value,
    ) -> Result<(), Refused> {
        let current = self.current.as_ref().filter(|current| current.revision == since);
        let current = current.filter(|_| revision >= since).ok_or(Refused::Gap { since })?;
        if self.held.is_touched_by(patch, current) {
            return Err(Refused::Held);
        }
        let (applied, unknown) = apply(current, patch, revision, !self.held.unknown.is_empty());
        let (mut next, changes) = applied.inspect_err(|_| metrics::snapshot_reload(false))?;
        next.digest = digest;
        metrics::snapshot_reload(true);
        let all = self.held.unknown.union(&unknown).cloned().collect();
        self.passed_over(all);
        let next = Arc::new(next);
        self.put(Arc::clone(&next), Some(&changes));
        self.latest.send_replace(Some(next));
        Ok(())
    }

    /// Tells of keys that this build does not know, each once.
    fn passed_over(&mut self, unknown: BTreeSet<String>) {
        metrics::snapshot_unknown_keys(unknown.len());
        for place in unknown.difference(&self.held.unknown) {
            tracing::warn!(%place, "the ledger says what this build does not know; it decides nothing, and is passed over");
        }
        self.held.unknown = unknown;
    }

    /// Tells of what is held, where that is news.
    fn hold(&mut self, mut held: Held) {
        self.passed_over(std::mem::take(&mut held.unknown));
        held.unknown.clone_from(&self.held.unknown);
        self.health.held(held.tenants.len(), held.others.len());
        if held != self.held {
            for problem in &held.problems {
                tracing::error!(%problem, "an entry of the ledger does not read; what it belongs to stays at its last good state");
            }
            match (held.is_empty(), held.tenants.iter().map(|slug| &**slug).collect::<Vec<_>>()) {
                (true, _) => tracing::info!("every entry of the ledger reads again"),
                (false, tenants) => {
                    tracing::error!(?tenants, others = ?held.others, "kept at their last good state")
                }
            }
        }
        self.held = held;
    }

    fn put(&mut self, snapshot: Arc<Snapshot>, changes: Option<&Changes>) {
        (self.enter)(&snapshot, changes);
        self.health.entered(snapshot.revision);
        let (tenants, namespaces) = (snapshot.tenants.len(), snapshot.namespaces.len());
        let (revision, ledger) = (snapshot.revision, &snapshot.ledger);
        match changes {
            None => tracing::info!(revision, %ledger, tenants, namespaces, "snapshot in force"),
            // As many as there are writes; the metric tells them all.
            Some(_) => tracing::debug!(revision, %ledger, tenants, namespaces, "change in force"),
        }
        self.in_force.send_replace(Some(Arc::clone(&snapshot)));
        self.current = Some(snapshot);
    }
}

/// Applies a change, without the keys that this build does not know where there are some; those are the second answer.
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
    let unknown = pass_over(&mut rest);
    match known {
        Some(refused) if unknown.is_empty() => (refused, unknown),
        _ => (current.apply(&rest, revision), unknown),
    }
}

#[cfg(test)]
mod tests;
