//! The last good snapshot on disk, so that a gate decides from its first moment on, whoever else is down.
//!
//! One line that says what follows, then the document. The file is written aside and renamed, for its owner alone; what is
//! not whole, not ours or not of this format is told and passed over.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use portcullis_tenancy::snapshot::{Snapshot, SnapshotError};

/// The version of the file; one before is read as well, once there is one.
const FORMAT: u32 = 1;

/// Longer is none of ours.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Where the snapshot is kept: `snapshot.cache` in a directory of its own for each gate.
#[derive(Debug, Clone)]
pub struct Kept {
    path: PathBuf,
    cluster: Option<String>,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    format: u32,
    /// The cluster whose part of the ledger it is; none is all of it.
    cluster: Option<String>,
    /// When it was known to be the newest, unix milliseconds.
    confirmed: u64,
    /// The snapshot's, where it is known; one before this field wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Arc<str>>,
    /// Of what follows the line.
    sha256: String,
}

/// Why what is kept cannot be used, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file system refuses.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// It is too long to be one.
    #[error("it has {0} bytes")]
    Size(u64),
    /// The first line is not there, or not ours.
    #[error("its first line is not ours")]
    Head,
    /// Of a format that this program does not read.
    #[error("it is of format {0} (read here: {FORMAT})")]
    Format(u32),
    /// Of another part of the ledger.
    #[error("it is of another cluster")]
    Cluster,
    /// Torn, or changed since it was written.
    #[error("it is not what was written")]
    Torn,
    /// The document is no snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The document cannot be written down.
    #[error("cannot write it as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Kept {
    /// In this directory, for a gate of this cluster.
    pub fn new(directory: &Path, cluster: Option<String>) -> Self {
        Self { path: directory.join("snapshot.cache"), cluster }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was kept, and how long ago it was known to be the newest.
    ///
    /// # Errors
    /// It is not whole, not ours, or cannot be read. `Ok(None)` is that there is nothing.
    pub fn read(&self) -> Result<Option<(Snapshot, Duration)>, KeptError> {
        let length = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            found => found?.len(),
        };
        if length > BYTES_MAX {
            return Err(KeptError::Size(length));
        }
        let bytes = std::fs::read(&self.path)?;
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(KeptError::Head)?;
        let (line, document) = bytes.split_at_checked(end + 1).ok_or(KeptError::Head)?;
        let head: Head = serde_json::from_slice(line).map_err(|_| KeptError::Head)?;
        if head.format != FORMAT {
            return Err(KeptError::Format(head.format));
        }
        if head.cluster != self.cluster {
            return Err(KeptError::Cluster);
        }
        if checksum(document) != head.sha256 {
            return Err(KeptError::Torn);
        }
        let mut snapshot = parse(document)?;
        snapshot.digest = head.digest;
        Ok(Some((snapshot, now().saturating_sub(Duration::from_millis(head.confirmed)))))
    }

    /// Keeps a snapshot. Takes as long as the disk does.
    ///
    /// # Errors
    /// It could not be written; what was there before is as it was.
    pub fn write(&self, snapshot: &Snapshot) -> Result<(), KeptError> {
        let document = serde_json::to_vec(snapshot)?;
        let confirmed = u64::try_from(now().as_millis()).unwrap_or(u64::MAX);
        let sha256 = checksum(&document);
        let (cluster, digest) = (self.cluster.clone(), snapshot.digest.clone());
        let head = Head { format: FORMAT, cluster, confirmed, digest, sha256 };
        if let Some(directory) = self.path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let aside = self.path.with_extension("part");
        let written = write_aside(&aside, &serde_json::to_vec(&head)?, &document);
        if let Err(error) = written.and_then(|()| std::fs::rename(&aside, &self.path)) {
            // On a full disk what is half written would only make it fuller.
            let _ = std::fs::remove_file(&aside);
            return Err(error.into());
        }
        Ok(())
    }
}

/// A build that is newer than this one may have written it, before it was taken back: keys that are not known are passed over.
fn parse(document: &[u8]) -> Result<Snapshot, KeptError> {
    const NAME: &str = "snapshot.cache";
    match Snapshot::read_or_last_good(NAME, document, None)? {
        (snapshot, held) if held.is_empty() => Ok(snapshot),
        (_, held) => {
            let (problems, file) = (held.problems, NAME.to_owned());
            Err(SnapshotError::Invalid { total: problems.len(), problems, file }.into())
        }
    }
}

fn write_aside(aside: &Path, head: &[u8], document: &[u8]) -> std::io::Result<()> {
    // Never the mode of a file that somebody else left there.
    match std::fs::remove_file(aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside)?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use portcullis_tenancy::example;

    #[test]
    fn what_is_kept_comes_back_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(&dir.path().join("cache"), Some("eu-1".to_owned()));
        assert!(kept.read().unwrap().is_none());
        let mut world = example::snapshot().unwrap();
        world.digest = Some("d1".into());
        kept.write(&world).unwrap();
        let (back, ago) = kept.read().unwrap().unwrap();
        assert_eq!(back, world);
        assert!(ago < Duration::from_mins(1));
        assert_eq!(std::fs::metadata(kept.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let other = Kept { cluster: None, ..kept.clone() };
        assert!(matches!(other.read(), Err(KeptError::Cluster)));

        let good = std::fs::read(kept.path()).unwrap();
        let check = |bytes: &[u8], expected: &str| {
            std::fs::write(kept.path(), bytes).unwrap();
            let said = kept.read().unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        };
        check(&good[..good.len() - 1], "not what was written");
        check(&good[..20], "first line");
        check(b"", "first line");
        check(&[0xff; 100], "first line");
        let text = String::from_utf8(good.clone()).unwrap();
        check(text.replace("acme-devs", "evil-devs").as_bytes(), "not what was written");
        check(text.replace("\"format\":1", "\"format\":9").as_bytes(), "format 9");
        std::fs::write(kept.path(), &good).unwrap();
        assert!(kept.read().unwrap().is_some());
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(dir.path(), None);
        kept.write(&example::snapshot().unwrap()).unwrap();
        // A directory in the way is refused whoever asks; a mode would not stop root.
        std::fs::create_dir(dir.path().join("snapshot.part")).unwrap();
        assert!(matches!(kept.write(&example::snapshot().unwrap()), Err(KeptError::File(_))));
        assert!(kept.read().unwrap().is_some());
    }
}
