//! The last good policies on disk, so that the gate can start while the newest policies do not load.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Bundle;

/// A file with the policies that were last in force.
#[derive(Debug, Clone)]
pub struct LastGoodPolicies(PathBuf);

#[derive(Serialize, Deserialize)]
struct File {
    digest: String,
    checksum: String,
    files: BTreeMap<String, String>,
}

impl LastGoodPolicies {
    /// The merged policies: `policies.json` in this directory.
    pub fn new(directory: &Path) -> Self {
        Self(directory.join("policies.json"))
    }

    /// The ledger's layer alone: `ledger-policies.json`.
    pub fn of_ledger(directory: &Path) -> Self {
        Self(directory.join("ledger-policies.json"))
    }

    /// The ConfigMaps' layer alone: `configmap-policies.json`.
    pub fn of_configmaps(directory: &Path) -> Self {
        Self(directory.join("configmap-policies.json"))
    }

    pub(crate) fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.0.display(), %error, "the saved policies could not be removed");
        }
    }

    /// The saved bundle; `None` where there is no file, or its checksum does not fit.
    pub fn read(&self) -> Option<Bundle> {
        let bytes = std::fs::read(&self.0).ok()?;
        let file: File = serde_json::from_slice(&bytes)
            .inspect_err(
                |error| tracing::warn!(file = %self.0.display(), %error, "the saved policies cannot be read"),
            )
            .ok()?;
        if checksum(&file.files) != file.checksum {
            tracing::warn!(file = %self.0.display(), "the checksum of the saved policies does not fit their files; they are skipped");
            return None;
        }
        let files = file.files.into_iter().map(|(path, text)| (path, text.into_bytes()));
        let mut bundle = Bundle::from_files(files).ok()?;
        bundle.digest = file.digest;
        Some(bundle)
    }

    /// Saves a bundle that is in force, with mode 0600. A failure is logged and changes nothing.
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
            tracing::warn!(file = %self.0.display(), %error, "the policies in force could not be saved for the next start");
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
    fn saved_policies_are_read_back_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("cache");
        let last_good = LastGoodPolicies::new(&dir);
        assert!(last_good.read().is_none());
        let files = [("a.rego", "package a"), ("params/a/data.yaml", "x: [1]")];
        let bundle = Bundle::from_files(files.map(|(path, text)| (path.to_owned(), text.into()))).unwrap();
        last_good.write(&bundle);
        let back = last_good.read().unwrap();
        assert_eq!((back.digest, back.modules, back.params), (bundle.digest, bundle.modules, bundle.params));
        let path = dir.join("policies.json");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("package a", "package b")).unwrap();
        assert!(last_good.read().is_none());
    }
}
