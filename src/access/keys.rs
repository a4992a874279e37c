//! The keys that sign tokens: a directory of Ed25519 keys, each in a file of its own, followed while the server runs.
//!
//! A new key is known to every server before any signs with it: a file's name begins with the time it was made, all keys
//! verify from the moment they are read, and the newest signs once it is [`SETTLE_SECONDS`] old. So a rotation needs
//! no restart, no order, and no moment at which one server's token is another's stranger. Taking a file away ends every
//! token it signed.

mod key;
mod made;

pub use key::Key;
pub use made::make;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value as Json, json};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// A new key verifies for so long before it signs: several times what servers take to notice a file.
pub const SETTLE_SECONDS: i64 = 60;

/// A rotation a week for a year; more is a directory that is something else.
const KEYS_MAX: usize = 64;

/// A PKCS #8 key of Ed25519 is some 120 bytes of PEM; what is longer is something else, with room for comments.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// What went wrong with the keys.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The user's data folder cannot be told.
    #[error("there is no home to keep the keys of tokens in; name a directory for them")]
    NoHome,
    /// The directory or a file in it cannot be read.
    #[error("the keys of tokens cannot be read from `{}`", .path.display())]
    Read {
        /// The directory, or the file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key cannot be written.
    #[error("a key of tokens cannot be written to `{}`", .path.display())]
    Write {
        /// The directory, or the file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no key, or a key that may not be used.
    #[error("`{}` {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, as a verb and its object.
        why: &'static str,
    },
    /// Nothing to sign with.
    #[error("`{}` holds no key; `portcullis token keys rotate` makes one", .0.display())]
    Empty(PathBuf),
    /// More files than any rotation leaves.
    #[error("`{}` holds more than {KEYS_MAX} keys; take away those whose tokens have ended", .0.display())]
    TooMany(PathBuf),
    /// The system has no randomness to offer.
    #[error("no key can be made")]
    Generate(#[source] rcgen::Error),
}

/// The keys of a directory, as of the last reload that went well.
pub struct Keys {
    dir: PathBuf,
    set: ArcSwap<KeySet>,
}

/// The keys of one moment.
#[derive(Debug)]
pub struct KeySet {
    /// Oldest first.
    keys: Vec<Key>,
    by_kid: BTreeMap<String, usize>,
}

/// Where keys are when nobody says otherwise: `keys` in the user's data folder. Server and command line agree on it.
pub fn default_dir() -> Result<PathBuf, KeyError> {
    let ours = directories::ProjectDirs::from("", "", "portcullis").ok_or(KeyError::NoHome)?;
    Ok(ours.data_dir().join("keys"))
}

// === impl Keys ===

impl Keys {
    /// Reads a directory that holds at least one key.
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        let set = KeySet::read(dir)?;
        Ok(Self { dir: dir.to_owned(), set: ArcSwap::from_pointee(set) })
    }

    /// The same, with a first key made where the directory is absent or holds none. Says which file was made.
    pub fn open_or_make(dir: &Path) -> Result<(Self, Option<PathBuf>), KeyError> {
        match Self::open(dir) {
            Err(KeyError::Empty(_)) => {}
            Err(KeyError::Read { source, path })
                if path == dir && source.kind() == std::io::ErrorKind::NotFound => {}
            done => return done.map(|keys| (keys, None)),
        }
        let made = make(dir, jiff::Timestamp::now())?;
        // Read again: another process may have made one at the same time, and both must know both.
        Ok((Self::open(dir)?, Some(made)))
    }

    /// Reads the directory again and says whether anything differs. What cannot be read, or holds no key, changes
    /// nothing: the keys of before stay.
    pub fn reload(&self) -> Result<bool, KeyError> {
        let new = KeySet::read(&self.dir)?;
        let differs = !new.keys.iter().map(Key::kid).eq(self.set.load().keys.iter().map(Key::kid));
        self.set.store(Arc::new(new));
        Ok(differs)
    }

    /// The keys of now.
    pub fn now(&self) -> Arc<KeySet> {
        self.set.load_full()
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

// === impl KeySet ===

impl KeySet {
    /// Reads every `*.pem` of a directory. One broken file is an error of the whole: a key that silently is not there
    /// turns its tokens away.
    fn read(dir: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read { path: dir.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.extension().is_some_and(|end| end == "pem") {
                paths.push(path);
            }
        }
        match paths.len() {
            0 => return Err(KeyError::Empty(dir.to_owned())),
            1..=KEYS_MAX => {}
            _ => return Err(KeyError::TooMany(dir.to_owned())),
        }
        let about = fs::metadata(dir).map_err(failed)?;
        // Secrets that the kubelet mounts lie in such a directory; in it, whose a file is has to be asked.
        let shared = about.permissions().mode() & 0o002 != 0;
        let owner = shared.then(|| about.uid());
        let keys =
            paths.iter().map(|path| Key::parse(path, &read(path, owner)?)).collect::<Result<_, _>>()?;
        Ok(Self::of(keys))
    }

    fn of(mut keys: Vec<Key>) -> Self {
        keys.sort_by(|a, b| (a.made(), a.path()).cmp(&(b.made(), b.path())));
        let by_kid = keys.iter().enumerate().map(|(at, key)| (key.kid().to_owned(), at)).collect();
        Self { keys, by_kid }
    }

    /// The key of this id.
    pub fn find(&self, kid: &str) -> Option<&Key> {
        self.by_kid.get(kid).and_then(|at| self.keys.get(*at))
    }

    /// The key that signs at a time, unix seconds: the newest of those that are old enough, or the oldest of all.
    pub fn signing(&self, now: i64) -> Option<&Key> {
        let settled = |key: &&Key| key.made() <= now.saturating_sub(SETTLE_SECONDS);
        self.keys.iter().rev().find(settled).or_else(|| self.keys.first())
    }

    /// Every key, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// The public keys as RFC 7517 has them: what others need to verify our tokens.
    pub fn jwks(&self) -> Json {
        let keys: Vec<Json> = self.keys.iter().map(Key::jwk).collect();
        json!({ "keys": keys })
    }
}

/// Reads a key's file. One that everybody may write holds anybody's key, and so does one that was put into a directory of
/// everybody's by somebody else than the directory's `owner`.
fn read(path: &Path, owner: Option<u32>) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::Read { path: path.to_owned(), source };
    let wrong = |why| KeyError::File { path: path.to_owned(), why };
    let file = fs::File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(wrong("is no file"));
    }
    if about.permissions().mode() & 0o002 != 0 {
        return Err(wrong("may be written by everybody; `chmod o-w` it, or better 0600"));
    }
    if !owner.is_none_or(|owner| [0, owner].contains(&about.uid())) {
        return Err(wrong("is somebody else's, in a directory that everybody may write into"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong("is too long for a key"));
    }
    Ok(bytes)
}
