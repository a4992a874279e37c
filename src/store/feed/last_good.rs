//! The last good snapshot on disk, so that a gate can start without its ledger. One head line, then the document. The file is
//! written beside the old one and renamed, readable by its owner only. An invalid or foreign file is reported and skipped.

use std::convert::Infallible;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Snapshot, SnapshotError};

const FORMAT: u32 = 1;

/// A longer file cannot be a snapshot.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// `snapshot.cache` in a directory of its own for each gate.
#[derive(Debug, Clone)]
pub struct LastGood {
    path: PathBuf,
    cluster: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    format: u32,
    cluster: Option<String>,
    /// When it was known to be the newest, Unix milliseconds.
    confirmed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Arc<str>>,
    /// Of the document.
    sha256: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LastGoodError {
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("it has {0} bytes")]
    Size(u64),
    #[error("its first line is invalid")]
    Head,
    #[error("it has format {0}; this version reads {FORMAT}")]
    Format(u32),
    #[error("it belongs to another cluster")]
    Cluster,
    #[error("its checksum does not match")]
    Damaged,
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("cannot write it as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl LastGood {
    pub fn new(directory: &Path, cluster: Option<String>) -> Self {
        Self { path: directory.join("snapshot.cache"), cluster }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The snapshot and how long ago it was known to be the newest; `None` if there is no file.
    pub fn read(&self) -> Result<Option<(Snapshot, Duration)>, LastGoodError> {
        let length = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            found => found?.len(),
        };
        if length > BYTES_MAX {
            return Err(LastGoodError::Size(length));
        }
        let bytes = std::fs::read(&self.path)?;
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(LastGoodError::Head)?;
        let (line, document) = bytes.split_at_checked(end + 1).ok_or(LastGoodError::Head)?;
        let head: Head = serde_json::from_slice(line).map_err(|_| LastGoodError::Head)?;
        if head.format != FORMAT {
            return Err(LastGoodError::Format(head.format));
        }
        if head.cluster != self.cluster {
            return Err(LastGoodError::Cluster);
        }
        if checksum(document) != head.sha256 {
            return Err(LastGoodError::Damaged);
        }
        let mut snapshot = parse(document)?;
        snapshot.digest = head.digest;
        Ok(Some((snapshot, now().saturating_sub(Duration::from_millis(head.confirmed)))))
    }

    /// Blocks. After an error the old file is unchanged.
    pub fn write(&self, snapshot: &Snapshot) -> Result<(), LastGoodError> {
        let document = serde_json::to_vec(snapshot)?;
        let confirmed = u64::try_from(now().as_millis()).unwrap_or(u64::MAX);
        let sha256 = checksum(&document);
        let (cluster, digest) = (self.cluster.clone(), snapshot.digest.clone());
        let head = Head { format: FORMAT, cluster, confirmed, digest, sha256 };
        if let Some(directory) = self.path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let temporary = self.path.with_extension("part");
        let written = write_temporary(&temporary, &serde_json::to_vec(&head)?, &document);
        if let Err(error) = written.and_then(|()| std::fs::rename(&temporary, &self.path)) {
            // A partial file would take space on a full disk.
            let _ = std::fs::remove_file(&temporary);
            return Err(error.into());
        }
        Ok(())
    }
}

/// A newer build may have written the file, so unknown keys are ignored.
fn parse(document: &[u8]) -> Result<Snapshot, LastGoodError> {
    const NAME: &str = "snapshot.cache";
    match Snapshot::read_or_last_good(NAME, document, None)? {
        (snapshot, fallbacks) if fallbacks.is_empty() => Ok(snapshot),
        (_, fallbacks) => {
            let (problems, file) = (fallbacks.problems, NAME.to_owned());
            Err(SnapshotError::Invalid { total: problems.len(), problems, file }.into())
        }
    }
}

fn write_temporary(temporary: &Path, head: &[u8], document: &[u8]) -> std::io::Result<()> {
    // Never reuse the mode of an existing file.
    match std::fs::remove_file(temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(head)?;
    file.write_all(b"\n")?;
    file.write_all(document)?;
    file.sync_all()
}

fn checksum(document: &[u8]) -> String {
    hex::encode(Sha256::digest(document))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A burst of changes is one write.
const DEBOUNCE: Duration = Duration::from_millis(500);

/// Delay before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// Writes each new snapshot until `stop` is cancelled, including the last one. Never delays a change.
pub async fn write_updates(
    file: LastGood,
    mut latest: watch::Receiver<Option<Arc<Snapshot>>>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut failed: Option<String> = None;
    let mut unwritten = false;
    loop {
        let retry =
            async { if unwritten { tokio::time::sleep(RETRY).await } else { std::future::pending().await } };
        tokio::select! {
            () = stop.cancelled() => {}
            () = retry => {}
            changed = latest.changed() => match changed {
                Ok(()) => unwritten = true,
                Err(_) => stop.cancelled().await, // the sender is gone
            },
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(DEBOUNCE) => {}
        }
        let stopping = stop.is_cancelled();
        unwritten |= latest.has_changed().unwrap_or(false);
        let snapshot = latest.borrow_and_update().clone();
        if let Some(snapshot) = snapshot.filter(|_| unwritten) {
            let target = file.clone();
            let written = tokio::task::spawn_blocking(move || target.write(&snapshot)).await;
            let error = match written {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            report(&file, failed.as_ref(), error.as_ref());
            unwritten = error.is_some();
            failed = error;
        }
        if stopping {
            return Ok(());
        }
    }
}

fn report(file: &LastGood, before: Option<&String>, error: Option<&String>) {
    metrics::snapshot_cache_written(error.is_none());
    let file = file.path().display();
    match error {
        Some(error) if before != Some(error) => {
            tracing::error!(%file, %error, "the snapshot could not be written to the cache; decisions continue");
        }
        None if before.is_some() => tracing::info!(%file, "the snapshot is written to the cache again"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use portcullis_tenancy::example;

    #[test]
    fn cached_snapshot_is_read_completely_or_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let file = LastGood::new(&dir.path().join("cache"), Some("eu-1".to_owned()));
        assert!(file.read().unwrap().is_none());
        let mut snapshot = example::snapshot().unwrap();
        snapshot.digest = Some("d1".into());
        file.write(&snapshot).unwrap();
        let (back, ago) = file.read().unwrap().unwrap();
        assert_eq!(back, snapshot);
        assert!(ago < Duration::from_mins(1));
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let other = LastGood { cluster: None, ..file.clone() };
        assert!(matches!(other.read(), Err(LastGoodError::Cluster)));

        let good = std::fs::read(file.path()).unwrap();
        let check = |bytes: &[u8], expected: &str| {
            std::fs::write(file.path(), bytes).unwrap();
            let message = file.read().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        };
        check(&good[..good.len() - 1], "checksum");
        check(&good[..20], "first line");
        check(b"", "first line");
        check(&[0xff; 100], "first line");
        let text = String::from_utf8(good.clone()).unwrap();
        check(text.replace("acme-devs", "evil-devs").as_bytes(), "checksum");
        check(text.replace("\"format\":1", "\"format\":9").as_bytes(), "format 9");
        std::fs::write(file.path(), &good).unwrap();
        assert!(file.read().unwrap().is_some());
    }

    #[test]
    fn failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = LastGood::new(dir.path(), None);
        file.write(&example::snapshot().unwrap()).unwrap();
        // A directory in the way also stops root, which a file mode would not.
        std::fs::create_dir(dir.path().join("snapshot.part")).unwrap();
        assert!(matches!(file.write(&example::snapshot().unwrap()), Err(LastGoodError::File(_))));
        assert!(file.read().unwrap().is_some());
    }
}
