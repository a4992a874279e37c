//! A new key, on disk.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rcgen::{KeyPair, PKCS_ED25519};

use super::KeyError;
use super::key::{Key, TIME};

/// Makes a key and writes it into the directory, for its owner's eyes; the directory too is made where it is absent.
pub fn make(dir: &Path, now: Timestamp) -> Result<PathBuf, KeyError> {
    let pem = KeyPair::generate_for(&PKCS_ED25519).map_err(KeyError::Generate)?.serialize_pem();
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| KeyError::Write { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
    let kid = Key::parse(dir, pem.as_bytes())?.kid().to_owned();
    let short: String = kid.chars().take(8).collect();
    let path = dir.join(format!("{}-{short}.pem", now.strftime(TIME)));
    // Whole from the first moment: a reader that comes in between would find half a key and refuse them all.
    let aside = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(failed(&aside))?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(failed(&aside))?;
    drop(file);
    std::fs::rename(&aside, &path).map_err(failed(&path))?;
    Ok(path)
}
