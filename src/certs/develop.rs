//! A development CA and the certificates that it issues: ECDSA P-256, created at each start, never for production.

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

/// Ten years: a CA must outlive the certificates that it signs.
const CA_LIFETIME: Duration = DAY.saturating_mul(3650);

/// 397 days, the longest validity that browsers accept.
const CERTIFICATE_LIFETIME: Duration = DAY.saturating_mul(397);

/// Certificates start this much in the past, for clients whose clocks are slow.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Server,
    Client,
}

pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    key_pem: String,
}

/// A certificate with its private key, hence not `Debug`.
pub struct Issued {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
    key_pem: String,
    not_after: i64,
}

// === impl CertificateAuthority ===

impl CertificateAuthority {
    pub fn new(name: &str) -> Result<Self, CertError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        // No intermediate CA may be signed by it.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        lifetime(&mut params, CA_LIFETIME);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let key_pem = key.serialize_pem();
        Ok(Self { issuer: Issuer::new(params, key), pem, key_pem })
    }

    /// Issues a certificate for these DNS names and IP addresses, valid for 397 days. The first name is the common
    /// name.
    pub fn issue(&self, names: &[String], purpose: Use) -> Result<Issued, CertError> {
        self.issue_for(names, purpose, CERTIFICATE_LIFETIME)
    }

    /// As [`Self::issue`], with another validity.
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

    /// The CA certificate for clients and for a webhook's `caBundle`.
    pub fn cert_pem(&self) -> &str {
        &self.pem
    }

    /// Writes certificate and key; the key file has mode 0600.
    pub fn write(&self, cert: &Path, key: &Path) -> Result<(), CertError> {
        write(cert, &self.pem, 0o644)?;
        write(key, &self.key_pem, 0o600)
    }
}

// === impl Issued ===

impl Issued {
    /// The certificate without its CA.
    pub fn cert_pem(&self) -> &str {
        &self.pem
    }

    /// The private key, PKCS #8.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Writes certificate and key; the key file has mode 0600.
    pub fn write(&self, cert: &Path, key: &Path) -> Result<(), CertError> {
        write(cert, &self.pem, 0o644)?;
        write(key, &self.key_pem, 0o600)
    }

    /// The pair as rustls serves it.
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

/// Writes a new file and renames it, so that a reader never sees half a file and the mode holds from the start.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertError> {
    let failed = |source| CertError::Write { path: path.to_owned(), source };
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    // A file left over from an interrupted run would keep its own mode.
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
        let ca = CertificateAuthority::new("test CA").unwrap();
        for _ in 0..2 {
            ca.write(&cert, &key).unwrap();
        }
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&cert).unwrap(), ca.cert_pem());
        assert_eq!(fs::read_dir(dir.path().join("new")).unwrap().count(), 2);
    }

    #[test]
    fn certificate_expires_before_its_ca_and_has_its_names() {
        let ca = CertificateAuthority::new("test CA").unwrap();
        let names = ["portcullis.portcullis-system.svc".to_owned(), "127.0.0.1".to_owned()];
        let server_certificate = ca.issue(&names, Use::Server).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&server_certificate.der).unwrap();
        assert_eq!(parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
        let (_, ca_pem) = x509_parser::pem::parse_x509_pem(ca.cert_pem().as_bytes()).unwrap();
        let ca_x509 = ca_pem.parse_x509().unwrap();
        assert!(ca_x509.is_ca() && !parsed.is_ca());
        assert!(parsed.validity().not_after < ca_x509.validity().not_after);
        assert_eq!(server_certificate.pair().unwrap().not_after, parsed.validity().not_after.timestamp());
    }
}
