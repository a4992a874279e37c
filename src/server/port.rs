//! A further listener with its own address, certificate and limits, such as that of the API.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use tokio::net::TcpListener;
use tower::Service;

use super::args::{ClientAuth, Timeouts};
use super::connection::{RejectionResponse, ServerContext};
use super::limits::{BodyLimits, ConnectionLimit, InflightLimit};
use super::listener::{self, Drained, ServerError, TASK_GRACE, Transport};
use super::tls::reload::{self, CertificateReloader, CheckedCertificates};
use super::tls::{Acceptor, ClientVerifier, CurrentCertificate};
use portcullis_certs::pair::PairFiles;
use portcullis_lifecycle::drain::Drain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;

#[derive(Debug, Clone)]
pub struct PortSettings {
    /// The label of its certificate in the metrics.
    pub name: &'static str,
    /// The flag of the address, for messages.
    pub flag: &'static str,
    /// Port 0 selects a free port.
    pub address: SocketAddr,
    /// Without it, plain HTTP.
    pub tls: Option<PairFiles>,
    /// CAs of client certificates. A client needs no certificate; one that another CA signed is rejected.
    pub client_ca: Option<PathBuf>,
    /// In bytes.
    pub max_body: usize,
    /// In total, and of one address.
    pub max_connections: (usize, usize),
    /// In total, and of one address.
    pub max_inflight: (usize, usize),
    pub timeouts: Timeouts,
    /// Builds the response to a rejected request.
    pub rejection_response: RejectionResponse,
}

/// The port is bound; no connection is accepted yet.
pub struct Port {
    settings: PortSettings,
    listener: TcpListener,
    address: SocketAddr,
    transport: Transport,
    reloader: Option<CertificateReloader>,
}

impl Port {
    /// Checks the certificate, if there is one, then binds the port.
    pub async fn bind(settings: PortSettings, readiness: &Readiness) -> Result<Self, ServerError> {
        let poll = settings.timeouts.reload_poll;
        let (transport, reloader) = match settings.tls.clone() {
            None => (Transport::Plain, None),
            Some(files) => {
                let condition =
                    readiness.condition(format!("certificate of {}", settings.flag), "not loaded yet");
                let files = Some(files);
                let client_ca = settings.client_ca.clone();
                let contents = reload::read(files.as_ref(), client_ca.as_deref())?;
                let CheckedCertificates { pair, roots } =
                    reload::check(files.as_ref(), client_ca.as_deref(), &contents)?;
                let expiry = pair.as_ref().map(|pair| pair.not_after);
                let certificate = CurrentCertificate::new(settings.name, pair);
                let clients =
                    roots.map(|roots| ClientVerifier::new(roots, ClientAuth::Optional)).transpose()?;
                let acceptor = Acceptor::new(certificate.clone(), clients.clone())?;
                let client_ca = client_ca.zip(clients);
                condition.good();
                let reloader = CertificateReloader {
                    files,
                    external: None,
                    contents,
                    expiry,
                    certificate,
                    client_ca,
                    condition,
                    poll,
                };
                (Transport::Tls(acceptor), Some(reloader))
            }
        };
        let (listener, address) = listener::bind(settings.flag, settings.address).await?;
        Ok(Self { settings, listener, address, transport, reloader })
    }

    /// With the actual port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn run<S>(self, service: S, drain: Drain) -> Result<Drained, ServerError>
    where
        S: Service<Request<Bytes>, Response = Response, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { settings, listener, address: _, transport, reloader } = self;
        let mut tasks = Tasks::new();
        if let Some(reloader) = reloader {
            tasks.spawn("certificate files of a port", |stop| reloader.run(stop));
        }
        let inflight = InflightLimit::new(settings.max_inflight.0, settings.max_inflight.1);
        let connection_limit = ConnectionLimit::new(settings.max_connections.0, settings.max_connections.1);
        // The owner of a body is unknown before its token is verified, so bodies are limited by address.
        let bodies = BodyLimits::new(settings.max_body, settings.timeouts, |_| None);
        let server = ServerContext::new(
            inflight,
            bodies,
            settings.timeouts,
            drain,
            false,
            settings.rejection_response,
        );
        let drained = tokio::select! {
            drained = listener::serve(listener, transport, server, connection_limit, service) => drained,
            died = tasks.died() => return Err(died.into()),
        };
        for stuck in tasks.stop(TASK_GRACE).await {
            tracing::warn!(error = %stuck, "a task of a listener failed");
        }
        Ok(drained)
    }
}
