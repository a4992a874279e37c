//! What is kept encrypted: a key for each row, itself encrypted under the master key.
//!
//! AES-256-GCM both times, with the row's id as associated data: a sealed value that is moved to another row does not open.
//! The master key is in no database and no backup of one; it is a file that the operator gives (`--master-key-file`).

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Of the master key and of each row's, in bytes.
const KEY_LEN: usize = 32;

/// A file longer than this holds no key.
const FILE_BYTES_MAX: u64 = 1024;

/// The key under which rows' keys are encrypted. Neither `Debug` nor `Clone`.
pub struct MasterKey {
    key: LessSafeKey,
    fingerprint: String,
}

/// A value as it is stored: nonce, ciphertext and tag of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The value, under the row's key.
    pub value: Vec<u8>,
    /// The row's key, under the master key.
    pub dek: Vec<u8>,
}

/// Why a value is not sealed or opened.
#[derive(Debug, Error)]
pub enum SealError {
    /// The file of the key.
    #[error("--master-key-file: `{}` cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is in it.
    #[error("--master-key-file: `{}` holds no key: 32 bytes as 64 hexadecimal digits or in base64 (`openssl rand -hex 32` makes one)", .0.display())]
    NoKey(PathBuf),
    /// Whoever else may read it.
    #[error("--master-key-file: `{}` may be read by everybody; `chmod o-rwx` it", .0.display())]
    Open(PathBuf),
    /// No randomness to be had, or a value that is too long.
    #[error("a value cannot be sealed")]
    Seal,
    /// Another master key, another row, or bytes that were changed.
    #[error("a sealed value does not open with this master key")]
    Broken,
}

// === impl MasterKey ===

impl MasterKey {
    /// Reads the key's file.
    pub fn read(path: &Path) -> Result<Self, SealError> {
        use std::io::Read as _;
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |source| SealError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.permissions().mode() & 0o007 != 0 {
            return Err(SealError::Open(path.to_owned()));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let text = text.trim();
        let bytes = hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok()).unwrap_or_default();
        Self::new(&bytes).map_err(|_| SealError::NoKey(path.to_owned()))
    }

    fn new(bytes: &[u8]) -> Result<Self, SealError> {
        let hash = Sha256::new().chain_update("portcullis master key\n").chain_update(bytes).finalize();
        let fingerprint = hex::encode(hash.get(..8).unwrap_or_default());
        key(bytes).map(|key| Self { key, fingerprint }).ok_or(SealError::Seal)
    }

    /// By which a key is told from another, such as `3f0a91c2d4e5b617`. It says nothing of the key.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Seals a value for the row of this id.
    pub fn seal(&self, id: &str, value: &[u8]) -> Result<Sealed, SealError> {
        let random = SystemRandom::new();
        let mut dek = [0; KEY_LEN];
        random.fill(&mut dek).map_err(|_| SealError::Seal)?;
        let own = key(&dek).ok_or(SealError::Seal)?;
        Ok(Sealed { value: encrypt(&own, &random, id, value)?, dek: encrypt(&self.key, &random, id, &dek)? })
    }

    /// The key of the row of this id under this master key instead of `old`; `None` where it is already.
    pub fn rewrap(&self, old: &Self, id: &str, dek: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        if decrypt(&self.key, id, dek).is_ok() {
            return Ok(None);
        }
        let plain = decrypt(&old.key, id, dek)?;
        encrypt(&self.key, &SystemRandom::new(), id, &plain).map(Some)
    }

    /// Opens what was sealed for the row of this id.
    pub fn open(&self, id: &str, sealed: &Sealed) -> Result<Vec<u8>, SealError> {
        let dek = decrypt(&self.key, id, &sealed.dek)?;
        let own = key(&dek).ok_or(SealError::Broken)?;
        decrypt(&own, id, &sealed.value)
    }
}

fn key(bytes: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new)
}

/// A nonce at random is used once: a row's key encrypts one value, and the master key far fewer than 2^32.
fn encrypt(key: &LessSafeKey, random: &SystemRandom, id: &str, value: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce).map_err(|_| SealError::Seal)?;
    let mut text = value.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(id), &mut text)
        .map_err(|_| SealError::Seal)?;
    Ok(nonce.into_iter().chain(text).collect())
}

fn decrypt(key: &LessSafeKey, id: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Broken)?;
    let mut text = text.to_vec();
    let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(id), &mut text);
    opened.map(|opened| opened.to_vec()).map_err(|_| SealError::Broken)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_sealed_opens_in_its_own_row_and_nowhere_else() {
        let master = MasterKey::new(&[7; 32]).unwrap();
        let secret = b"apiVersion: v1, token: hunter2";
        let sealed = master.seal("row-1", secret).unwrap();
        assert_eq!(master.open("row-1", &sealed).unwrap(), secret);
        assert!(!sealed.value.windows(7).any(|part| part == b"hunter2"));
        assert!(master.open("row-2", &sealed).is_err(), "another row");
        assert!(MasterKey::new(&[8; 32]).unwrap().open("row-1", &sealed).is_err(), "another master key");
        for at in 0..sealed.value.len() {
            let mut changed = sealed.clone();
            changed.value[at] ^= 1;
            assert!(master.open("row-1", &changed).is_err(), "byte {at}");
        }
        assert!(master.open("row-1", &Sealed { value: vec![], dek: vec![1, 2, 3] }).is_err());
        assert_ne!(master.seal("row-1", secret).unwrap(), sealed, "never the same twice");
    }

    #[test]
    fn row_key_moves_to_another_master_key_once() {
        let [old, new, other] = [1, 2, 3].map(|byte| MasterKey::new(&[byte; 32]).unwrap());
        let sealed = old.seal("row-1", b"hunter2").unwrap();
        let dek = new.rewrap(&old, "row-1", &sealed.dek).unwrap().unwrap();
        let moved = Sealed { value: sealed.value.clone(), dek };
        assert_eq!(new.open("row-1", &moved).unwrap(), b"hunter2");
        assert!(old.open("row-1", &moved).is_err());
        assert_eq!(new.rewrap(&old, "row-1", &moved.dek).unwrap(), None, "a second time");
        assert!(other.rewrap(&new, "row-2", &moved.dek).is_err(), "another row");
        assert!(new.rewrap(&other, "row-1", &sealed.dek).is_err(), "neither key");
    }

    #[test]
    fn keys_come_from_files_that_not_everybody_may_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let put = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            MasterKey::read(&path).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(put(&"ab".repeat(32), 0o600), Ok(()));
        assert_eq!(put(&format!("{}\n", STANDARD.encode([9; 32])), 0o640), Ok(()));
        assert!(put(&"ab".repeat(31), 0o600).unwrap_err().contains("openssl rand -hex 32"));
        assert!(put("", 0o600).unwrap_err().contains("holds no key"));
        assert!(put(&"ab".repeat(32), 0o604).unwrap_err().contains("chmod"));
    }
}
