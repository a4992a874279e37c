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
use crate::tenancy::snapshot::{Held, Snapshot, SnapshotError};

/// A refusal makes it look whether the ledger holds what no commit of this program has written, but only so often: reading
/// the whole while the ledger's row is held costs everybody who writes.
const ANEW: Duration = Duration::from_secs(30);

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
}

impl Reader {
    /// A snapshot that this process has anyway; keeping the same one twice would cost its memory twice.
    pub(super) fn offer(&self, snapshot: &Arc<Snapshot>, held: &Held) {
        let held = Arc::new(held.clone());
        self.keep(Current { snapshot: Arc::clone(snapshot), held });
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
        let next = next.map_err(unreadable)?;
        Ok(next.filter(|next| *next.snapshot.ledger == *at.ledger))
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
        Ok(Some(Self { snapshot: Arc::new(next), held: Arc::clone(&self.held) }))
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
    let read = tokio::task::spawn_blocking(move || Snapshot::or_last_good("the ledger", document, None));
    match read.await {
        Ok(Ok((mut snapshot, held))) => {
            snapshot.digest = now.known_digest();
            Ok(Some(Current { snapshot: Arc::new(snapshot), held: Arc::new(held) }))
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
