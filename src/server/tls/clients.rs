//! Which callers' certificates are believed; the authorities can be swapped while serving.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::args::ClientAuth;

/// Checks callers' certificates against the authorities of now.
pub struct Clients {
    now: ArcSwap<Verifier>,
    auth: ClientAuth,
}

struct Verifier(Arc<dyn ClientCertVerifier>);

impl Clients {
    /// Believes what these authorities vouch for.
    pub fn new(roots: RootCertStore, auth: ClientAuth) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { now: ArcSwap::from_pointee(verifier(roots)?), auth }))
    }

    /// Believes others from the next handshake on.
    pub fn swap(&self, roots: RootCertStore) -> Result<(), Error> {
        self.now.store(Arc::new(verifier(roots)?));
        Ok(())
    }
}

fn verifier(roots: RootCertStore) -> Result<Verifier, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map(Verifier)
        .map_err(|error| Error::General(error.to_string()))
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("auth", &self.auth).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.auth == ClientAuth::Required
    }

    /// None: the names would have to outlive a swap. A caller without hints shows the certificate that it has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.now.load().0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now.load().0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.now.load().0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now.load().0.supported_verify_schemes()
    }
}
