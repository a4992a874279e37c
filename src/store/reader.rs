//! Whether readers of the snapshot take what a commit changes: their own code applies it before it is committed.
//!
//! The commit holds the ledger's row meanwhile, so the snapshot that the change is applied to is the one it follows. It is
//! kept from commit to commit, and caught up where another process has committed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::db::Database;
use super::error::StoreError;
use super::revision::{self, Follows, Now};
use super::snapshot;
use portcullis_tenancy::snapshot::{Held, LENGTH_MAX, Snapshot, SnapshotError, bytes_of};

/// A refusal makes it look whether the ledger holds what no commit of this program has written, but only so often: reading
/// the whole while the ledger's row is held costs everybody who writes.
const ANEW: Duration = Duration::from_secs(30);

/// Bytes of a document beyond which no commit makes it longer: what is committed at the same time by other processes, and
/// what a reader adds, must still fit below what it reads.
const LENGTH_COMMIT_MAX: usize = LENGTH_MAX - 4 * 1024 * 1024;

/// The snapshot as readers have it after the newest commit that this process knows; all clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    /// When a refusal last made it read the whole.
    anew: Option<Instant>,
}

/// A snapshot, and what of it is not as the ledger has it.
#[derive(Debug, Clone)]
pub(super) struct Current {
    snapshot: Arc<Snapshot>,
    held: Arc<Held>,
    /// Bytes of the document as JSON, at most: those when it was last measured, and those of every change since.
    length: usize,
}

/// How long the document of a snapshot is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// So many bytes.
    Whole(usize),
    /// At most so many bytes more than the one before it.
    Grown(usize),
}

impl Reader {
    /// A snapshot that this process has anyway; keeping the same one twice would cost its memory twice.
    pub(super) fn offer(&self, snapshot: &Arc<Snapshot>, held: &Held, length: Length) {
        let held = Arc::new(held.clone());
        let known = self.lock().current.as_ref().map_or(0, |known| known.length);
        let length = match length {
            Length::Whole(bytes) => bytes,
            Length::Grown(bytes) => known.saturating_add(bytes),
        };
        self.keep(Current { snapshot: Arc::clone(snapshot), held, length });
    }

    /// Keeps what a commit has led to.
    pub(super) fn keep(&self, next: Current) {
        let known = &mut self.lock().current;
        let newer = known.as_ref().is_none_or(|known| {
            known.snapshot.ledger != next.snapshot.ledger || known.snapshot.revision <= next.snapshot.revision
        });
        if newer {
            *known = Some(next);
        }
    }

    /// Applies the change that leads to `at`, whose digest is still that of the revision before; `digest` is its own. What it
    /// leads to; nothing where the change concerns what does not read already, which must be possible to mend.
    ///
    /// # Errors
    /// `Unreadable` where readers would refuse it.
    pub(super) async fn check(
        &self,
        database: &Database,
        at: &Now,
        patch: &Value,
        digest: &Arc<str>,
    ) -> Result<Option<Current>, StoreError> {
        let known = self.lock().current.clone();
        let current = match known {
            Some(known) if known.is_before(at) => Some(known),
            known => catch_up(database, known).await?,
        };
        let Some(current) = current else { return Ok(None) };
        let mut next = current.apply(patch, at.revision, Some(digest));
        if next.is_err() && self.may_read_anew() {
            let Some(whole) = whole(database).await? else { return Ok(None) };
            next = whole.apply(patch, at.revision, Some(digest));
        }
        let next = next.map_err(unreadable)?.filter(|next| *next.snapshot.ledger == *at.ledger);
        next.map(|next| next.fits(&current, LENGTH_COMMIT_MAX)).transpose()
    }

    fn may_read_anew(&self) -> bool {
        let state = &mut self.lock().anew;
        let may = state.is_none_or(|at| at.elapsed() > ANEW);
        if may {
            *state = Some(Instant::now());
        }
        may
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every edit leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    /// Whether it is the revision before, of the same history. A ledger that is restored may count the same numbers again.
    fn is_before(&self, at: &Now) -> bool {
        let Snapshot { ledger, revision, digest, .. } = &*self.snapshot;
        **ledger == *at.ledger && revision + 1 == at.revision && *digest == at.known_digest()
    }

    /// What a change leads to; nothing where it concerns what does not read already.
    fn apply(
        &self,
        patch: &Value,
        revision: u64,
        digest: Option<&Arc<str>>,
    ) -> Result<Option<Self>, SnapshotError> {
        if self.held.is_touched_by(patch, &self.snapshot) {
            return Ok(None);
        }
        let (mut next, _) = self.snapshot.apply(patch, revision)?;
        next.digest = digest.cloned();
        let length = self.length.saturating_add(bytes_of(patch));
        Ok(Some(Self { snapshot: Arc::new(next), held: Arc::clone(&self.held), length }))
    }

    /// Whether readers take a document of this length; one that is too long already may be made shorter.
    fn fits(mut self, before: &Self, max: usize) -> Result<Self, StoreError> {
        if self.length <= max {
            return Ok(self);
        }
        // The length was an upper bound. Measuring takes some 50 ms for 100,000 namespaces, so it is done only here.
        self.length = bytes_of(&*self.snapshot);
        if self.length <= max || self.length <= bytes_of(&*before.snapshot) {
            return Ok(self);
        }
        let found = self.length;
        let problem = format!(
            "the snapshot would be {found} bytes, and at most {max} may be committed; gates read at most {LENGTH_MAX}. \
             Delete what is not needed, or spread tenants over more ledgers"
        );
        Err(StoreError::Unreadable { problems: vec![problem] })
    }
}

/// The snapshot of the newest commit, by what has changed since `known` or as a whole.
async fn catch_up(database: &Database, known: Option<Current>) -> Result<Option<Current>, StoreError> {
    let mut session = database.begin_aside().await?;
    let on = session.connection();
    let now = revision::now(on).await?;
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

/// The snapshot of the newest commit. Nothing where the ledger does not read, which no commit of this program leaves
/// behind; then commits cannot be checked, and mending must be possible.
async fn whole(database: &Database) -> Result<Option<Current>, StoreError> {
    let mut session = database.begin_aside().await?;
    let on = session.connection();
    let now = revision::now(on).await?;
    let document = snapshot::whole_on(on, &now, None).await?;
    session.rollback().await?;
    let length = document.len();
    let read =
        tokio::task::spawn_blocking(move || Snapshot::read_or_last_good("the ledger", &document, None));
    match read.await {
        Ok(Ok((mut snapshot, held))) => {
            snapshot.digest = now.known_digest();
            Ok(Some(Current { snapshot: Arc::new(snapshot), held: Arc::new(held), length }))
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the ledger's document does not read, so what is committed cannot be checked");
            Ok(None)
        }
        Err(_) => Err(StoreError::unavailable("reading the ledger's document was given up")),
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

    fn current(length: usize) -> Current {
        Current { snapshot: Arc::new(example::snapshot().unwrap()), held: Arc::default(), length }
    }

    fn plan(name: &str) -> Value {
        json!({ "tenants": { "acme": { "plan": name } } })
    }

    #[test]
    fn document_is_measured_only_where_its_length_is_in_doubt() {
        let exact = bytes_of(&example::snapshot().unwrap());
        let before = current(exact);
        let next = before.apply(&plan("x"), 99, None).unwrap().unwrap();
        let bound = next.length;
        assert!(bound > exact, "a change adds its own length at most");
        assert_eq!(next.clone().fits(&before, bound).unwrap().length, bound, "not measured");
        let measured = next.clone().fits(&before, bound - 1).unwrap().length;
        assert_eq!(measured, bytes_of(&*next.snapshot));
    }

    #[test]
    fn commit_beyond_what_readers_take_is_refused_and_one_that_shortens_is_not() {
        let exact = bytes_of(&example::snapshot().unwrap());
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
