//! One key: from its PEM, to its id and its public half.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use rcgen::{KeyPair, PKCS_ED25519};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::KeyError;

/// A key with both halves. Shown by its id alone.
pub struct Key {
    kid: String,
    path: PathBuf,
    made: Option<i64>,
    public: String,
    signing: EncodingKey,
    verifying: DecodingKey,
}

impl Key {
    /// Reads the one PKCS #8 key of a PEM file.
    pub(super) fn parse(path: &Path, pem: &[u8]) -> Result<Self, KeyError> {
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
            made: made(path),
            signing: EncodingKey::from_ed_der(der.secret_pkcs8_der()),
            verifying: DecodingKey::from_ed_der(raw),
            public,
        })
    }

    /// Its id: the thumbprint of RFC 7638, so that a renamed file is the same key and another key is never this one.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When it was made, unix seconds, as the name of its file says; one without a time is the oldest there is.
    pub fn made(&self) -> i64 {
        self.made.unwrap_or(i64::MIN)
    }

    /// The private half, for the room alone.
    pub(crate) const fn signing(&self) -> &EncodingKey {
        &self.signing
    }

    /// The public half.
    pub const fn verifying(&self) -> &DecodingKey {
        &self.verifying
    }

    pub(super) fn jwk(&self) -> Json {
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

/// RFC 7638 of an Ed25519 key: the members that RFC 8037 requires, in order, without spaces.
pub(super) fn thumbprint(x: &str) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

/// How the time begins a file's name.
pub(super) const TIME: &str = "%Y%m%dT%H%M%SZ";

fn made(path: &Path) -> Option<i64> {
    let stem = path.file_stem()?.to_str()?;
    let (time, _) = stem.split_once('-')?;
    let civil = jiff::civil::DateTime::strptime(TIME, time).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}
