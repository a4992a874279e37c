//! A CA and a server certificate, each with its private key.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use super::CLOCK_SKEW;
use crate::CertError;
use crate::pair::Pair;

/// Upper bound of X.520, in characters.
const COMMON_NAME_MAX: usize = 64;

/// A CA with its private key, hence not `Debug`.
#[derive(Clone, PartialEq)]
pub struct CertificateAuthority(Issued);

/// A server certificate with its private key, hence not `Debug`.
#[derive(Clone, PartialEq)]
pub struct ServerCertificate {
    issued: Issued,
    names: Vec<String>,
}

#[derive(Clone, PartialEq)]
struct Issued {
    pem: String,
    der: CertificateDer<'static>,
    key_pem: String,
    created: Timestamp,
    not_after: Timestamp,
}

// === impl CertificateAuthority ===

impl CertificateAuthority {
    /// A new CA. Its name contains the time, since a bundle may hold several and chains are built by name.
    pub(super) fn make(title: &str, now: Timestamp, life: Duration) -> Result<Self, CertError> {
        let mut params = CertificateParams::default();
        let title: String = title.chars().take(COMMON_NAME_MAX - "2026-01-01T00:00:00Z ".len()).collect();
        params.distinguished_name.push(DnType::CommonName, format!("{title} {now:.0}"));
        // No intermediate CA may be signed by it.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let (created, not_after) = set_validity(&mut params, now, Timestamp::MAX, life);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Ok(Self(Issued { pem, der, key_pem: key.serialize_pem(), created, not_after }))
    }

    /// Issues a certificate for these names, which ends no later than the CA.
    pub(super) fn issue(
        &self,
        names: &[String],
        now: Timestamp,
        life: Duration,
    ) -> Result<ServerCertificate, CertError> {
        let mut params = CertificateParams::new(names)?;
        // Clients check the names, so the common name may be left out.
        let first = names.first().filter(|name| name.len() <= COMMON_NAME_MAX);
        params.distinguished_name.push(DnType::CommonName, first.map_or("portcullis", |name| name));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (created, not_after) = set_validity(&mut params, now, self.0.not_after, life);
        let issuer = Issuer::from_ca_cert_der(&self.0.der, KeyPair::from_pem(&self.0.key_pem)?)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        let issued = Issued { pem, der, key_pem: key.serialize_pem(), created, not_after };
        Ok(ServerCertificate { issued, names: names.to_vec() })
    }

    pub(super) fn read(cert: &CertificateDer<'_>, key: &str) -> Result<Self, String> {
        let (issued, x509) = Issued::read(cert, key)?;
        if !x509.is_ca() {
            return Err("it is not a CA".to_owned());
        }
        let pair = KeyPair::from_pem(key).map_err(|error| error.to_string())?;
        Issuer::from_ca_cert_der(&issued.der, pair).map_err(|error| error.to_string())?;
        Ok(Self(issued))
    }

    pub fn cert_pem(&self) -> &str {
        &self.0.pem
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0.der
    }

    pub(super) fn key_pem(&self) -> &str {
        &self.0.key_pem
    }

    pub(super) fn created(&self) -> Timestamp {
        self.0.created
    }

    pub fn not_after(&self) -> Timestamp {
        self.0.not_after
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.0.is_due(now)
    }

    pub(super) fn due(&self) -> Timestamp {
        self.0.due()
    }
}

// === impl ServerCertificate ===

impl ServerCertificate {
    pub(super) fn read(cert: &CertificateDer<'_>, key: &str) -> Result<Self, String> {
        let (issued, x509) = Issued::read(cert, key)?;
        let names = x509.subject_alternative_name().map_err(|error| error.to_string())?;
        let names = names.into_iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        });
        Ok(Self { names: names.collect(), issued })
    }

    pub fn cert_pem(&self) -> &str {
        &self.issued.pem
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.issued.der
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn not_after(&self) -> Timestamp {
        self.issued.not_after
    }

    pub(super) fn key_pem(&self) -> &str {
        &self.issued.key_pem
    }

    pub(super) fn created(&self) -> Timestamp {
        self.issued.created
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.issued.is_due(now)
    }

    pub(super) fn due(&self) -> Timestamp {
        self.issued.due()
    }

    pub(super) fn pair(&self) -> Result<Pair, CertError> {
        let key = certify(&self.issued.der, &self.issued.key_pem)
            .map_err(|_| CertError::Generate(rcgen::Error::KeyGenerationUnavailable))?;
        Ok(Pair { key, not_after: self.issued.not_after.as_second() })
    }
}

// === impl Issued ===

impl Issued {
    fn read<'a>(cert: &'a CertificateDer<'_>, key: &str) -> Result<(Self, X509Certificate<'a>), String> {
        let (_, x509) = x509_parser::parse_x509_certificate(cert).map_err(|error| error.to_string())?;
        let time = |at: i64| Timestamp::from_second(at).map_err(|error| error.to_string());
        let begins = time(x509.validity().not_before.timestamp())?;
        let not_after = time(x509.validity().not_after.timestamp())?;
        certify(cert, key)?;
        let der = cert.clone().into_owned();
        let pem = pem(&der);
        let created = begins.checked_add(CLOCK_SKEW).map_err(|error| error.to_string())?;
        Ok((Self { pem, der, key_pem: key.to_owned(), created, not_after }, x509))
    }

    fn due(&self) -> Timestamp {
        // Cannot overflow: a part of a valid interval.
        let life = self.not_after.duration_since(self.created);
        self.created.saturating_add(life / 3 * 2).unwrap_or(self.not_after)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due()
    }
}

/// The pair as rustls signs with it; fails if the key belongs to another certificate.
fn certify(cert: &CertificateDer<'_>, key: &str) -> Result<CertifiedKey, String> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| error.to_string())?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    let certified = CertifiedKey::new(vec![cert.clone().into_owned()], key);
    certified.keys_match().map_err(|_| "the key does not belong to the certificate".to_owned())?;
    Ok(certified)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// PEM as rcgen writes it, so that equal certificates have equal text.
pub(super) fn pem(der: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    lines.for_each(|line| {
        pem.push_str(&line);
        pem.push('\n');
    });
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// Whole seconds, as in certificates. Returns the time of creation and the end.
fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    latest: Timestamp,
    life: Duration,
) -> (Timestamp, Timestamp) {
    let created = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let not_after = created.saturating_add(life).unwrap_or(latest).min(latest);
    let begins = created.saturating_sub(CLOCK_SKEW).unwrap_or(created);
    params.not_before = SystemTime::from(begins).into();
    params.not_after = SystemTime::from(not_after).into();
    (created, not_after)
}
