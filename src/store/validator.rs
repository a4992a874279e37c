//! Applies every change to the snapshot with the code of the gates before it is committed. The commit holds the row of the
//! ledger meanwhile, so the change follows the validated snapshot, which is updated when another process has committed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::db::Database;
use super::error::StoreError;
use super::revision::{self, Follows, LedgerHead};
use super::snapshot;
use portcullis_tenancy::snapshot::{Fallbacks, LENGTH_MAX, Snapshot, SnapshotError, json_len};

/// After a rejection the whole snapshot is read again, in case another program wrote it; not more often than this, because
/// the row of the ledger is locked meanwhile.
const REREAD_INTERVAL: Duration = Duration::from_secs(30);

/// The margin leaves room for concurrent commits of other processes and for what a gate adds.
const COMMIT_LENGTH_MAX: usize = LENGTH_MAX - 4 * 1024 * 1024;

#[derive(Debug, Clone, Default)]
pub(super) struct SnapshotValidator(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    current: Option<ValidatedSnapshot>,
    /// When a rejection last caused a complete read.
    reread: Option<Instant>,
}

#[derive(Debug, Clone)]
pub(super) struct ValidatedSnapshot {
    snapshot: Arc<Snapshot>,
    fallbacks: Arc<Fallbacks>,
    /// Upper bound of the JSON length: last measured, plus every change since.
    length: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum DocumentLength {
    Exact(usize),
    /// At most this many bytes longer than the previous document.
    AtMostPlus(usize),
}

impl SnapshotValidator {
    /// Shares a snapshot that this process already has, to save its memory.
    pub(super) fn offer(&self, snapshot: &Arc<Snapshot>, fallbacks: &Fallbacks, length: DocumentLength) {
        let fallbacks = Arc::new(fallbacks.clone());
        let known = self.lock().current.as_ref().map_or(0, |known| known.length);
        let length = match length {
            DocumentLength::Exact(bytes) => bytes,
            DocumentLength::AtMostPlus(bytes) => known.saturating_add(bytes),
        };
        self.store(ValidatedSnapshot { snapshot: Arc::clone(snapshot), fallbacks, length });
    }

    pub(super) fn store(&self, next: ValidatedSnapshot) {
        let known = &mut self.lock().current;
        let newer = known.as_ref().is_none_or(|known| {
            known.snapshot.ledger != next.snapshot.ledger || known.snapshot.revision <= next.snapshot.revision
        });
        if newer {
            *known = Some(next);
        }
    }

    /// Applies the change that leads to `at`, which still has the previous digest. `None` where the change concerns an entry
    /// that is already invalid, because repairing it must be possible. `Unreadable` where gates would reject the result.
    pub(super) async fn check(
        &self,
        database: &Database,
        at: &LedgerHead,
        patch: &Value,
        digest: &Arc<str>,
    ) -> Result<Option<ValidatedSnapshot>, StoreError> {
        let known = self.lock().current.clone();
        let current = match known {
            Some(known) if known.is_before(at) => Some(known),
            known => catch_up(database, known).await?,
        };
        let Some(current) = current else { return Ok(None) };
        let mut next = current.apply(patch, at.revision, Some(digest));
        if next.is_err() && self.may_reread() {
            let Some(whole) = whole(database).await? else { return Ok(None) };
            next = whole.apply(patch, at.revision, Some(digest));
        }
        let next = next.map_err(unreadable)?.filter(|next| *next.snapshot.ledger == *at.ledger);
        next.map(|next| next.fits(&current, COMMIT_LENGTH_MAX)).transpose()
    }

    fn may_reread(&self) -> bool {
        let state = &mut self.lock().reread;
        let may = state.is_none_or(|at| at.elapsed() > REREAD_INTERVAL);
        if may {
            *state = Some(Instant::now());
        }
        may
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete, so a poisoned lock is usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ValidatedSnapshot {
    /// A restored ledger can use the same revision numbers again, so ledger id and digest must match too.
    fn is_before(&self, at: &LedgerHead) -> bool {
        let Snapshot { ledger, revision, digest, .. } = &*self.snapshot;
        **ledger == *at.ledger && revision + 1 == at.revision && *digest == at.known_digest()
    }

    fn apply(
        &self,
        patch: &Value,
        revision: u64,
        digest: Option<&Arc<str>>,
    ) -> Result<Option<Self>, SnapshotError> {
        if self.fallbacks.is_touched_by(patch, &self.snapshot) {
            return Ok(None);
        }
        let (mut next, _) = self.snapshot.apply(patch, revision)?;
        next.digest = digest.cloned();
        let length = self.length.saturating_add(json_len(patch));
        Ok(Some(Self { snapshot: Arc::new(next), fallbacks: Arc::clone(&self.fallbacks), length }))
    }

    /// A document that is already too long may become shorter.
    fn fits(mut self, before: &Self, max: usize) -> Result<Self, StoreError> {
        if self.length <= max {
            return Ok(self);
        }
        // The length is an upper bound. Measuring takes 50 ms for 100,000 namespaces, so it happens only here.
        self.length = json_len(&*self.snapshot);
        if self.length <= max || self.length <= json_len(&*before.snapshot) {
            return Ok(self);
        }
        let found = self.length;
        let problem = format!(
            "the snapshot would have {found} bytes, but at most {max} can be committed because gates read at most \
             {LENGTH_MAX}; delete unused objects, or distribute the tenants over several ledgers"
        );
        Err(StoreError::Unreadable { problems: vec![problem] })
    }
}

/// Applies the changes since `known`, or reads the whole snapshot.
async fn catch_up(
    database: &Database,
    known: Option<ValidatedSnapshot>,
) -> Result<Option<ValidatedSnapshot>, StoreError> {
    let mut session = database.begin_second().await?;
    let on = session.connection();
    let now = revision::head(on).await?;
    if let Some(known) = known.filter(|known| *known.snapshot.ledger == *now.ledger)
        && let Some(changes) = revision::since_on(on, now.revision, known.snapshot.revision).await?
        && revision::follows(known.snapshot.digest.as_deref(), &changes, &now) == Follows::Yes
        && let Ok(Some(current)) =
            known.apply(&revision::compose(&changes)?, now.revision, now.known_digest().as_ref())
    {
        session.rollback().await?;
        return Ok(Some(current));
    }
    session.rollback().await?;
    whole(database).await
}

/// `None` where the stored snapshot is invalid; commits are then not validated, because repairing it must be possible.
async fn whole(database: &Database) -> Result<Option<ValidatedSnapshot>, StoreError> {
    let mut session = database.begin_second().await?;
    let on = session.connection();
    let now = revision::head(on).await?;
    let document = snapshot::whole_on(on, &now, None).await?;
    session.rollback().await?;
    let length = document.len();
    let read =
        tokio::task::spawn_blocking(move || Snapshot::read_or_last_good("the ledger", &document, None));
    match read.await {
        Ok(Ok((mut snapshot, fallbacks))) => {
            snapshot.digest = now.known_digest();
            Ok(Some(ValidatedSnapshot {
                snapshot: Arc::new(snapshot),
                fallbacks: Arc::new(fallbacks),
                length,
            }))
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the snapshot in the ledger is invalid, so commits cannot be validated");
            Ok(None)
        }
        Err(_) => Err(StoreError::unavailable("reading the snapshot was cancelled")),
    }
}

fn unreadable(error: SnapshotError) -> StoreError {
    let problems = match error {
        SnapshotError::Invalid { problems, .. } => problems.iter().map(ToString::to_string).collect(),
        error => vec![error.to_string()],
    };
    StoreError::Unreadable { problems }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use portcullis_tenancy::example;

    fn current(length: usize) -> ValidatedSnapshot {
        ValidatedSnapshot {
            snapshot: Arc::new(example::snapshot().unwrap()),
            fallbacks: Arc::default(),
            length,
        }
    }

    fn plan(name: &str) -> Value {
        json!({ "tenants": { "acme": { "plan": name } } })
    }

    #[test]
    fn document_is_measured_only_where_its_length_is_in_doubt() {
        let exact = json_len(&example::snapshot().unwrap());
        let before = current(exact);
        let next = before.apply(&plan("x"), 99, None).unwrap().unwrap();
        let bound = next.length;
        assert!(bound > exact, "a change adds its own length at most");
        assert_eq!(next.clone().fits(&before, bound).unwrap().length, bound, "not measured");
        let measured = next.clone().fits(&before, bound - 1).unwrap().length;
        assert_eq!(measured, json_len(&*next.snapshot));
    }

    #[test]
    fn commit_above_the_length_limit_is_rejected_unless_it_shortens_the_document() {
        let exact = json_len(&example::snapshot().unwrap());
        let before = current(exact);
        let longer = before.apply(&plan(&"x".repeat(60)), 99, None).unwrap().unwrap();
        let error = longer.clone().fits(&before, exact).unwrap_err().to_string();
        assert!(
            error.contains("at most")
                || matches!(longer.fits(&before, exact), Err(StoreError::Unreadable { .. })),
            "{error}"
        );
        let gone = json!({ "tenants": { "acme": { "plan": null } } });
        let shorter = before.apply(&gone, 99, None).unwrap().unwrap();
        shorter.fits(&before, 10).unwrap();
    }
}
