//! TLS: the certificate that is served, and the verification of client certificates.
//!
//! Both are behind an `ArcSwap`: a handshake loads each once, and a reload does not affect open connections.

pub mod reload;

use std::fmt;
use std::io;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme, version,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::args::ClientAuth;
use portcullis_certs::pair::Pair;
use portcullis_telemetry::metrics;

/// The certificate and key that are served; both can be replaced while serving.
#[derive(Debug)]
pub(crate) struct CurrentCertificate {
    current: ArcSwapOption<CertifiedKey>,
    /// The label `name` of `portcullis_certificate_expiry_timestamp_seconds`.
    name: &'static str,
}

#[derive(Clone)]
pub(super) struct Acceptor(TlsAcceptor);

// === impl CurrentCertificate ===

impl CurrentCertificate {
    /// Without a pair every handshake fails until [`CurrentCertificate::replace`].
    pub(crate) fn new(name: &'static str, pair: Option<Pair>) -> Arc<Self> {
        let current = Self { current: ArcSwapOption::empty(), name };
        if let Some(pair) = pair {
            current.replace(pair);
        }
        Arc::new(current)
    }

    /// Serves another pair from the next handshake on.
    pub(crate) fn replace(&self, pair: Pair) {
        record_expiry(self.name, &pair);
        self.current.store(Some(Arc::new(pair.key)));
    }
}

impl ResolvesServerCert for CurrentCertificate {
    /// There is one certificate, whatever the server name is.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

fn record_expiry(name: &'static str, pair: &Pair) {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 s, and a metric is a float")]
    metrics::certificate_expiry(name, pair.not_after as f64);
}

// === impl Acceptor ===

impl Acceptor {
    pub(super) fn new(
        certificate: Arc<CurrentCertificate>,
        clients: Option<Arc<ClientVerifier>>,
    ) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_client_cert_verifier(match clients {
                Some(clients) => clients,
                None => Arc::new(NoClientAuth),
            });
        let mut config = builder.with_cert_resolver(certificate);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // No resumption: kube-apiserver keeps its connections, and a resumed session would accept a client certificate whose
        // CA has been removed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Returns the socket if the handshake fails.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, (io::Error, Option<TcpStream>)> {
        let accept = self.0.accept(stream).into_fallible();
        accept.await.map_err(|(error, stream)| (error, Some(stream)))
    }
}

// === impl ClientVerifier ===

/// Verifies client certificates; the CAs can be replaced while serving.
pub(crate) struct ClientVerifier {
    current: ArcSwap<CurrentVerifier>,
    auth: ClientAuth,
}

/// `ArcSwap` needs a sized type.
struct CurrentVerifier(Arc<dyn ClientCertVerifier>);

impl ClientVerifier {
    pub(crate) fn new(roots: RootCertStore, auth: ClientAuth) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(web_pki_verifier(roots)?), auth }))
    }

    /// Verifies against other CAs from the next handshake on.
    pub(crate) fn replace(&self, roots: RootCertStore) -> Result<(), Error> {
        self.current.store(Arc::new(web_pki_verifier(roots)?));
        Ok(())
    }
}

fn web_pki_verifier(roots: RootCertStore) -> Result<CurrentVerifier, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map(CurrentVerifier)
        .map_err(|error| Error::General(error.to_string()))
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier").field("auth", &self.auth).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.auth == ClientAuth::Required
    }

    /// Empty, because the slice would have to outlive a replacement. A client without hints shows its certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.current.load().0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().0.supported_verify_schemes()
    }
}
