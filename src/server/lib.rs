//! The server: TLS, connections, limits, probes and metrics.
//!
//! `listener` accepts connections, `connection` serves their requests, `limits` bounds both. The service is a
//! [`tower::Service`]; this crate does not know reviews. [`ServerArgs::bind`] checks the configuration and binds the ports;
//! [`Bound::run`] serves until the drain is over.

mod admin;
pub mod args;
mod connection;
mod idle_timeout;
pub mod limits;
mod listener;
mod port;
pub mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use rustls::RootCertStore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::Service;

pub use self::admin::Pages;
pub use self::args::{ClientAuth, ServerArgs, Timeouts};
pub use self::connection::{Arrival, Peer, RejectionResponse};
pub use self::listener::{Drained, ServerError};
pub use self::port::{Port, PortSettings};

use self::admin::Admin;
use self::connection::{ServerContext, plain_text_rejection};
use self::limits::{BodyLimits, BodyOwner, ConnectionLimit, InflightLimit};
use self::listener::{TASK_GRACE, Transport};
use self::tls::reload::{self, CertificateFiles, CertificateReloader, CheckedCertificates, ExternalPairs};
use self::tls::{Acceptor, ClientVerifier, CurrentCertificate};
use portcullis_certs::develop::{CertificateAuthority, Use};
use portcullis_certs::pair::{Flags, Pair, PairFiles};
use portcullis_lifecycle::drain::Drain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;
use portcullis_telemetry::metrics;

const ADMIN_CONNECTIONS: usize = 256;

/// The ports are bound; no connection is accepted yet.
pub struct Bound {
    args: ServerArgs,
    readiness: Readiness,
    webhook: (TcpListener, SocketAddr),
    admin: (TcpListener, SocketAddr),
    acceptor: Acceptor,
    reloader: CertificateReloader,
    development_ca: Option<String>,
}

/// The admin port of a process without a webhook.
pub struct Probes {
    listener: TcpListener,
    address: SocketAddr,
    timeouts: Timeouts,
    readiness: Readiness,
}

/// The server certificate and the CAs of client certificates.
struct Credentials {
    /// None until an external pair exists.
    pair: Option<Pair>,
    roots: Option<RootCertStore>,
    files: Option<PairFiles>,
    contents: CertificateFiles,
    development_ca: Option<String>,
}

// === impl ServerArgs ===

impl ServerArgs {
    /// Binds only the admin port, for a process without a webhook.
    pub async fn bind_probes(self, readiness: &Readiness) -> Result<Probes, ServerError> {
        let (listener, address) = listener::bind("--admin", self.admin).await?;
        Ok(Probes { listener, address, timeouts: self.timeouts, readiness: readiness.clone() })
    }

    /// Checks the certificates, then binds both ports. The readiness condition `certificate` fails until there is one.
    /// `external` takes precedence over the flags.
    pub async fn bind(
        self,
        readiness: &Readiness,
        external: Option<ExternalPairs>,
    ) -> Result<Bound, ServerError> {
        let condition = readiness.condition("certificate", "no certificate yet");
        let Credentials { pair, roots, files, contents, development_ca } =
            self.credentials(external.as_ref())?;
        self.report_client_verification(readiness);
        let expiry = pair.as_ref().map(|pair| pair.not_after);
        let certificate = CurrentCertificate::new("serving", pair);
        let clients = roots.map(|roots| ClientVerifier::new(roots, self.client_auth)).transpose()?;
        let acceptor = Acceptor::new(certificate.clone(), clients.clone())?;
        let webhook = listener::bind("--listen", self.listen).await?;
        let admin = listener::bind("--admin", self.admin).await?;
        if expiry.is_some() {
            condition.good();
        }
        let client_ca = self.client_ca.clone().zip(clients);
        let poll = self.timeouts.reload_poll;
        let reloader = CertificateReloader {
            files,
            external,
            contents,
            expiry,
            certificate,
            client_ca,
            condition,
            poll,
        };
        let readiness = readiness.clone();
        Ok(Bound { args: self, readiness, webhook, admin, acceptor, reloader, development_ca })
    }

    /// Reports the mode in `/readyz` and as a metric. `off` does not fail readiness, because a network policy may be enough.
    fn report_client_verification(&self, readiness: &Readiness) {
        let condition = readiness.condition("callers", "not known yet");
        let (mode, caveat) = match (&self.client_ca, self.client_auth) {
            (Some(_), ClientAuth::Required) => ("required", None),
            (Some(_), ClientAuth::Optional) => ("optional", Some("--client-auth is optional")),
            (None, _) => ("off", Some("--client-ca is not set")),
        };
        metrics::client_verification(mode);
        match caveat {
            None => condition.good(),
            Some(flag) => {
                condition.good_but(format!("{flag}: every client that reaches the webhook port can call it"))
            }
        };
    }

    fn credentials(&self, external: Option<&ExternalPairs>) -> Result<Credentials, ServerError> {
        let pair = self.tls_cert.clone().zip(self.tls_key.clone()).filter(|_| external.is_none());
        let files = pair.map(|(cert, key)| PairFiles { cert, key, flags: Flags::WEBHOOK });
        let client_ca = self.client_ca.as_deref();
        let contents = reload::read(files.as_ref(), client_ca)?;
        let CheckedCertificates { pair, roots } = reload::check(files.as_ref(), client_ca, &contents)?;
        if let Some(external) = external {
            let pair = external.borrow().clone();
            return Ok(Credentials { pair, roots, files, contents, development_ca: None });
        }
        if pair.is_some() {
            return Ok(Credentials { pair, roots, files, contents, development_ca: None });
        }
        if !self.listen.ip().is_loopback() {
            return Err(ServerError::NoCertificate(self.listen));
        }
        let ca = CertificateAuthority::new("Portcullis development CA")?;
        let names = ["localhost".to_owned(), self.listen.ip().to_string()];
        let pair = Some(ca.issue(&names, Use::Server)?.pair()?);
        let development_ca = Some(ca.cert_pem().to_owned());
        Ok(Credentials { pair, roots, files, contents, development_ca })
    }
}

// === impl Bound ===

impl Bound {
    /// With the actual port.
    pub fn webhook_address(&self) -> SocketAddr {
        self.webhook.1
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin.1
    }

    /// The PEM of the CA of the development certificate, if one was generated.
    pub fn development_ca(&self) -> Option<&str> {
        self.development_ca.as_deref()
    }

    /// Serves until the drain is over; probes are answered until the end. `owner` returns the owner of a large body.
    pub async fn run<S>(
        self,
        service: S,
        owner: BodyOwner,
        pages: Pages,
        drain: Drain,
    ) -> Result<Drained, ServerError>
    where
        S: Service<Request<Bytes>, Response = Response, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { args, readiness, webhook, admin, acceptor, reloader, development_ca: _ } = self;
        let mut tasks = Tasks::new();
        let timeouts = args.timeouts;
        tasks.spawn("probes", |stop| serve_admin(admin.0, Admin::new(readiness, pages), timeouts, stop));
        tasks.spawn("certificate files", |stop| reloader.run(stop));
        let inflight = InflightLimit::new(args.max_inflight.get(), args.max_inflight_per_address.get());
        let connection_limit =
            ConnectionLimit::new(args.max_connections.get(), args.max_connections_per_address.get());
        let bodies = BodyLimits::new(args.max_body.0, timeouts, owner);
        let server = ServerContext::new(inflight, bodies, timeouts, drain, true, plain_text_rejection);
        let drained = tokio::select! {
            drained = listener::serve(webhook.0, Transport::Tls(acceptor), server, connection_limit, service) => drained,
            died = tasks.died() => return Err(died.into()),
        };
        for stuck in tasks.stop(TASK_GRACE).await {
            tracing::warn!(error = %stuck, "a task of the server failed");
        }
        Ok(drained)
    }
}

// === impl Probes ===

impl Probes {
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled.
    pub async fn run(self, pages: Pages, stop: CancellationToken) -> Result<(), Infallible> {
        serve_admin(self.listener, Admin::new(self.readiness, pages), self.timeouts, stop).await
    }
}

/// The admin listener; its drain begins after that of the webhook.
async fn serve_admin(
    listener: TcpListener,
    admin: Admin,
    timeouts: Timeouts,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let drain = Drain::new(TASK_GRACE / 2);
    let inflight = InflightLimit::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS);
    let connection_limit = ConnectionLimit::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS);
    // Admin requests have no body.
    let bodies = BodyLimits::new(0, timeouts, |_| None);
    let server = ServerContext::new(inflight, bodies, timeouts, drain.clone(), false, plain_text_rejection);
    let serve = listener::serve(listener, Transport::Plain, server, connection_limit, admin);
    let mut serve = std::pin::pin!(serve);
    tokio::select! {
        _ = &mut serve => {}
        () = stop.cancelled() => {
            drain.stop();
            serve.await;
        }
    }
    Ok(())
}
