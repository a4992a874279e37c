//! A snapshot from a file, followed live, the last good one in force.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use portcullis_lifecycle::ready::Condition;
use portcullis_lifecycle::watch::{Watch, around};
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Snapshot, SnapshotError};

/// Bytes of a snapshot, at most; one with 10,000 namespaces has three million.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The file cannot be read.
    #[error("cannot read the snapshot `{path}` of --tenancy: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is too large to be one.
    #[error("the snapshot `{0}` of --tenancy has more than {BYTES_MAX} bytes")]
    Size(String),
    /// What is in it is no snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// A snapshot, and what its bytes hash to.
pub struct Read {
    /// The snapshot.
    pub snapshot: Snapshot,
    length: usize,
    digest: [u8; 32],
}

/// Reads a snapshot once.
///
/// # Errors
/// See [`FeedError`].
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

/// Follows a file until told to stop. Each new good snapshot is handed to `enter`; a bad one is told and passed over.
///
/// # Errors
/// Never; a task that ends is a task that died.
pub async fn follow(
    path: PathBuf,
    first: Option<Read>,
    enter: impl Fn(Snapshot) + Send + Sync + Clone + 'static,
    condition: Condition,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut watch = Watch::new();
    let mut last = Seen { good: first.as_ref().map(|read| read.digest), bad: None };
    if let Some(read) = first {
        take(read, &enter, &condition);
    }
    loop {
        watch.follow(around(&path));
        let (file, seen, enter) = (path.clone(), last, enter.clone());
        let look = tokio::task::spawn_blocking(move || look(&file, seen, &enter)).await;
        if let Ok((seen, outcome)) = look {
            last = seen;
            match outcome {
                Look::Good => {
                    metrics::snapshot_confirmed(Duration::ZERO);
                    condition.good();
                }
                Look::Bad(error) => refuse(&error, last.good.is_some(), &condition),
                Look::Same => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = watch.changed() => {}
        }
    }
}

/// What the bytes hashed to: of the snapshot in force, and of the file that was refused since. What cannot be read
/// at all hashes to what the system says of it.
#[derive(Clone, Copy, Default)]
struct Seen {
    good: Option<[u8; 32]>,
    bad: Option<[u8; 32]>,
}

/// What came of one look.
enum Look {
    /// The file is the snapshot in force, which may be new.
    Good,
    /// The file is no snapshot, and that is news.
    Bad(FeedError),
    /// The file was refused before.
    Same,
}

fn look(path: &Path, seen: Seen, enter: &impl Fn(Snapshot)) -> (Seen, Look) {
    let (digest, read) = match bytes(path) {
        Ok(bytes) => (Sha256::digest(&bytes).into(), Ok(bytes)),
        Err(error) => (Sha256::digest(error.to_string()).into(), Err(error)),
    };
    if read.is_ok() && seen.good == Some(digest) {
        return (Seen { bad: None, ..seen }, Look::Good);
    }
    if seen.bad == Some(digest) {
        return (seen, Look::Same);
    }
    let parse = |bytes: Vec<u8>| Ok((Snapshot::parse(&path.display().to_string(), &bytes)?, bytes.len()));
    match read.and_then(parse) {
        Ok((snapshot, length)) => {
            told(&snapshot, length);
            enter(snapshot);
            (Seen { good: Some(digest), bad: None }, Look::Good)
        }
        Err(error) => (Seen { bad: Some(digest), ..seen }, Look::Bad(error)),
    }
}

fn take(read: Read, enter: &impl Fn(Snapshot), condition: &Condition) {
    told(&read.snapshot, read.length);
    enter(read.snapshot);
    condition.good();
}

fn told(snapshot: &Snapshot, length: usize) {
    metrics::snapshot_reload(true);
    metrics::snapshot_bytes(length);
    metrics::snapshot_confirmed(Duration::ZERO);
    metrics::snapshot_revision(snapshot.revision);
    let (tenants, namespaces) = (snapshot.tenants.len(), snapshot.namespaces.len());
    tracing::info!(revision = snapshot.revision, ledger = %snapshot.ledger, tenants, namespaces, "snapshot in force");
}

fn refuse(error: &FeedError, some: bool, condition: &Condition) {
    metrics::snapshot_reload(false);
    let news = if some {
        condition.good_but(format!("the last good snapshot is in force; the newest is refused: {error}"))
    } else {
        condition.bad(error.to_string())
    };
    if news {
        tracing::error!(%error, kept = some, "snapshot refused");
    }
}
