//! The snapshot of a file that is followed. The last good one stays in force.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use portcullis_lifecycle::ready::Condition;
use portcullis_lifecycle::watch::{Watch, around};
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Snapshot, SnapshotError};

/// 10,000 namespaces take three million bytes.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    #[error("cannot read the snapshot `{path}` of --tenancy: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("the snapshot `{0}` of --tenancy has more than {BYTES_MAX} bytes")]
    Size(String),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// A snapshot and the digest of its file.
pub struct Read {
    pub snapshot: Snapshot,
    length: usize,
    digest: [u8; 32],
}

pub fn read(path: &Path) -> Result<Read, FeedError> {
    let bytes = bytes(path)?;
    let snapshot = Snapshot::parse(&path.display().to_string(), &bytes)?;
    Ok(Read { snapshot, length: bytes.len(), digest: Sha256::digest(&bytes).into() })
}

fn bytes(path: &Path) -> Result<Vec<u8>, FeedError> {
    let name = || path.display().to_string();
    let failed = |source| FeedError::Read { path: name(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
        return Err(FeedError::Size(name()));
    }
    std::fs::read(path).map_err(failed)
}

/// Gives each new valid snapshot to `apply` until `stop` is cancelled; invalid ones are reported and skipped.
pub async fn follow(
    path: PathBuf,
    first: Option<Read>,
    apply: impl Fn(Snapshot) + Send + Sync + Clone + 'static,
    condition: Condition,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut watch = Watch::new();
    let mut last = Digests { good: first.as_ref().map(|read| read.digest), bad: None };
    if let Some(read) = first {
        apply_first(read, &apply, &condition);
    }
    loop {
        watch.follow(around(&path));
        let (file, digests, apply) = (path.clone(), last, apply.clone());
        let result = tokio::task::spawn_blocking(move || check(&file, digests, &apply)).await;
        if let Ok((digests, outcome)) = result {
            last = digests;
            match outcome {
                CheckResult::Good => {
                    metrics::snapshot_confirmed(Duration::ZERO);
                    condition.good();
                }
                CheckResult::Bad(error) => report_rejected(&error, last.good.is_some(), &condition),
                CheckResult::Unchanged => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = watch.changed() => {}
        }
    }
}

/// Digests of the snapshot in force and of the file that was last rejected; for an unreadable file, of the error.
#[derive(Clone, Copy, Default)]
struct Digests {
    good: Option<[u8; 32]>,
    bad: Option<[u8; 32]>,
}

enum CheckResult {
    Good,
    Bad(FeedError),
    /// The file was already rejected.
    Unchanged,
}

fn check(path: &Path, digests: Digests, apply: &impl Fn(Snapshot)) -> (Digests, CheckResult) {
    let (digest, read) = match bytes(path) {
        Ok(bytes) => (Sha256::digest(&bytes).into(), Ok(bytes)),
        Err(error) => (Sha256::digest(error.to_string()).into(), Err(error)),
    };
    if read.is_ok() && digests.good == Some(digest) {
        return (Digests { bad: None, ..digests }, CheckResult::Good);
    }
    if digests.bad == Some(digest) {
        return (digests, CheckResult::Unchanged);
    }
    let parse = |bytes: Vec<u8>| Ok((Snapshot::parse(&path.display().to_string(), &bytes)?, bytes.len()));
    match read.and_then(parse) {
        Ok((snapshot, length)) => {
            report_applied(&snapshot, length);
            apply(snapshot);
            (Digests { good: Some(digest), bad: None }, CheckResult::Good)
        }
        Err(error) => (Digests { bad: Some(digest), ..digests }, CheckResult::Bad(error)),
    }
}

fn apply_first(read: Read, apply: &impl Fn(Snapshot), condition: &Condition) {
    report_applied(&read.snapshot, read.length);
    apply(read.snapshot);
    condition.good();
}

fn report_applied(snapshot: &Snapshot, length: usize) {
    metrics::snapshot_reload(true);
    metrics::snapshot_bytes(length);
    metrics::snapshot_confirmed(Duration::ZERO);
    metrics::snapshot_revision(snapshot.revision);
    let (tenants, namespaces) = (snapshot.tenants.len(), snapshot.namespaces.len());
    tracing::info!(revision = snapshot.revision, ledger = %snapshot.ledger, tenants, namespaces, "snapshot in force");
}

fn report_rejected(error: &FeedError, loaded: bool, condition: &Condition) {
    metrics::snapshot_reload(false);
    let changed = if loaded {
        condition.good_but(format!("the last good snapshot is in force; the newest is rejected: {error}"))
    } else {
        condition.bad(error.to_string())
    };
    if changed {
        tracing::error!(%error, last_good = loaded, "snapshot rejected");
    }
}
