//! Who trusts whom: what callers are seen to trust, and whether a bundle vouches for a leaf.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::{Authority, State};

/// What those who call are seen to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// It cannot be seen.
    #[default]
    Unknown,
    /// Each registered webhook trusts these certificates, PEM. Nothing registered is nobody who could be lost.
    Bundles(Vec<String>),
}

impl Trust {
    /// Everybody trusts this authority.
    pub(super) fn includes(&self, authority: &Authority) -> bool {
        let Self::Bundles(bundles) = self else { return false };
        let holds = |bundle: &String| {
            CertificateDer::pem_slice_iter(bundle.as_bytes())
                .filter_map(Result::ok)
                .any(|certificate| certificate == *authority.der())
        };
        bundles.iter().all(holds)
    }
}

/// Whether the bundle vouches for the leaf at the time at which the leaf was made; whether it is over is another question.
pub(super) fn vouched(state: &State) -> Result<(), String> {
    let Some(name) = state.leaf.names().first() else {
        return Err("it carries no name".to_owned());
    };
    verify(&state.bundle(), state.leaf.der(), name, state.leaf.made())
}

/// What a caller with this PEM bundle builds chains to. One that is over is left out: rustls asks no root for its time, and
/// Go, in which kube-apiserver is written, does.
///
/// # Errors
/// A sentence: it is no PEM, holds what is no certificate, or nothing that is good at this time.
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
        (true, Some(name)) => Err(format!("the authority `{name}` has expired")),
        (true, None) => Err("it holds no certificate".to_owned()),
        _ => Ok(roots),
    }
}

/// Verifies a leaf as a caller would, who trusts this PEM bundle and knows us by this name.
pub(super) fn verify(
    bundle: &str,
    leaf: &CertificateDer<'_>,
    name: &str,
    at: Timestamp,
) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(bundle, at)?), provider)
        .build()
        .map_err(|error| error.to_string())?;
    // An operator may have a wildcard in a leaf of her own; it stands for any one label.
    let name = name.replacen('*', "any", 1);
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    let seconds = u64::try_from(at.as_second()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    verifier.verify_server_cert(leaf, &[], &name, &[], at).map(|_| ()).map_err(|error| error.to_string())
}
