//! TLS: the key that is served now, who may call, and the acceptor made of both.
//!
//! Both are behind an `ArcSwap`: a handshake loads each once, a reload swaps them, and connections that are
//! already there go on with what they began with.

pub mod clients;
pub mod keeper;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::clients::Clients;
use portcullis_certs::pair::Pair;
use portcullis_telemetry::metrics;

/// The certificate and key that are served now.
#[derive(Debug)]
pub struct Keys {
    current: ArcSwapOption<CertifiedKey>,
    /// The label of its expiry in the metrics.
    name: &'static str,
}

/// Shakes hands with the current key.
#[derive(Clone)]
pub(super) struct Acceptor(TlsAcceptor);

// === impl Keys ===

impl Keys {
    /// Serves this pair from the first handshake on; without one every handshake fails until [`Keys::swap`]. `name`
    /// stands for it in the metrics.
    pub fn new(name: &'static str, pair: Option<Pair>) -> Arc<Self> {
        let keys = Self { current: ArcSwapOption::empty(), name };
        if let Some(pair) = pair {
            keys.swap(pair);
        }
        Arc::new(keys)
    }

    /// Serves another pair from the next handshake on.
    pub fn swap(&self, pair: Pair) {
        expiry(self.name, &pair);
        self.current.store(Some(Arc::new(pair.key)));
    }
}

impl ResolvesServerCert for Keys {
    /// There is one certificate, so whatever the client calls us gets it.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }
}

fn expiry(name: &'static str, pair: &Pair) {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 s, and a metric is a float")]
    metrics::certificate_expiry(name, pair.not_after as f64);
}

// === impl Acceptor ===

impl Acceptor {
    pub(super) fn new(keys: Arc<Keys>, clients: Option<Arc<Clients>>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_client_cert_verifier(match clients {
                Some(clients) => clients,
                None => Arc::new(NoClientAuth),
            });
        let mut config = builder.with_cert_resolver(keys);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // No resumption: kube-apiserver keeps connections rather than sessions, and a resumed session would carry
        // a client certificate past the authority that has since been taken away.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Hands the socket back where there is no TLS to be had on it.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, (io::Error, Option<TcpStream>)> {
        let accept = self.0.accept(stream).into_fallible();
        accept.await.map_err(|(error, stream)| (error, Some(stream)))
    }
}
