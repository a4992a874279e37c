//! A development authority and what it issues: ECDSA P-256, made anew each time, never for production.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::CertError;
use super::pair::Pair;

const DAY: Duration = Duration::from_hours(24);

/// Ten years: an authority has to outlive its leaves, or both end on one day and nothing can be rotated.
const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(3650);

/// 397 days, the most that browsers and Go's stricter friends accept of a leaf.
const LEAF_LIFETIME: Duration = DAY.saturating_mul(397);

/// Certificates begin in the past by this much, for clocks that are behind ours.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// What a leaf is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// To be served.
    Server,
    /// To be shown to a server that asks for one.
    Client,
}

/// A development authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    key_pem: String,
}

/// A leaf with its key. Not `Debug`: there is a key in it.
pub struct Issued {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
    key_pem: String,
    not_after: i64,
}

// === impl Authority ===

impl Authority {
    /// A new authority under this common name.
    pub fn new(name: &str) -> Result<Self, CertError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        // No intermediate below it: what signs is here, and nobody else may.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        lifetime(&mut params, AUTHORITY_LIFETIME);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let key_pem = key.serialize_pem();
        Ok(Self { issuer: Issuer::new(params, key), pem, key_pem })
    }

    /// Issues a leaf for these DNS names and IP addresses, for 397 days; the first is its common name too.
    pub fn issue(&self, names: &[String], purpose: Use) -> Result<Issued, CertError> {
        self.issue_for(names, purpose, LEAF_LIFETIME)
    }

    /// The same for another lifetime, which the authority's own should exceed.
    pub fn issue_for(&self, names: &[String], purpose: Use, length: Duration) -> Result<Issued, CertError> {
        let mut params = CertificateParams::new(names)?;
        if let Some(first) = names.first() {
            params.distinguished_name.push(DnType::CommonName, first);
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match purpose {
            Use::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Use::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        lifetime(&mut params, length);
        let not_after = params.not_after.unix_timestamp();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key_pem = key.serialize_pem();
        Ok(Issued { pem: certificate.pem(), der: certificate.der().clone(), key, key_pem, not_after })
    }

    /// The authority's certificate: what clients, and a webhook's `caBundle`, are given.
    pub fn cert_pem(&self) -> &str {
        &self.pem
    }

    /// Writes certificate and key, the key readable by its owner alone.
    pub fn write(&self, cert: &Path, key: &Path) -> Result<(), CertError> {
        write(cert, &self.pem, 0o644)?;
        write(key, &self.key_pem, 0o600)
    }
}

// === impl Issued ===

impl Issued {
    /// The leaf, without the authority.
    pub fn cert_pem(&self) -> &str {
        &self.pem
    }

    /// Its key, PKCS #8.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Writes certificate and key, the key readable by its owner alone.
    pub fn write(&self, cert: &Path, key: &Path) -> Result<(), CertError> {
        write(cert, &self.pem, 0o644)?;
        write(key, &self.key_pem, 0o600)
    }

    /// What rustls can serve, without a detour over files.
    pub fn pair(&self) -> Result<Pair, CertError> {
        let der = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let key = rustls::crypto::ring::sign::any_ecdsa_type(&der.into())
            .map_err(|_| CertError::Generate(rcgen::Error::KeyGenerationUnavailable))?;
        let key = rustls::sign::CertifiedKey::new(vec![self.der.clone()], key);
        Ok(Pair { key, not_after: self.not_after })
    }
}

fn lifetime(params: &mut CertificateParams, length: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now - CLOCK_SKEW + length).into();
}

/// A new file beside the old one, then a rename: a reader sees the old text or the new, never half of one,
/// and the mode holds from the first byte on.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertError> {
    let failed = |source| CertError::Write { path: path.to_owned(), source };
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    // A leftover of a run that was cut off would keep its own mode.
    let _ = fs::remove_file(&aside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    drop(file);
    fs::rename(&aside, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_for_their_owner_alone_and_files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("new/ca.crt"), dir.path().join("new/ca.key"));
        let authority = Authority::new("test authority").unwrap();
        for _ in 0..2 {
            authority.write(&cert, &key).unwrap();
        }
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&cert).unwrap(), authority.cert_pem());
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 2);
    }

    #[test]
    fn a_leaf_ends_before_its_authority_and_carries_its_names() {
        let authority = Authority::new("test authority").unwrap();
        let names = ["portcullis.portcullis-system.svc".to_owned(), "127.0.0.1".to_owned()];
        let leaf = authority.issue(&names, Use::Server).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf.der).unwrap();
        assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
        let (_, ca) = x509_parser::pem::parse_x509_pem(authority.cert_pem().as_bytes()).unwrap();
        let ca = ca.parse_x509().unwrap();
        assert!(ca.is_ca() && !parsed.is_ca());
        assert!(parsed.validity().not_after < ca.validity().not_after);
        assert_eq!(leaf.pair().unwrap().not_after, parsed.validity().not_after.timestamp());
    }
}
