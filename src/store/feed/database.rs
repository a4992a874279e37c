//! The snapshot from the database of the ledger. A commit of this process, a notification, a write to the file and a timer are
//! only reasons to read the row of the ledger, so a lost notification delays a change by one heartbeat.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::health::TroubleKind;
use super::snapshot_applier::{ApplyError, Comparison, SnapshotApplier};
use crate::change_buffer::{ChangeBuffer, LedgerContact};
use crate::error::StoreError;
use crate::revision::{self, Change, Follows, LedgerHead};
use crate::tx::Tx;
use crate::validator::DocumentLength;
use crate::{Ledger, snapshot};
use portcullis_access::{Action, Denied, Identity, Scope, authorize};
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Snapshot, SnapshotError};

/// How often the row of the ledger is read without a notification.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Time to read the row of the ledger.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Time to read the document or its changes.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Further behind, the whole document is cheaper.
const CHANGES_MAX: u64 = 1000;

pub struct Follower {
    ledger: Ledger,
    scope: Scope,
    cluster: Option<String>,
    buffer: Option<ChangeBuffer>,
    resync: Duration,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the database of the ledger does not answer")]
    TimedOut,
    #[error(transparent)]
    Rejected(#[from] ApplyError),
    #[error("the snapshot of the ledger is invalid: {0}")]
    Document(#[from] SnapshotError),
    #[error("the ledger has no cluster `{0}`")]
    Cluster(String),
    #[error("reading the snapshot was cancelled")]
    Cancelled,
}

impl ReadError {
    const fn kind(&self) -> TroubleKind {
        match self {
            Self::Rejected(_) | Self::Document(_) | Self::Cluster(_) => TroubleKind::Refused,
            Self::Store(StoreError::Migrating) => TroubleKind::Migrating,
            Self::Store(_) | Self::TimedOut | Self::Cancelled => TroubleKind::Unreachable,
        }
    }
}

impl Follower {
    /// For the whole ledger or one cluster. The whole document is compared every `resync`. `buffer` receives the changes for
    /// the API.
    pub fn new(
        ledger: Ledger,
        cluster: Option<String>,
        buffer: Option<ChangeBuffer>,
        resync: Duration,
    ) -> Result<Self, Denied> {
        let scope = authorize(&Identity::reading_process("gate"), Action::Snapshot, None, "feed")?;
        Ok(Self { ledger, scope, cluster, buffer, resync })
    }

    /// Gives every change to `applier` until `stop` is cancelled. `news` changes when there may be one.
    pub async fn run(
        self,
        mut applier: SnapshotApplier,
        mut news: watch::Receiver<u64>,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut backoff = Backoff::new(stop.clone());
        let mut committed = self.ledger.revision();
        // The whole document first: the snapshot in force may come from the cache of an earlier run.
        let mut compared: Option<Instant> = None;
        loop {
            news.borrow_and_update();
            committed.borrow_and_update();
            let whole = compared.is_none_or(|at| at.elapsed() >= self.resync);
            let before = applier.current().cloned();
            let result = self.update(&mut applier, whole).await;
            let unreachable = |error: &ReadError| error.kind() == TroubleKind::Unreachable;
            metrics::database_reachable(!result.as_ref().is_err_and(unreachable));
            if let Some(buffer) = &self.buffer {
                buffer.set_contact(match &result {
                    Ok(()) => LedgerContact::Connected,
                    Err(error) if error.kind() == TroubleKind::Refused => LedgerContact::Invalid,
                    Err(_) => LedgerContact::Disconnected,
                });
            }
            if let Err(error) = result {
                applier.health().trouble(error.kind(), error);
                if backoff.failed().await {
                    continue;
                }
                return Ok(());
            }
            if whole {
                compared = Some(Instant::now());
            }
            applier.health().confirmed();
            if !backoff.succeeded(!same(before.as_ref(), applier.current())).await {
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

    async fn update(&self, applier: &mut SnapshotApplier, whole: bool) -> Result<(), ReadError> {
        let (tx, now) = within(HEAD_TIMEOUT, async {
            let mut tx = self.ledger.read_any_state(&self.scope).await?;
            let now = tx.ledger().await?;
            Ok((tx, now))
        })
        .await?;
        within(DOCUMENT_TIMEOUT, self.apply(tx, applier, now, whole)).await
    }

    async fn apply(
        &self,
        mut tx: Tx,
        applier: &mut SnapshotApplier,
        now: LedgerHead,
        whole: bool,
    ) -> Result<(), ReadError> {
        let seen = applier.position().filter(|at| at.ledger == now.ledger).map(|at| at.revision);
        self.ledger.compare_revisions(seen, now.revision);
        if let Some(current) = seen.filter(|seen| *seen > now.revision) {
            tx.rollback().await?;
            return Err(ApplyError::Older { current, offered: now.revision }.into());
        }
        if !whole
            && let Some(current) = applier.current().cloned()
            && current.ledger == now.ledger.as_str().into()
        {
            if current.revision == now.revision && current.digest == now.known_digest() {
                tx.rollback().await?;
                return Ok(());
            }
            if self.changes(&mut tx, applier, &current, &now).await? {
                tx.rollback().await?;
                return Ok(());
            }
        }
        self.whole(tx, applier, now, whole).await
    }

    /// `false` where only the whole document helps.
    async fn changes(
        &self,
        tx: &mut Tx,
        applier: &mut SnapshotApplier,
        current: &Snapshot,
        now: &LedgerHead,
    ) -> Result<bool, ReadError> {
        let behind = now.revision - current.revision;
        if behind == 0 || behind > CHANGES_MAX {
            return Ok(false);
        }
        let Some(changes) = tx.changes_since(current.revision).await? else { return Ok(false) };
        match revision::follows(current.digest.as_deref(), &changes, now) {
            Follows::Yes => self.change(tx, applier, now, changes).await,
            Follows::Fork => {
                applier.forked();
                Ok(false)
            }
            Follows::Unknown => Ok(false),
        }
    }

    /// `false` where the changes cannot be applied.
    async fn change(
        &self,
        tx: &mut Tx,
        applier: &mut SnapshotApplier,
        now: &LedgerHead,
        changes: Vec<Change>,
    ) -> Result<bool, ReadError> {
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
        if let Err(error) = applier.change(since, now.revision, now.known_digest(), &patch) {
            if matches!(error, ApplyError::NeedsWholeDocument) {
                tracing::debug!(since, revision = now.revision, %error, "reading the whole document");
            } else {
                tracing::error!(since, revision = now.revision, %error, "a change of the ledger cannot be applied; reading the whole document");
            }
            return Ok(false);
        }
        self.offer(
            applier,
            DocumentLength::AtMostPlus(changes.iter().map(|change| change.patch.len()).sum()),
        );
        self.ledger.announce(now.revision);
        if let Some(buffer) = &self.buffer {
            buffer.changed(now, changes);
        }
        Ok(true)
    }

    /// Shares the snapshot with the validator of commits, to save its memory.
    fn offer(&self, applier: &SnapshotApplier, length: DocumentLength) {
        if let (None, Some(snapshot)) = (&self.cluster, applier.current()) {
            self.ledger.validator().offer(snapshot, applier.fallbacks(), length);
        }
    }

    async fn whole(
        &self,
        mut tx: Tx,
        applier: &mut SnapshotApplier,
        now: LedgerHead,
        compare: bool,
    ) -> Result<(), ReadError> {
        if let Some(cluster) = &self.cluster
            && !snapshot::has_cluster(&mut tx, cluster).await?
        {
            return Err(ReadError::Cluster(cluster.clone()));
        }
        let document = snapshot::whole(&mut tx, self.cluster.as_deref()).await?;
        tx.rollback().await?;
        let (before, length) = (applier.current().cloned(), document.len());
        let read = tokio::task::spawn_blocking(move || {
            Snapshot::read_or_last_good("the ledger", &document, before.as_deref())
        });
        let (mut snapshot, fallbacks) = read.await.map_err(|_| ReadError::Cancelled)??;
        snapshot.digest = now.known_digest();
        let other = applier.position().is_none_or(|at| *at.ledger != *now.ledger);
        let same_revision = applier.position().is_some_and(|at| at.revision == now.revision);
        let comparison = applier.whole(snapshot, fallbacks)?;
        self.offer(applier, DocumentLength::Exact(length));
        if compare && !other && same_revision && comparison != Comparison::Fork {
            metrics::snapshot_reconciled(comparison == Comparison::Same);
            if comparison == Comparison::Different {
                tracing::error!(
                    revision = now.revision,
                    "the snapshot differed from the ledger: a change was lost"
                );
            }
        }
        if other {
            self.ledger.restored(now.revision)
        } else {
            self.ledger.announce(now.revision)
        }
        if let Some(buffer) = &self.buffer {
            buffer.whole(&now);
        }
        Ok(())
    }
}

fn same(before: Option<&Arc<Snapshot>>, now: Option<&Arc<Snapshot>>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => Arc::ptr_eq(before, now),
        (before, now) => before.is_none() && now.is_none(),
    }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(ReadError::TimedOut))
}
