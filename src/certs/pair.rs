//! A certificate and its key, as files and as what rustls signs with.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::CertError;

/// The flags that name the two files, for the sentence that says what is wrong with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// Of the certificate.
    pub cert: &'static str,
    /// Of the key.
    pub key: &'static str,
    /// Of the authorities of callers.
    pub client_ca: &'static str,
}

impl Flags {
    /// Those of the webhook.
    pub const WEBHOOK: Self = Self { cert: "--tls-cert", key: "--tls-key", client_ca: "--client-ca" };
    /// Those of the API.
    pub const API: Self = Self { cert: "--api-tls-cert", key: "--api-tls-key", client_ca: "--api-client-ca" };
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// PEM: the leaf first, then what leads to the authority.
    pub cert: PathBuf,
    /// PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
    /// Who named them.
    pub flags: Flags,
}

/// The bytes of both files, read together. Not `Debug`: there is a key in it.
#[derive(PartialEq, Eq)]
pub struct PairBytes {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// A pair that can be served.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What rustls signs with.
    pub key: CertifiedKey,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
}

// === impl PairFiles ===

impl PairFiles {
    /// Reads both files without judging them.
    pub fn read(&self) -> Result<PairBytes, CertError> {
        Ok(PairBytes { cert: read(self.flags.cert, &self.cert)?, key: read(self.flags.key, &self.key)? })
    }

    /// Judges what was read: PEM, a key that can sign, that belongs to the certificate, which is not over at `now`.
    pub fn check(&self, bytes: &PairBytes, now: jiff::Timestamp) -> Result<Pair, CertError> {
        let chain = certificates(self.flags.cert, &self.cert, &bytes.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes.key).map_err(|source| match source {
            pem::Error::NoItemsFound => {
                CertError::Missing { flag: self.flags.key, path: self.key.clone(), wanted: "private key" }
            }
            source => CertError::NotPem { flag: self.flags.key, path: self.key.clone(), source },
        })?;
        let end = not_after(self.flags.cert, &self.cert, &chain)?;
        let key = self.certify(chain, &key)?;
        if end < now {
            return Err(CertError::Expired { flag: self.flags.cert, path: self.cert.clone(), at: end });
        }
        Ok(Pair { key, not_after: end.as_second() })
    }

    fn certify(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<CertifiedKey, CertError> {
        let key = rustls::crypto::ring::sign::any_supported_type(key).map_err(|error| {
            CertError::Unusable { flag: self.flags.key, path: self.key.clone(), why: error.to_string() }
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A key that cannot tell its public half is judged by the first handshake.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(CertError::Mismatch { cert: self.cert.clone(), key: self.key.clone(), flags: self.flags })
            }
            Err(error) => Err(CertError::Unusable {
                flag: self.flags.cert,
                path: self.cert.clone(),
                why: error.to_string(),
            }),
        }
    }
}

/// Reads the file of `--client-ca` without judging it.
pub fn read_client_ca(flag: &'static str, path: &Path) -> Result<Vec<u8>, CertError> {
    read(flag, path)
}

/// The authorities that callers' certificates are checked against; `path` is for the sentence that says what is
/// wrong with them.
pub fn client_roots(flag: &'static str, path: &Path, bytes: &[u8]) -> Result<RootCertStore, CertError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(flag, path, bytes)? {
        roots.add(certificate).map_err(|error| CertError::Unusable {
            flag,
            path: path.to_owned(),
            why: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, CertError> {
    std::fs::read(path).map_err(|source| CertError::Read { flag, path: path.to_owned(), source })
}

/// All certificates of a file, at least one.
fn certificates(
    flag: &'static str,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|source| CertError::NotPem { flag, path: path.to_owned(), source })?;
    if all.is_empty() {
        return Err(CertError::Missing { flag, path: path.to_owned(), wanted: "certificate" });
    }
    Ok(all)
}

/// When the leaf ends.
fn not_after(
    flag: &'static str,
    path: &Path,
    chain: &[CertificateDer<'_>],
) -> Result<jiff::Timestamp, CertError> {
    let unusable = |why: String| CertError::Unusable { flag, path: path.to_owned(), why };
    let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).map_err(|error| unusable(error.to_string()))?;
    jiff::Timestamp::from_second(leaf.validity().not_after.timestamp())
        .map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests;
