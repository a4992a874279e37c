//! The ledger's API as part of `serve`: flags become a listener with a router behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request};
use axum::response::Response;
use bytes::Bytes;
use tower::util::service_fn;
use tower::{Service, ServiceExt as _};

use super::chores;
use portcullis_access::Issuers;
use portcullis_admission::Gate;
use portcullis_api::body::BODY_MAX;
use portcullis_api::door::Door;
use portcullis_api::limit::{LimitArgs, Limits};
use portcullis_api::proxies::TrustedProxies;
use portcullis_api::{Parts, Remote};
use portcullis_certs::pair::{Flags, PairFiles};
use portcullis_lifecycle::drain::Drain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_policy::layers::Layers;
use portcullis_server::{Drained, Peer, Port, PortSettings, ServerError, Timeouts};
use portcullis_store::Ledger;
use portcullis_store::mirror::Mirror;
use portcullis_store::seal::MasterKey;

/// Connections at once, altogether and of one address: people, automation, and a long poll of every gate.
const CONNECTIONS: (usize, usize) = (4096, 1024);

/// Requests in flight, likewise. A long poll is in flight all the time.
const INFLIGHT: (usize, usize) = (2048, 1024);

/// For a whole body, which is [`BODY_MAX`] at most.
const BODY_WHOLE: Duration = Duration::from_secs(15);

/// Flags of the API.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "API")]
pub struct ApiArgs {
    /// Where the ledger's API is served; port 0 takes a free one
    #[arg(long, env = "PORTCULLIS_API", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    api: SocketAddr,

    /// Serve the API without TLS on an address that is not loopback, because something in front of it has TLS
    #[arg(long, env = "PORTCULLIS_API_PLAIN")]
    api_plain: bool,

    /// PEM certificate of the API, the leaf first; read again when it changes
    #[arg(long, env = "PORTCULLIS_API_TLS_CERT", value_name = "FILE", requires = "api_tls_key")]
    api_tls_cert: Option<PathBuf>,

    /// PEM key of --api-tls-cert; read again when it changes
    #[arg(long, env = "PORTCULLIS_API_TLS_KEY", value_name = "FILE", requires = "api_tls_cert")]
    api_tls_key: Option<PathBuf>,

    /// Origin of web pages that may call the API, such as `https://portal.example`; may be repeated. None by default
    #[arg(long, env = "PORTCULLIS_API_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    api_cors_origin: Vec<HeaderValue>,

    /// File of the key that secrets are sealed with, 32 bytes in hexadecimal or base64; without it they are refused
    #[arg(long, env = "PORTCULLIS_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,

    /// Networks of proxies in front of the API, in CIDR notation, whose `X-Forwarded-For` is believed; may be repeated.
    /// Without it every client behind a proxy is one address to the limits
    #[arg(long, env = "PORTCULLIS_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',')]
    trusted_proxies: Vec<String>,

    /// PEM authorities of gates' client certificates; read again when it changes. With it a gate must show one that
    /// comes from them, beside its token; other callers need none
    #[arg(long, env = "PORTCULLIS_API_CLIENT_CA", value_name = "FILE", requires = "api_tls_cert")]
    api_client_ca: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArgs,
}

/// The API with its port taken; nothing is accepted yet.
pub struct BoundApi {
    port: Port,
    router: Router,
    ledger: Ledger,
    proxies: TrustedProxies,
}

/// Checks what can be wrong and takes the port. `gate` is the one of this process, if there is one, and `mirror` what the
/// gates of others wait on; without it they are answered 503.
///
/// # Errors
/// A flag or a file that is no good, or a port that is taken.
pub async fn api(
    args: ApiArgs,
    ledger: Ledger,
    issuers: impl Into<Arc<Issuers>>,
    gate: Option<Arc<Gate>>,
    layers: Option<Layers>,
    mirror: Option<Mirror>,
    readiness: &Readiness,
) -> anyhow::Result<BoundApi> {
    let ApiArgs {
        api: address,
        api_plain,
        api_tls_cert,
        api_tls_key,
        api_cors_origin,
        master_key_file,
        trusted_proxies,
        api_client_ca,
        limits,
    } = args;
    let proxies = TrustedProxies::new(&trusted_proxies)?;
    let tls = api_tls_cert.zip(api_tls_key).map(|(cert, key)| PairFiles { cert, key, flags: Flags::API });
    if tls.is_none() && !address.ip().is_loopback() && !api_plain {
        bail!(
            "--api: tokens would cross the network at `{address}` for everybody to read: \
             give --api-tls-cert and --api-tls-key, or --api-plain where something in front of it has TLS"
        );
    }
    let master_key = master_key_file.as_deref().map(MasterKey::read).transpose()?;
    let parts = Parts {
        ledger: ledger.clone(),
        door: Door::new(issuers),
        limits: Limits::new(limits),
        gate,
        layers,
        mirror,
        master_key,
        cors: api_cors_origin,
        gates_show_certificates: api_client_ca.is_some(),
    };
    let router = portcullis_api::router(parts)?;
    let settings = PortSettings {
        name: "api",
        flag: "--api",
        address,
        tls,
        client_ca: api_client_ca,
        max_body: BODY_MAX,
        max_connections: CONNECTIONS,
        max_inflight: INFLIGHT,
        // People are further away than API servers: 1 MiB within 15 s is 70 KB a second.
        timeouts: Timeouts { body_whole: BODY_WHOLE, ..Timeouts::default() },
        refuse: |headers, rejection| portcullis_api::refused(headers, rejection.status()),
    };
    let port = Port::bind(settings, readiness).await.context("the API cannot be served")?;
    Ok(BoundApi { port, router, ledger, proxies })
}

impl BoundApi {
    /// Where it listens; the port is the one that was taken.
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Serves until the drain is over, and sees to the ledger meanwhile.
    ///
    /// # Errors
    /// A task of the listener that died.
    pub async fn run(self, drain: Drain) -> Result<Drained, ServerError> {
        let Self { port, router, ledger, proxies } = self;
        let service = service(router, Arc::new(proxies));
        let drained = tokio::select! {
            drained = port.run(service, drain) => drained,
            never = chores::keep(ledger.clone()) => match never {},
        };
        chores::end(&ledger).await;
        drained
    }
}

/// Tells the router where a request comes from.
fn service(
    router: Router,
    proxies: Arc<TrustedProxies>,
) -> impl Service<Request<Bytes>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    service_fn(move |mut request: Request<Bytes>| {
        if let Some(peer) = request.extensions().get::<Peer>().copied() {
            let address = proxies.client(peer.address.ip(), request.headers());
            request.extensions_mut().insert(Remote { address, verified: peer.verified });
        }
        router.clone().oneshot(request.map(Body::from))
    })
}
