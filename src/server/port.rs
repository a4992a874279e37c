//! A further listener beside the webhook's: another address, another certificate, bounds of its own, the same care.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use tokio::net::TcpListener;
use tower::Service;

use super::args::{ClientAuth, Timeouts};
use super::connection::{House, Refuse};
use super::limits::{BodyLimits, Callers, Inflight};
use super::listener::{self, Door, Drained};
use super::tls::clients::Clients;
use super::tls::keeper::{self, Checked, Keeper};
use super::tls::{Acceptor, Keys};
use super::{ServerError, TASK_GRACE, listen};
use portcullis_certs::pair::PairFiles;
use portcullis_lifecycle::drain::Drain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_lifecycle::tasks::Tasks;

/// What a port is opened with.
#[derive(Debug, Clone)]
pub struct PortSettings {
    /// A word for the readiness condition and the metric of its certificate.
    pub name: &'static str,
    /// The flag that named the address.
    pub flag: &'static str,
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// What it serves; without it, plain HTTP.
    pub tls: Option<PairFiles>,
    /// Authorities of callers' certificates. A caller needs none; one that shows another's is not served.
    pub client_ca: Option<PathBuf>,
    /// The longest body.
    pub max_body: usize,
    /// Connections at once, altogether and of one address.
    pub max_connections: (usize, usize),
    /// Requests in flight, altogether and of one address.
    pub max_inflight: (usize, usize),
    /// How long callers may take.
    pub timeouts: Timeouts,
    /// The answer to a request that is not served.
    pub refuse: Refuse,
}

/// The port is taken, nothing is accepted yet.
pub struct Port {
    settings: PortSettings,
    listener: TcpListener,
    address: SocketAddr,
    door: Door,
    keeper: Option<Keeper>,
}

impl Port {
    /// Checks the certificate, where there is one, then takes the port.
    pub async fn bind(settings: PortSettings, readiness: &Readiness) -> Result<Self, ServerError> {
        let poll = settings.timeouts.reload_poll;
        let (door, keeper) = match settings.tls.clone() {
            None => (Door::Plain, None),
            Some(files) => {
                let condition =
                    readiness.condition(format!("certificate of {}", settings.flag), "not loaded yet");
                let files = Some(files);
                let client_ca = settings.client_ca.clone();
                let seen = keeper::read(files.as_ref(), client_ca.as_deref())?;
                let Checked { pair, roots } = keeper::check(files.as_ref(), client_ca.as_deref(), &seen)?;
                let end = pair.as_ref().map(|pair| pair.not_after);
                let keys = Keys::new(settings.name, pair);
                let clients = roots.map(|roots| Clients::new(roots, ClientAuth::Optional)).transpose()?;
                let acceptor = Acceptor::new(keys.clone(), clients.clone())?;
                let client_ca = client_ca.zip(clients);
                condition.good();
                let keeper = Keeper { files, handed: None, seen, end, keys, client_ca, condition, poll };
                (Door::Tls(acceptor), Some(keeper))
            }
        };
        let (listener, address) = listen(settings.flag, settings.address).await?;
        Ok(Self { settings, listener, address, door, keeper })
    }

    /// The address that was taken.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the drain is over.
    pub async fn run<S>(self, service: S, drain: Drain) -> Result<Drained, ServerError>
    where
        S: Service<Request<Bytes>, Response = Response, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { settings, listener, address: _, door, keeper } = self;
        let mut tasks = Tasks::new();
        if let Some(keeper) = keeper {
            tasks.spawn("certificate files of a port", |stop| keeper.run(stop));
        }
        let inflight = Inflight::new(settings.max_inflight.0, settings.max_inflight.1);
        let callers = Callers::new(settings.max_connections.0, settings.max_connections.1);
        // Whose a body is, is known only once its token is checked, so an address is what is told apart.
        let bodies = BodyLimits::new(settings.max_body, settings.timeouts, |_| None);
        let house = House::new(inflight, bodies, settings.timeouts, drain, false, settings.refuse);
        let drained = tokio::select! {
            drained = listener::serve(listener, door, house, callers, service) => drained,
            died = tasks.died() => return Err(died.into()),
        };
        for stuck in tasks.stop(TASK_GRACE).await {
            tracing::warn!(error = %stuck, "a task of a port ended badly");
        }
        Ok(drained)
    }
}
