//! The keys that sign tokens: a directory of Ed25519 key files, reloaded while the server runs.
//!
//! Every key verifies as soon as it is read; the newest signs once it is [`SETTLE_SECONDS`] old, so a rotation needs
//! no restart and no coordination. Removing a file invalidates every token that the key signed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, EncodingKey};
use rcgen::{KeyPair, PKCS_ED25519};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// A new key only verifies for this long, several times what servers need to notice the file.
pub const SETTLE_SECONDS: i64 = 60;

/// A rotation a week for a year; more files mean a wrong directory.
const KEYS_MAX: usize = 64;

/// A PKCS #8 Ed25519 key has some 120 bytes of PEM.
const FILE_BYTES_MAX: u64 = 16 * 1024;

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("the user has no data directory for token keys; set --token-keys")]
    NoHome,
    #[error("the keys of tokens cannot be read from `{}`", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("a key of tokens cannot be written to `{}`", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("`{}` {why}", .path.display())]
    File {
        path: PathBuf,
        /// A verb and its object, for the message.
        why: &'static str,
    },
    #[error("`{}` holds no key; `portcullis token keys rotate` creates one", .0.display())]
    Empty(PathBuf),
    #[error("`{}` holds more than {KEYS_MAX} keys; remove those whose tokens have expired", .0.display())]
    TooMany(PathBuf),
    #[error("cannot generate a key")]
    Generate(#[source] rcgen::Error),
}

/// The keys of a directory as of the last successful reload.
pub struct Keys {
    dir: PathBuf,
    set: ArcSwap<KeySet>,
}

#[derive(Debug)]
pub struct KeySet {
    /// Oldest first.
    keys: Vec<Key>,
    by_kid: BTreeMap<String, usize>,
}

/// The default key directory, shared by server and command line: `keys` in the user's data directory.
pub fn default_dir() -> Result<PathBuf, KeyError> {
    let ours = directories::ProjectDirs::from("", "", "portcullis").ok_or(KeyError::NoHome)?;
    Ok(ours.data_dir().join("keys"))
}

// === impl Keys ===

impl Keys {
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        let set = KeySet::read(dir)?;
        Ok(Self { dir: dir.to_owned(), set: ArcSwap::from_pointee(set) })
    }

    /// As [`Keys::open`], but creates a first key if there is none, and returns its path.
    pub fn open_or_create(dir: &Path) -> Result<(Self, Option<PathBuf>), KeyError> {
        match Self::open(dir) {
            Err(KeyError::Empty(_)) => {}
            Err(KeyError::Read { source, path })
                if path == dir && source.kind() == std::io::ErrorKind::NotFound => {}
            done => return done.map(|keys| (keys, None)),
        }
        let created = create(dir, jiff::Timestamp::now())?;
        // Read again: another process may have created one at the same time.
        Ok((Self::open(dir)?, Some(created)))
    }

    /// Reads the directory again and returns whether the keys changed. On an error the previous keys stay.
    pub fn reload(&self) -> Result<bool, KeyError> {
        let new = KeySet::read(&self.dir)?;
        let differs = !new.keys.iter().map(Key::kid).eq(self.set.load().keys.iter().map(Key::kid));
        self.set.store(Arc::new(new));
        Ok(differs)
    }

    pub fn now(&self) -> Arc<KeySet> {
        self.set.load_full()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

// === impl KeySet ===

impl KeySet {
    /// Reads every `*.pem` of a directory. One broken file fails the reload: a missing key would silently invalidate
    /// its tokens.
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
        // In a directory that every user can write to, as for a mounted Secret, a file's owner must be checked.
        let shared = about.permissions().mode() & 0o002 != 0;
        let owner = shared.then(|| about.uid());
        let keys =
            paths.iter().map(|path| Key::parse(path, &read(path, owner)?)).collect::<Result<_, _>>()?;
        Ok(Self::of(keys))
    }

    fn of(mut keys: Vec<Key>) -> Self {
        keys.sort_by(|a, b| (a.created(), a.path()).cmp(&(b.created(), b.path())));
        let by_kid = keys.iter().enumerate().map(|(at, key)| (key.kid().to_owned(), at)).collect();
        Self { keys, by_kid }
    }

    pub fn find(&self, kid: &str) -> Option<&Key> {
        self.by_kid.get(kid).and_then(|at| self.keys.get(*at))
    }

    /// The key that signs at a time, unix seconds: the newest that is old enough, else the oldest.
    pub fn signing(&self, now: i64) -> Option<&Key> {
        let settled = |key: &&Key| key.created() <= now.saturating_sub(SETTLE_SECONDS);
        self.keys.iter().rev().find(settled).or_else(|| self.keys.first())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }

    /// The public keys as an RFC 7517 key set.
    pub fn jwks(&self) -> Json {
        let keys: Vec<Json> = self.keys.iter().map(Key::jwk).collect();
        json!({ "keys": keys })
    }
}

/// Reads a key file. Refuses files that other users can write or could have planted in a shared directory.
fn read(path: &Path, owner: Option<u32>) -> Result<Vec<u8>, KeyError> {
    let failed = |source| KeyError::Read { path: path.to_owned(), source };
    let wrong = |why| KeyError::File { path: path.to_owned(), why };
    let file = fs::File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(wrong("is no file"));
    }
    if about.permissions().mode() & 0o002 != 0 {
        return Err(wrong("can be written by every user; run `chmod 0600`"));
    }
    if !owner.is_none_or(|owner| [0, owner].contains(&about.uid())) {
        return Err(wrong("belongs to another user, in a directory that every user can write to"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong("is too long for a key"));
    }
    Ok(bytes)
}

// === impl Key ===

/// A key pair. `Debug` shows its id only.
pub struct Key {
    kid: String,
    path: PathBuf,
    created: Option<i64>,
    public: String,
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl Key {
    fn parse(path: &Path, pem: &[u8]) -> Result<Self, KeyError> {
        let wrong = |why| KeyError::File { path: path.to_owned(), why };
        let sections: Vec<_> = PrivatePkcs8KeyDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| wrong("is no PEM"))?;
        let [der] = sections.as_slice() else {
            return Err(wrong("holds not exactly one PKCS #8 key (`BEGIN PRIVATE KEY`)"));
        };
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(der, &PKCS_ED25519)
            .map_err(|_| wrong("holds no key of Ed25519"))?;
        let raw = rcgen::PublicKeyData::der_bytes(&pair);
        let public = URL_SAFE_NO_PAD.encode(raw);
        Ok(Self {
            kid: thumbprint(&public),
            path: path.to_owned(),
            created: created_in_name(path),
            signing: EncodingKey::from_ed_der(der.secret_pkcs8_der()),
            verifying: DecodingKey::from_ed_der(raw),
            public,
        })
    }

    /// The RFC 7638 thumbprint, which does not depend on the file name.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creation time, unix seconds, from the file name; a file without one counts as oldest.
    pub fn created(&self) -> i64 {
        self.created.unwrap_or(i64::MIN)
    }

    pub(crate) const fn signing(&self) -> &EncodingKey {
        &self.signing
    }

    pub const fn verifying(&self) -> &DecodingKey {
        &self.verifying
    }

    fn jwk(&self) -> Json {
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": self.public,
            "kid": self.kid, "use": "sig", "alg": "EdDSA",
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// RFC 7638 thumbprint of an Ed25519 key (RFC 8037).
fn thumbprint(x: &str) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

/// Format of the time in a file name.
const FILE_TIME: &str = "%Y%m%dT%H%M%SZ";

fn created_in_name(path: &Path) -> Option<i64> {
    let stem = path.file_stem()?.to_str()?;
    let (time, _) = stem.split_once('-')?;
    let civil = jiff::civil::DateTime::strptime(FILE_TIME, time).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// Creates a key file with mode 0600, and the directory if it is absent.
pub fn create(dir: &Path, now: Timestamp) -> Result<PathBuf, KeyError> {
    let pem = KeyPair::generate_for(&PKCS_ED25519).map_err(KeyError::Generate)?.serialize_pem();
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| KeyError::Write { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
    let kid = Key::parse(dir, pem.as_bytes())?.kid().to_owned();
    let short: String = kid.chars().take(8).collect();
    let path = dir.join(format!("{}-{short}.pem", now.strftime(FILE_TIME)));
    // Renamed into place, so that no reader sees half a key.
    let aside = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside).map_err(failed(&aside))?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(failed(&aside))?;
    drop(file);
    fs::rename(&aside, &path).map_err(failed(&path))?;
    Ok(path)
}
