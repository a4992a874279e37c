//! The state as the `data` of a TLS Secret, and which certificates a caller trusts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{self, CertificateAuthority, ServerCertificate};
use super::{CertificateSpec, State};
use crate::CertError;

/// The `data` of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

const SERVER_CERTIFICATE: &str = "tls.crt";
const SERVER_KEY: &str = "tls.key";
/// Every CA that callers must trust; the one of [`SIGNING_KEY`] signs.
const BUNDLE: &str = "ca.crt";
/// Private key of the signing CA.
const SIGNING_KEY: &str = "ca.key";
/// Private key of the next CA.
const NEXT_KEY: &str = "next-ca.key";
/// When the previous CAs leave the bundle.
const UNTIL: &str = "previous-until";

/// The keys that Portcullis writes; other keys are left alone.
pub const SECRET_KEYS: [&str; 6] = [SERVER_CERTIFICATE, SERVER_KEY, BUNDLE, SIGNING_KEY, NEXT_KEY, UNTIL];

/// The Secret was changed by others or is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {why}")]
pub struct SecretDamage {
    pub key: &'static str,
    /// The problem; never contains a part of the value.
    pub why: String,
}

impl State {
    pub fn secret_data(&self) -> SecretData {
        let text = |text: &str| text.as_bytes().to_vec();
        let mut parts = SecretData::from([
            (SERVER_CERTIFICATE.to_owned(), text(self.server_certificate.cert_pem())),
            (SERVER_KEY.to_owned(), text(self.server_certificate.key_pem())),
            (BUNDLE.to_owned(), text(&self.bundle())),
            (SIGNING_KEY.to_owned(), text(self.signing.key_pem())),
        ]);
        if let Some(next) = &self.next {
            parts.insert(NEXT_KEY.to_owned(), text(next.key_pem()));
        }
        if let Some(until) = self.until {
            parts.insert(UNTIL.to_owned(), text(&until.to_string()));
        }
        parts
    }

    /// Reads the stored state.
    ///
    /// # Errors
    /// A value is missing or invalid, or the values do not belong together.
    pub fn read(parts: &SecretData) -> Result<Self, SecretDamage> {
        let (signing, mut rest) = signing(parts)?;
        let next = match parts.get(NEXT_KEY) {
            Some(_) => Some(ca(parts, NEXT_KEY, &mut rest)?),
            None => None,
        };
        let until = match parts.get(UNTIL) {
            Some(_) => Some(text(parts, UNTIL)?.trim().parse().map_err(|_| not(UNTIL, "is no time"))?),
            None => None,
        };
        let server_certificate = certificates(parts, SERVER_CERTIFICATE)?;
        let server_certificate =
            server_certificate.first().ok_or_else(|| not(SERVER_CERTIFICATE, "holds no certificate"))?;
        let server_certificate = ServerCertificate::read(server_certificate, text(parts, SERVER_KEY)?)
            .map_err(|why| not(SERVER_CERTIFICATE, &format!("cannot be served: {why}")))?;
        let state = Self {
            signing,
            next,
            previous: rest.iter().map(certificate::pem).collect(),
            until,
            server_certificate,
        };
        verify_server_certificate(&state)
            .map_err(|why| not(SERVER_CERTIFICATE, &format!("is not signed by a CA in `{BUNDLE}`: {why}")))?;
        Ok(state)
    }

    /// Restores a damaged Secret as far as possible: the signing CA if its key is intact, the rest of the bundle, and
    /// a new server certificate.
    ///
    /// # Errors
    /// The signing CA cannot be restored.
    pub fn salvage(parts: &SecretData, spec: &CertificateSpec, now: Timestamp) -> Result<Self, SecretDamage> {
        let (signing, rest) = signing(parts)?;
        if signing.not_after() <= now {
            return Err(not(BUNDLE, "has expired"));
        }
        let issue = || -> Result<ServerCertificate, CertError> {
            signing.issue(&spec.names, now, spec.validity.server_certificate)
        };
        let server_certificate =
            issue().map_err(|error| not(SIGNING_KEY, &format!("does not sign: {error}")))?;
        Ok(Self {
            signing,
            next: None,
            previous: rest.iter().map(certificate::pem).collect(),
            until: None,
            server_certificate,
        })
    }
}

/// The signing CA, and the other certificates of the bundle.
fn signing(parts: &SecretData) -> Result<(CertificateAuthority, Vec<CertificateDer<'static>>), SecretDamage> {
    let mut bundle = certificates(parts, BUNDLE)?;
    Ok((ca(parts, SIGNING_KEY, &mut bundle)?, bundle))
}

/// Takes the CA of this key out of the bundle.
fn ca(
    parts: &SecretData,
    key: &'static str,
    bundle: &mut Vec<CertificateDer<'static>>,
) -> Result<CertificateAuthority, SecretDamage> {
    let text = text(parts, key)?;
    let mut why = format!("belongs to no certificate of `{BUNDLE}`");
    for (at, certificate) in bundle.iter().enumerate() {
        match CertificateAuthority::read(certificate, text) {
            Ok(found) => {
                bundle.remove(at);
                return Ok(found);
            }
            Err(flaw) if bundle.len() == 1 => why = format!("and `{BUNDLE}` do not go together: {flaw}"),
            Err(_) => {}
        }
    }
    Err(not(key, &why))
}

fn certificates(parts: &SecretData, key: &'static str) -> Result<Vec<CertificateDer<'static>>, SecretDamage> {
    let bytes = bytes(parts, key)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let all = all.map_err(|error| not(key, &format!("is no PEM: {error}")))?;
    if all.is_empty() {
        return Err(not(key, "holds no certificate"));
    }
    Ok(all)
}

fn text<'a>(parts: &'a SecretData, key: &'static str) -> Result<&'a str, SecretDamage> {
    std::str::from_utf8(bytes(parts, key)?).map_err(|_| not(key, "is no text"))
}

fn bytes<'a>(parts: &'a SecretData, key: &'static str) -> Result<&'a [u8], SecretDamage> {
    parts.get(key).map(Vec::as_slice).ok_or_else(|| not(key, "is missing"))
}

fn not(key: &'static str, why: &str) -> SecretDamage {
    SecretDamage { key, why: why.to_owned() }
}

/// Which CAs the callers trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    #[default]
    Unknown,
    /// The `caBundle` of every registered webhook, PEM. Without webhooks there is no caller to lose.
    Bundles(Vec<String>),
}

impl Trust {
    pub(super) fn includes(&self, ca: &CertificateAuthority) -> bool {
        let Self::Bundles(bundles) = self else { return false };
        let holds = |bundle: &String| {
            CertificateDer::pem_slice_iter(bundle.as_bytes())
                .filter_map(Result::ok)
                .any(|certificate| certificate == *ca.der())
        };
        bundles.iter().all(holds)
    }
}

/// Whether the server certificate is signed by a CA of the bundle, at the time of its creation; expiry is checked
/// elsewhere.
pub(super) fn verify_server_certificate(state: &State) -> Result<(), String> {
    let Some(name) = state.server_certificate.names().first() else {
        return Err("it carries no name".to_owned());
    };
    verify(&state.bundle(), state.server_certificate.der(), name, state.server_certificate.created())
}

/// The roots of a PEM bundle without expired ones: rustls does not check the expiry of roots, but Go and so
/// kube-apiserver do.
///
/// # Errors
/// The bundle is no PEM, or holds no certificate that is valid at this time.
pub fn roots(bundle: &str, at: Timestamp) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let mut over = None;
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        let (_, x509) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|error| error.to_string())?;
        if x509.validity().not_after.timestamp() <= at.as_second() {
            over = Some(x509.subject().to_string());
            continue;
        }
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match (roots.is_empty(), over) {
        (true, Some(name)) => Err(format!("the CA `{name}` has expired")),
        (true, None) => Err("it holds no certificate".to_owned()),
        _ => Ok(roots),
    }
}

/// Verifies a server certificate as a client does that trusts this bundle and connects to this name.
pub(super) fn verify(
    bundle: &str,
    server_certificate: &CertificateDer<'_>,
    name: &str,
    at: Timestamp,
) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(bundle, at)?), provider)
        .build()
        .map_err(|error| error.to_string())?;
    // A wildcard in an operator's certificate stands for any one label.
    let name = name.replacen('*', "any", 1);
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    let seconds = u64::try_from(at.as_second()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    verifier
        .verify_server_cert(server_certificate, &[], &name, &[], at)
        .map(|_| ())
        .map_err(|error| error.to_string())
}
