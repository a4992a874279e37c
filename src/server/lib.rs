//! The door: accepts bytes over TLS, bounds them, answers probes.
//!
//! ```text
//!            listener ── limits: connections, of one address
//!               │
//!            handshake ─ TLS with the key of now; plain HTTP is told so; garbage gets an alert
//!               │
//!            connection ─ the whole body, within bounds of time and memory ─── 413, 408, 400, 503
//!               │         limits: requests in flight of one address, of all ── 503
//!               │
//!            the service
//! ```
//!
//! [`ServerArgs::bind`] checks everything that can be wrong and then takes the ports; [`Bound::run`] serves until the
//! drain is over. What is served is handed in: this room knows bytes, time and certificates, not reviews.

pub mod admin;
pub mod args;
mod connection;
mod handshake;
pub mod limits;
pub mod listener;
pub mod port;
mod pulse;
mod sending;
pub mod tls;
pub mod units;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use rustls::RootCertStore;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::Service;

pub use self::admin::Pages;
pub use self::args::{ClientAuth, ServerArgs, Timeouts};
pub use self::connection::{Arrival, Peer, Refuse};
pub use self::listener::Drained;
pub use self::port::{Port, PortSettings};

use self::admin::Admin;
use self::connection::{House, refuse_in_words};
use self::limits::{BodyLimits, Callers, Inflight, Owner};
use self::listener::Door;
use self::tls::clients::Clients;
use self::tls::keeper::{self, Checked, Handed, Keeper, Seen};
use self::tls::{Acceptor, Keys};
use portcullis_certs::CertError;
use portcullis_certs::develop::{Authority, Use};
use portcullis_certs::pair::{Flags, Pair, PairFiles};
use portcullis_lifecycle::drain::Drain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::{Died, Tasks};
use portcullis_telemetry::metrics;

/// Probes of a kubelet and a handful of scrapers; a page is made in microseconds.
const ADMIN_CONNECTIONS: usize = 256;

/// How long a background task may take to notice that it is over: both wait on nothing but their token.
const TASK_GRACE: Duration = Duration::from_secs(1);

/// The ports are taken, nothing is accepted yet.
pub struct Bound {
    args: ServerArgs,
    readiness: Readiness,
    webhook: (TcpListener, SocketAddr),
    admin: (TcpListener, SocketAddr),
    acceptor: Acceptor,
    keeper: Keeper,
    development_ca: Option<String>,
}

/// The port of the probes, in a process without a webhook.
pub struct Probes {
    listener: TcpListener,
    address: SocketAddr,
    timeouts: Timeouts,
    readiness: Readiness,
}

/// What is served, and whom it trusts.
struct Credentials {
    /// Absent until one is handed in.
    pair: Option<Pair>,
    roots: Option<RootCertStore>,
    files: Option<PairFiles>,
    seen: Seen,
    development_ca: Option<String>,
}

/// Why the server cannot start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Anybody could be on the other side, and a made-up certificate would convince nobody.
    #[error(
        "--tls-cert and --tls-key are missing, and a development certificate is served on a loopback address only, \
         which `{0}` of --listen is not"
    )]
    NoCertificate(SocketAddr),
    /// A certificate, a key or an authority is no good.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// rustls refuses what was put together.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The port is taken, or not ours to take.
    #[error("cannot listen on `{address}` of {flag}")]
    Bind {
        /// The flag that named the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The system gives no threads for reviews that take long.
    #[error("cannot start the threads for large reviews")]
    Threads(#[source] io::Error),
    /// A task of the server ended while it was serving.
    #[error(transparent)]
    Died(#[from] Died),
}

// === impl ServerArgs ===

impl ServerArgs {
    /// Takes the port of the probes alone, for a process without a webhook.
    pub async fn bind_probes(self, readiness: &Readiness) -> Result<Probes, ServerError> {
        let (listener, address) = listen("--admin", self.admin).await?;
        Ok(Probes { listener, address, timeouts: self.timeouts, readiness: readiness.clone() })
    }

    /// Checks certificates, then takes both ports. Registers the readiness condition `certificate`, which is bad until
    /// there is one. What is handed in goes before every flag.
    pub async fn bind(self, readiness: &Readiness, handed: Option<Handed>) -> Result<Bound, ServerError> {
        let condition = readiness.condition("certificate", "none was handed in yet");
        let Credentials { pair, roots, files, seen, development_ca } = self.credentials(handed.as_ref())?;
        self.tell_verification(readiness);
        let end = pair.as_ref().map(|pair| pair.not_after);
        let keys = Keys::new("serving", pair);
        let clients = roots.map(|roots| Clients::new(roots, self.client_auth)).transpose()?;
        let acceptor = Acceptor::new(keys.clone(), clients.clone())?;
        let webhook = listen("--listen", self.listen).await?;
        let admin = listen("--admin", self.admin).await?;
        if end.is_some() {
            condition.good();
        }
        let client_ca = self.client_ca.clone().zip(clients);
        let poll = self.timeouts.reload_poll;
        let keeper = Keeper { files, handed, seen, end, keys, client_ca, condition, poll };
        let readiness = readiness.clone();
        Ok(Bound { args: self, readiness, webhook, admin, acceptor, keeper, development_ca })
    }

    /// Says how callers are verified, in `/readyz` and as a metric. It is no failure: behind a network policy it is enough.
    fn tell_verification(&self, readiness: &Readiness) {
        let callers = readiness.condition("callers", "not known yet");
        let (mode, caveat) = match (&self.client_ca, self.client_auth) {
            (Some(_), ClientAuth::Required) => ("required", None),
            (Some(_), ClientAuth::Optional) => ("optional", Some("--client-auth is optional")),
            (None, _) => ("off", Some("--client-ca is not set")),
        };
        metrics::client_verification(mode);
        match caveat {
            None => callers.good(),
            Some(flag) => callers.good_but(format!(
                "{flag}: everybody who reaches the webhook port can pass for an API server"
            )),
        };
    }

    fn credentials(&self, handed: Option<&Handed>) -> Result<Credentials, ServerError> {
        let pair = self.tls_cert.clone().zip(self.tls_key.clone()).filter(|_| handed.is_none());
        let files = pair.map(|(cert, key)| PairFiles { cert, key, flags: Flags::WEBHOOK });
        let client_ca = self.client_ca.as_deref();
        let seen = keeper::read(files.as_ref(), client_ca)?;
        let Checked { pair, roots } = keeper::check(files.as_ref(), client_ca, &seen)?;
        if let Some(handed) = handed {
            let pair = handed.borrow().clone();
            return Ok(Credentials { pair, roots, files, seen, development_ca: None });
        }
        if pair.is_some() {
            return Ok(Credentials { pair, roots, files, seen, development_ca: None });
        }
        if !self.listen.ip().is_loopback() {
            return Err(ServerError::NoCertificate(self.listen));
        }
        let authority = Authority::new("Portcullis development authority")?;
        let names = ["localhost".to_owned(), self.listen.ip().to_string()];
        let pair = Some(authority.issue(&names, Use::Server)?.pair()?);
        let development_ca = Some(authority.cert_pem().to_owned());
        Ok(Credentials { pair, roots, files, seen, development_ca })
    }
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source| ServerError::Bind { flag, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

// === impl Bound ===

impl Bound {
    /// Where reviews arrive; the port is the one that was taken.
    pub fn webhook_address(&self) -> SocketAddr {
        self.webhook.1
    }

    /// Where probes and metrics are asked for.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.1
    }

    /// The authority of the development certificate, as PEM, where one was made.
    pub fn development_ca(&self) -> Option<&str> {
        self.development_ca.as_deref()
    }

    /// Serves until the drain is over. Probes are answered to the last, so that nobody takes a draining gate for a
    /// dead one. `owner` names who a large body belongs to.
    pub async fn run<S>(
        self,
        service: S,
        owner: Owner,
        pages: Pages,
        drain: Drain,
    ) -> Result<Drained, ServerError>
    where
        S: Service<Request<Bytes>, Response = Response, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { args, readiness, webhook, admin, acceptor, keeper, development_ca: _ } = self;
        let mut tasks = Tasks::new();
        let timeouts = args.timeouts;
        tasks.spawn("probes", |stop| probes(admin.0, Admin::new(readiness, pages), timeouts, stop));
        tasks.spawn("certificate files", |stop| keeper.run(stop));
        let inflight = Inflight::new(args.max_inflight.get(), args.max_inflight_per_address.get());
        let callers = Callers::new(args.max_connections.get(), args.max_connections_per_address.get());
        let bodies = BodyLimits::new(args.max_body.0, timeouts, owner);
        let house = House::new(inflight, bodies, timeouts, drain, true, refuse_in_words);
        let drained = tokio::select! {
            drained = listener::serve(webhook.0, Door::Tls(acceptor), house, callers, service) => drained,
            died = tasks.died() => return Err(died.into()),
        };
        for stuck in tasks.stop(TASK_GRACE).await {
            tracing::warn!(error = %stuck, "a task of the server ended badly");
        }
        Ok(drained)
    }
}

// === impl Probes ===

impl Probes {
    /// Where probes and metrics are asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is cancelled.
    ///
    /// # Errors
    /// Never; a task that ends is a task that died.
    pub async fn run(self, pages: Pages, stop: CancellationToken) -> Result<(), Infallible> {
        probes(self.listener, Admin::new(self.readiness, pages), self.timeouts, stop).await
    }
}

/// The admin listener, with a drain of its own that begins when the webhook's is over.
async fn probes(
    listener: TcpListener,
    admin: Admin,
    timeouts: Timeouts,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let drain = Drain::new(TASK_GRACE / 2);
    let inflight = Inflight::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS);
    let callers = Callers::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS);
    // No page reads a body.
    let bodies = BodyLimits::new(0, timeouts, |_| None);
    let house = House::new(inflight, bodies, timeouts, drain.clone(), false, refuse_in_words);
    let serve = listener::serve(listener, Door::Plain, house, callers, admin);
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
