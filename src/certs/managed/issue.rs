//! An authority and a leaf, each with its key, as PEM and as what signs.

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

/// X.520's bound, in characters.
const COMMON_NAME_MAX: usize = 64;

/// Who may sign. Not `Debug`: there is a key in it.
#[derive(Clone, PartialEq)]
pub struct Authority(Issued);

/// What may be served. Not `Debug`: there is a key in it.
#[derive(Clone, PartialEq)]
pub struct Leaf {
    issued: Issued,
    names: Vec<String>,
}

/// A certificate and its key, which belong together.
#[derive(Clone, PartialEq)]
struct Issued {
    pem: String,
    der: CertificateDer<'static>,
    key_pem: String,
    made: Timestamp,
    ends: Timestamp,
}

// === impl Authority ===

impl Authority {
    /// A new one. The time is in its name: a bundle may hold several, and chains are built by name.
    pub(super) fn make(title: &str, now: Timestamp, life: Duration) -> Result<Self, CertError> {
        let mut params = CertificateParams::default();
        let title: String = title.chars().take(COMMON_NAME_MAX - "2026-01-01T00:00:00Z ".len()).collect();
        params.distinguished_name.push(DnType::CommonName, format!("{title} {now:.0}"));
        // No intermediate below it: what signs is here, and nobody else may.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let (made, ends) = live(&mut params, now, Timestamp::MAX, life);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Ok(Self(Issued { pem, der, key_pem: key.serialize_pem(), made, ends }))
    }

    /// A leaf for these DNS names and addresses. It ends with the authority at the latest.
    pub(super) fn issue(&self, names: &[String], now: Timestamp, life: Duration) -> Result<Leaf, CertError> {
        let mut params = CertificateParams::new(names)?;
        // Nobody reads it: clients look at the names.
        let first = names.first().filter(|name| name.len() <= COMMON_NAME_MAX);
        params.distinguished_name.push(DnType::CommonName, first.map_or("portcullis", |name| name));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (made, ends) = live(&mut params, now, self.0.ends, life);
        let issuer = Issuer::from_ca_cert_der(&self.0.der, KeyPair::from_pem(&self.0.key_pem)?)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        let issued = Issued { pem, der, key_pem: key.serialize_pem(), made, ends };
        Ok(Leaf { issued, names: names.to_vec() })
    }

    /// Reads one that was kept.
    pub(super) fn read(cert: &CertificateDer<'_>, key: &str) -> Result<Self, String> {
        let (issued, x509) = Issued::read(cert, key)?;
        if !x509.is_ca() {
            return Err("it may not sign, for it is no authority".to_owned());
        }
        let pair = KeyPair::from_pem(key).map_err(|error| error.to_string())?;
        Issuer::from_ca_cert_der(&issued.der, pair).map_err(|error| error.to_string())?;
        Ok(Self(issued))
    }

    /// The certificate.
    pub fn cert_pem(&self) -> &str {
        &self.0.pem
    }

    /// The certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0.der
    }

    pub(super) fn key_pem(&self) -> &str {
        &self.0.key_pem
    }

    pub(super) fn made(&self) -> Timestamp {
        self.0.made
    }

    /// When it ends.
    pub fn ends(&self) -> Timestamp {
        self.0.ends
    }

    /// Two thirds of its life are over.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.0.is_due(now)
    }

    pub(super) fn due(&self) -> Timestamp {
        self.0.due()
    }
}

// === impl Leaf ===

impl Leaf {
    /// Reads one that was kept.
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

    /// The certificate.
    pub fn cert_pem(&self) -> &str {
        &self.issued.pem
    }

    /// The certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.issued.der
    }

    /// The DNS names and addresses in it.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it ends.
    pub fn ends(&self) -> Timestamp {
        self.issued.ends
    }

    pub(super) fn key_pem(&self) -> &str {
        &self.issued.key_pem
    }

    pub(super) fn made(&self) -> Timestamp {
        self.issued.made
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
        Ok(Pair { key, not_after: self.issued.ends.as_second() })
    }
}

// === impl Issued ===

impl Issued {
    fn read<'a>(cert: &'a CertificateDer<'_>, key: &str) -> Result<(Self, X509Certificate<'a>), String> {
        let (_, x509) = x509_parser::parse_x509_certificate(cert).map_err(|error| error.to_string())?;
        let time = |at: i64| Timestamp::from_second(at).map_err(|error| error.to_string());
        let begins = time(x509.validity().not_before.timestamp())?;
        let ends = time(x509.validity().not_after.timestamp())?;
        certify(cert, key)?;
        let der = cert.clone().into_owned();
        let pem = pem(&der);
        let made = begins.checked_add(CLOCK_SKEW).map_err(|error| error.to_string())?;
        Ok((Self { pem, der, key_pem: key.to_owned(), made, ends }, x509))
    }

    fn due(&self) -> Timestamp {
        // Halves and quotients of times that fit do fit.
        let life = self.ends.duration_since(self.made);
        self.made.saturating_add(life / 3 * 2).unwrap_or(self.ends)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due()
    }
}

/// What rustls signs with; a key of another certificate is a flaw.
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

/// As rcgen writes it, whatever it was read from.
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

/// Whole seconds, as certificates count; the time it is made, and the time it ends.
fn live(
    params: &mut CertificateParams,
    now: Timestamp,
    latest: Timestamp,
    life: Duration,
) -> (Timestamp, Timestamp) {
    let made = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let ends = made.saturating_add(life).unwrap_or(latest).min(latest);
    let begins = made.saturating_sub(CLOCK_SKEW).unwrap_or(made);
    params.not_before = SystemTime::from(begins).into();
    params.not_after = SystemTime::from(ends).into();
    (made, ends)
}
