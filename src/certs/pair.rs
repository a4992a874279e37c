//! A certificate and its key: as files, and as rustls serves them.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::CertError;

/// The flags that name the files, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    pub cert: &'static str,
    pub key: &'static str,
    pub client_ca: &'static str,
}

impl Flags {
    pub const WEBHOOK: Self = Self { cert: "--tls-cert", key: "--tls-key", client_ca: "--client-ca" };
    pub const API: Self = Self { cert: "--api-tls-cert", key: "--api-tls-key", client_ca: "--api-client-ca" };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// PEM: the server certificate first, then its intermediates.
    pub cert: PathBuf,
    /// PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
    pub flags: Flags,
}

/// The bytes of both files; they contain a key, hence not `Debug`.
#[derive(PartialEq, Eq)]
pub struct PairBytes {
    cert: Vec<u8>,
    key: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Pair {
    pub key: CertifiedKey,
    /// Unix seconds.
    pub not_after: i64,
}

// === impl PairFiles ===

impl PairFiles {
    /// Reads both files without checking them.
    pub fn read(&self) -> Result<PairBytes, CertError> {
        Ok(PairBytes { cert: read(self.flags.cert, &self.cert)?, key: read(self.flags.key, &self.key)? })
    }

    /// Checks that the certificate is valid at `now` and that the key belongs to it.
    pub fn check(&self, bytes: &PairBytes, now: jiff::Timestamp) -> Result<Pair, CertError> {
        let chain = certificates(self.flags.cert, &self.cert, &bytes.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes.key).map_err(|source| match source {
            pem::Error::NoItemsFound => {
                CertError::Missing { flag: self.flags.key, path: self.key.clone(), missing: "private key" }
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
            // A key without a known public half is checked by the first handshake.
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

pub fn read_client_ca(flag: &'static str, path: &Path) -> Result<Vec<u8>, CertError> {
    read(flag, path)
}

/// The CAs that client certificates are checked against; `path` is for the error message.
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

fn certificates(
    flag: &'static str,
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|source| CertError::NotPem { flag, path: path.to_owned(), source })?;
    if all.is_empty() {
        return Err(CertError::Missing { flag, path: path.to_owned(), missing: "certificate" });
    }
    Ok(all)
}

fn not_after(
    flag: &'static str,
    path: &Path,
    chain: &[CertificateDer<'_>],
) -> Result<jiff::Timestamp, CertError> {
    let unusable = |why: String| CertError::Unusable { flag, path: path.to_owned(), why };
    let server_certificate = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let (_, server_certificate) = x509_parser::parse_x509_certificate(server_certificate)
        .map_err(|error| unusable(error.to_string()))?;
    jiff::Timestamp::from_second(server_certificate.validity().not_after.timestamp())
        .map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests;
