//! Envelope encryption: each row has a data key, which is encrypted with the master key. Both use AES-256-GCM with the row id
//! as associated data, so that a value that is moved to another row does not decrypt. The master key is a file of the operator
//! (`--master-key-file`) and is in no database and no backup.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

const KEY_LEN: usize = 32;

/// A longer file cannot be a key.
const FILE_BYTES_MAX: u64 = 1024;

/// Neither `Debug` nor `Clone`, so that it is not leaked.
pub struct MasterKey {
    key: LessSafeKey,
    fingerprint: String,
}

/// Nonce, ciphertext and tag of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Encrypted with the data key.
    pub value: Vec<u8>,
    /// The data key, encrypted with the master key.
    pub dek: Vec<u8>,
}

#[derive(Debug, Error)]
pub enum EnvelopeError {
    #[error("--master-key-file: `{}` cannot be read", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("--master-key-file: `{}` holds no valid key; it must be 32 bytes as 64 hexadecimal digits or base64 (create one with `openssl rand -hex 32`)", .0.display())]
    NoKey(PathBuf),
    /// Readable by other users.
    #[error("--master-key-file: `{}` is readable by other users; run `chmod o-rwx` on it", .0.display())]
    Open(PathBuf),
    #[error("a value cannot be encrypted")]
    Seal,
    /// Another master key, another row, or modified bytes.
    #[error("an encrypted value cannot be decrypted with this master key")]
    Broken,
}

impl MasterKey {
    pub fn read(path: &Path) -> Result<Self, EnvelopeError> {
        use std::io::Read as _;
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |source| EnvelopeError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.permissions().mode() & 0o007 != 0 {
            return Err(EnvelopeError::Open(path.to_owned()));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let text = text.trim();
        let bytes = hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok()).unwrap_or_default();
        Self::new(&bytes).map_err(|_| EnvelopeError::NoKey(path.to_owned()))
    }

    fn new(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let hash = Sha256::new().chain_update("portcullis master key\n").chain_update(bytes).finalize();
        let fingerprint = hex::encode(hash.get(..8).unwrap_or_default());
        key(bytes).map(|key| Self { key, fingerprint }).ok_or(EnvelopeError::Seal)
    }

    /// Identifies a key without revealing it, such as `3f0a91c2d4e5b617`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Encrypts a value for a row.
    pub fn seal(&self, id: &str, value: &[u8]) -> Result<Sealed, EnvelopeError> {
        let random = SystemRandom::new();
        let mut dek = [0; KEY_LEN];
        random.fill(&mut dek).map_err(|_| EnvelopeError::Seal)?;
        let own = key(&dek).ok_or(EnvelopeError::Seal)?;
        Ok(Sealed { value: encrypt(&own, &random, id, value)?, dek: encrypt(&self.key, &random, id, &dek)? })
    }

    /// The data key encrypted with this master key instead of `old`; `None` if it already is.
    pub(crate) fn rewrap(&self, old: &Self, id: &str, dek: &[u8]) -> Result<Option<Vec<u8>>, EnvelopeError> {
        if decrypt(&self.key, id, dek).is_ok() {
            return Ok(None);
        }
        let plain = decrypt(&old.key, id, dek)?;
        encrypt(&self.key, &SystemRandom::new(), id, &plain).map(Some)
    }

    pub fn open(&self, id: &str, sealed: &Sealed) -> Result<Vec<u8>, EnvelopeError> {
        let dek = decrypt(&self.key, id, &sealed.dek)?;
        let own = key(&dek).ok_or(EnvelopeError::Broken)?;
        decrypt(&own, id, &sealed.value)
    }
}

fn key(bytes: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new)
}

/// Random nonces are safe: a data key encrypts one value, and the master key far fewer than 2^32.
fn encrypt(
    key: &LessSafeKey,
    random: &SystemRandom,
    id: &str,
    value: &[u8],
) -> Result<Vec<u8>, EnvelopeError> {
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce).map_err(|_| EnvelopeError::Seal)?;
    let mut text = value.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(id), &mut text)
        .map_err(|_| EnvelopeError::Seal)?;
    Ok(nonce.into_iter().chain(text).collect())
}

fn decrypt(key: &LessSafeKey, id: &str, sealed: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(EnvelopeError::Broken)?;
    let mut text = text.to_vec();
    let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(id), &mut text);
    opened.map(|opened| opened.to_vec()).map_err(|_| EnvelopeError::Broken)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn encrypted_value_decrypts_only_in_its_own_row() {
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
    fn row_key_is_rewrapped_once() {
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
    fn world_readable_key_file_is_rejected() {
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
        assert!(put("", 0o600).unwrap_err().contains("holds no valid key"));
        assert!(put(&"ab".repeat(32), 0o604).unwrap_err().contains("chmod"));
    }
}
