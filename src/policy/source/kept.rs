//! The last good law on disk, so that a start with a broken one has something to keep.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Bundle;

/// Where it is kept: `law.json` in a directory that is given.
#[derive(Debug, Clone)]
pub struct Kept(PathBuf);

/// The file: what a bundle is made of, and a checksum over it.
#[derive(Serialize, Deserialize)]
struct File {
    digest: String,
    checksum: String,
    files: BTreeMap<String, String>,
}

impl Kept {
    /// In this directory.
    pub fn new(directory: &Path) -> Self {
        Self(directory.join("law.json"))
    }

    /// The law of the ledger that lies over this gate's own, in this directory.
    pub fn of_ledger(directory: &Path) -> Self {
        Self(directory.join("ledger-law.json"))
    }

    /// The law of ConfigMaps that lies between both, in this directory.
    pub fn of_configmaps(directory: &Path) -> Self {
        Self(directory.join("configmaps-law.json"))
    }

    /// Keeps nothing any more.
    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.0.display(), %error, "the law that was kept could not be removed");
        }
    }

    /// What was kept; `None` where there is nothing, or nothing whole.
    pub fn read(&self) -> Option<Bundle> {
        let bytes = std::fs::read(&self.0).ok()?;
        let file: File = serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(file = %self.0.display(), %error, "the law that was kept cannot be read"))
            .ok()?;
        if checksum(&file.files) != file.checksum {
            tracing::warn!(file = %self.0.display(), "the law that was kept is not what was written, and is passed over");
            return None;
        }
        let files = file.files.into_iter().map(|(path, text)| (path, text.into_bytes()));
        let mut bundle = Bundle::from_files(files).ok()?;
        bundle.digest = file.digest;
        Some(bundle)
    }

    /// Keeps a bundle that is in force. Written aside and renamed, for its owner alone; a failure is told and changes nothing.
    pub fn write(&self, bundle: &Bundle) {
        let modules = bundle.modules.iter().map(|module| (module.path.clone(), module.text.clone()));
        let params =
            bundle.params.iter().map(|(id, params)| (format!("params/{id}/data.json"), params.to_string()));
        let sets = bundle
            .sets
            .iter()
            .map(|(name, set)| (format!("sets/{name}.yaml"), serde_json::to_string(set).unwrap_or_default()));
        let files: BTreeMap<String, String> = modules.chain(params).chain(sets).collect();
        let file = File { digest: bundle.digest.clone(), checksum: checksum(&files), files };
        if let Err(error) = self.replace(&file) {
            tracing::warn!(file = %self.0.display(), %error, "the law in force could not be kept for the next start");
        }
    }

    fn replace(&self, file: &File) -> std::io::Result<()> {
        if let Some(directory) = self.0.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let aside = self.0.with_extension("part");
        let mut out =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        out.write_all(&serde_json::to_vec(file)?)?;
        out.sync_all()?;
        std::fs::rename(aside, &self.0)
    }
}

fn checksum(files: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    for (path, text) in files {
        hash.update(format!("{}\0{}\0{path}{text}", path.len(), text.len()));
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        // A directory that is not there yet is made.
        let dir = home.path().join("law");
        let kept = Kept::new(&dir);
        assert!(kept.read().is_none());
        let files = [("a.rego", "package a"), ("params/a/data.yaml", "x: [1]")];
        let bundle = Bundle::from_files(files.map(|(path, text)| (path.to_owned(), text.into()))).unwrap();
        kept.write(&bundle);
        let back = kept.read().unwrap();
        assert_eq!((back.digest, back.modules, back.params), (bundle.digest, bundle.modules, bundle.params));
        let path = dir.join("law.json");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("package a", "package b")).unwrap();
        assert!(kept.read().is_none());
    }
}
