//! The snapshot from the ledger's own database, in the process that serves it or in a gate beside it.
//!
//! Whatever wakes us (a commit of this process, a notification, a file that was written, a clock) is only a reason to look:
//! what is true is the ledger's row. So a notification that was lost costs a heartbeat and no change.

pub mod listen;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::TroubleKind;
use super::intake::{Intake, Offer, Refused};
use super::pace::Pace;
use crate::error::StoreError;
use crate::mirror::{Mirror, Touch};
use crate::reader::Length;
use crate::revision::{self, Change, Follows, Now};
use crate::tx::Tx;
use crate::{Ledger, snapshot};
use portcullis_access::{Action, Denied, Identity, Scope, authorize};
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Snapshot, SnapshotError};

/// How often the ledger's row is read although nobody told of a change; also how soon it is noticed that a database which
/// was there does not answer.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// A database that takes longer to say where it is is down.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same for the whole document, or for what is missing of it.
const PATIENCE_WHOLE: Duration = Duration::from_secs(30);

/// Further behind than this, the whole document is less work than its changes.
const CHANGES_MAX: u64 = 1000;

/// Follows a ledger for this process.
pub struct Follower {
    ledger: Ledger,
    scope: Scope,
    cluster: Option<String>,
    mirror: Option<Mirror>,
    reconcile: Duration,
}

/// Why a look at the ledger came to nothing.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the ledger's database does not answer")]
    Silent,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the ledger's document does not hold: {0}")]
    Document(#[from] SnapshotError),
    #[error("the ledger knows no cluster `{0}`")]
    Cluster(String),
    #[error("reading the document was given up")]
    GivenUp,
}

impl LookError {
    const fn kind(&self) -> TroubleKind {
        match self {
            Self::Refused(_) | Self::Document(_) | Self::Cluster(_) => TroubleKind::Refused,
            Self::Store(StoreError::Migrating) => TroubleKind::Migrating,
            Self::Store(_) | Self::Silent | Self::GivenUp => TroubleKind::OutOfTouch,
        }
    }
}

impl Follower {
    /// Of all of a ledger, or of one cluster's part. Every `reconcile` the whole is compared. What is read is also told
    /// to `mirror`, for the gates of others.
    ///
    /// # Errors
    /// Never, as long as a gate may read the snapshot.
    pub fn new(
        ledger: Ledger,
        cluster: Option<String>,
        mirror: Option<Mirror>,
        reconcile: Duration,
    ) -> Result<Self, Denied> {
        let scope = authorize(&Identity::reading_process("gate"), Action::Snapshot, None, "feed")?;
        Ok(Self { ledger, scope, cluster, mirror, reconcile })
    }

    /// Hands every change to `intake`, until told to stop. `news` moves when there may be one.
    ///
    /// # Errors
    /// Never; a task that ends is a task that died.
    pub async fn run(
        self,
        mut intake: Intake,
        mut news: watch::Receiver<u64>,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut pace = Pace::new(stop.clone());
        let mut committed = self.ledger.revision();
        // The whole at first: what is in force may be kept from an earlier run, and nobody has vouched for it.
        let mut compared: Option<Instant> = None;
        loop {
            news.borrow_and_update();
            committed.borrow_and_update();
            let whole = compared.is_none_or(|at| at.elapsed() >= self.reconcile);
            let before = intake.current().cloned();
            let looked = self.look(&mut intake, whole).await;
            let away = |error: &LookError| error.kind() == TroubleKind::OutOfTouch;
            metrics::database_reachable(!looked.as_ref().is_err_and(away));
            if let Some(mirror) = &self.mirror {
                mirror.touched(match &looked {
                    Ok(()) => Touch::InTouch,
                    Err(error) if error.kind() == TroubleKind::Refused => Touch::Refuses,
                    Err(_) => Touch::Away,
                });
            }
            if let Err(error) = looked {
                intake.health().trouble(error.kind(), error);
                if pace.failed().await {
                    continue;
                }
                return Ok(());
            }
            if whole {
                compared = Some(Instant::now());
            }
            intake.health().confirmed();
            if !pace.went_well(!same(before.as_ref(), intake.current())).await {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = committed.changed() => {}
                _ = news.changed() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
        }
    }

    async fn look(&self, intake: &mut Intake, whole: bool) -> Result<(), LookError> {
        let (tx, now) = within(PATIENCE, async {
            let mut tx = self.ledger.look(&self.scope).await?;
            let now = tx.ledger().await?;
            Ok((tx, now))
        })
        .await?;
        within(PATIENCE_WHOLE, self.take(tx, intake, now, whole)).await
    }

    async fn take(&self, mut tx: Tx, intake: &mut Intake, now: Now, whole: bool) -> Result<(), LookError> {
        let seen = intake.position().filter(|at| at.ledger == now.ledger).map(|at| at.revision);
        self.ledger.found(seen, now.revision);
        if let Some(current) = seen.filter(|seen| *seen > now.revision) {
            tx.rollback().await?;
            return Err(Refused::Older { current, offered: now.revision }.into());
        }
        if !whole
            && let Some(current) = intake.current().cloned()
            && current.ledger == now.ledger.as_str().into()
        {
            if current.revision == now.revision && current.digest == now.known_digest() {
                tx.rollback().await?;
                return Ok(());
            }
            if self.changes(&mut tx, intake, &current, &now).await? {
                tx.rollback().await?;
                return Ok(());
            }
        }
        self.whole(tx, intake, now, whole).await
    }

    /// Takes what has changed since `current`. False where only the whole helps.
    async fn changes(
        &self,
        tx: &mut Tx,
        intake: &mut Intake,
        current: &Snapshot,
        now: &Now,
    ) -> Result<bool, LookError> {
        let behind = now.revision - current.revision;
        if behind == 0 || behind > CHANGES_MAX {
            return Ok(false);
        }
        let Some(changes) = revision::since(tx, current.revision).await? else { return Ok(false) };
        match revision::follows(current.digest.as_deref(), &changes, now) {
            Follows::Yes => self.change(tx, intake, now, changes).await,
            Follows::Fork => {
                intake.forked();
                Ok(false)
            }
            Follows::Unknown => Ok(false),
        }
    }

    /// Takes changes. False where they do not fit: then the whole is taken.
    async fn change(
        &self,
        tx: &mut Tx,
        intake: &mut Intake,
        now: &Now,
        changes: Vec<Change>,
    ) -> Result<bool, LookError> {
        let Some(since) = changes.first().and_then(|first| first.revision.checked_sub(1)) else {
            return Ok(false);
        };
        let patch = match &self.cluster {
            None => revision::compose(&changes)?,
            Some(cluster) => {
                let parts: BTreeSet<_> =
                    changes.iter().flat_map(|change| change.parts.iter().cloned()).collect();
                snapshot::patch(tx, &parts, Some(cluster)).await?
            }
        };
        if let Err(error) = intake.change(since, now.revision, now.known_digest(), &patch) {
            if matches!(error, Refused::Held) {
                tracing::debug!(since, revision = now.revision, %error, "taking the whole");
            } else {
                tracing::error!(since, revision = now.revision, %error, "a change of the ledger does not fit; taking the whole");
            }
            return Ok(false);
        }
        self.offer(intake, Length::Grown(changes.iter().map(|change| change.patch.len()).sum()));
        self.ledger.heard(now.revision);
        if let Some(mirror) = &self.mirror {
            mirror.changed(now, changes);
        }
        Ok(true)
    }

    /// What commits of this process are checked against is the same snapshot, so that it is in memory once.
    fn offer(&self, intake: &Intake, length: Length) {
        if let (None, Some(snapshot)) = (&self.cluster, intake.current()) {
            self.ledger.reader().offer(snapshot, intake.held(), length);
        }
    }

    async fn whole(&self, mut tx: Tx, intake: &mut Intake, now: Now, compare: bool) -> Result<(), LookError> {
        if let Some(cluster) = &self.cluster
            && !snapshot::has_cluster(&mut tx, cluster).await?
        {
            return Err(LookError::Cluster(cluster.clone()));
        }
        let document = snapshot::whole(&mut tx, self.cluster.as_deref()).await?;
        tx.rollback().await?;
        let (before, length) = (intake.current().cloned(), document.len());
        let read = tokio::task::spawn_blocking(move || {
            Snapshot::read_or_last_good("the ledger", &document, before.as_deref())
        });
        let (mut snapshot, held) = read.await.map_err(|_| LookError::GivenUp)??;
        snapshot.digest = now.known_digest();
        let other = intake.position().is_none_or(|at| *at.ledger != *now.ledger);
        let same_revision = intake.position().is_some_and(|at| at.revision == now.revision);
        let offer = intake.whole(snapshot, held)?;
        self.offer(intake, Length::Whole(length));
        if compare && !other && same_revision && offer != Offer::Fork {
            metrics::snapshot_reconciled(offer == Offer::Same);
            if offer == Offer::Different {
                tracing::error!(
                    revision = now.revision,
                    "the snapshot was not what the ledger says; a change was lost"
                );
            }
        }
        if other {
            self.ledger.restored(now.revision)
        } else {
            self.ledger.heard(now.revision)
        }
        if let Some(mirror) = &self.mirror {
            mirror.whole(&now);
        }
        Ok(())
    }
}

/// Whether it is still the one that was in force.
fn same(before: Option<&Arc<Snapshot>>, now: Option<&Arc<Snapshot>>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (before, now) => before.is_none() && now.is_none(),
    }
}

async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, LookError>>,
) -> Result<T, LookError> {
    tokio::time::timeout(patience, work).await.unwrap_or(Err(LookError::Silent))
}
