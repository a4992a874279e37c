//! The ledger's API in `serve`: its flags, its listener, and the maintenance of the ledger meanwhile.

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

use portcullis_access::{Action, Identity, Issuers, authorize};
use portcullis_admission::Gate;
use portcullis_api::authenticator::Authenticator;
use portcullis_api::extract::BODY_MAX;
use portcullis_api::rate_limit::{LimitArgs, Limits};
use portcullis_api::trusted_proxies::TrustedProxies;
use portcullis_api::{ApiConfig, Remote};
use portcullis_certs::pair::{Flags, PairFiles};
use portcullis_lifecycle::drain::Drain;
use portcullis_lifecycle::ready::Readiness;
use portcullis_policy::layers::Layers;
use portcullis_server::{Drained, Peer, Port, PortSettings, ServerError, Timeouts};
use portcullis_store::change_buffer::ChangeBuffer;
use portcullis_store::envelope::MasterKey;
use portcullis_store::{Ledger, StoreError, idempotency, identities, released, tokens};

/// Maximum connections, in total and per address: people, automation, and a long poll per gate.
const CONNECTIONS: (usize, usize) = (4096, 1024);

/// Maximum requests in flight, in total and per address; a long poll is in flight all the time.
const INFLIGHT: (usize, usize) = (2048, 1024);

/// Timeout for a body of at most [`BODY_MAX`].
const BODY_WHOLE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "API")]
pub struct ApiArgs {
    /// Address of the ledger's API; port 0 takes a free one
    #[arg(long, env = "PORTCULLIS_API", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    api: SocketAddr,

    /// Serve the API over plain HTTP on an address that is not loopback, for a proxy in front that terminates TLS
    #[arg(long, env = "PORTCULLIS_API_INSECURE_HTTP")]
    api_insecure_http: bool,

    /// PEM certificate chain of the API, the server certificate first; reloaded when it changes
    #[arg(long, env = "PORTCULLIS_API_TLS_CERT", value_name = "FILE", requires = "api_tls_key")]
    api_tls_cert: Option<PathBuf>,

    /// PEM key of --api-tls-cert; reloaded when it changes
    #[arg(long, env = "PORTCULLIS_API_TLS_KEY", value_name = "FILE", requires = "api_tls_cert")]
    api_tls_key: Option<PathBuf>,

    /// Origin of web pages that may call the API, such as `https://portal.example`; may be repeated. By default none
    #[arg(long, env = "PORTCULLIS_API_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    api_cors_origin: Vec<HeaderValue>,

    /// File of the master key that encrypts secrets, 32 bytes in hexadecimal or base64; without it requests with secrets
    /// are rejected
    #[arg(long, env = "PORTCULLIS_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,

    /// Networks of proxies in front of the API, in CIDR notation, whose `X-Forwarded-For` is trusted; may be repeated. By
    /// default all clients of a proxy share one address in the rate limits
    #[arg(long, env = "PORTCULLIS_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',')]
    trusted_proxies: Vec<String>,

    /// PEM file with the CA certificates that verify gates' client certificates; reloaded when it changes. With it a gate
    /// must present one beside its token; other callers need none
    #[arg(long, env = "PORTCULLIS_API_CLIENT_CA", value_name = "FILE", requires = "api_tls_cert")]
    api_client_ca: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArgs,
}

pub struct BoundApi {
    port: Port,
    router: Router,
    ledger: Ledger,
    proxies: TrustedProxies,
}

/// Validates the flags and binds the port. Without `change_buffer` the long polls of gates are answered 503.
pub async fn api(
    args: ApiArgs,
    ledger: Ledger,
    issuers: impl Into<Arc<Issuers>>,
    gate: Option<Arc<Gate>>,
    layers: Option<Layers>,
    change_buffer: Option<ChangeBuffer>,
    readiness: &Readiness,
) -> anyhow::Result<BoundApi> {
    let ApiArgs {
        api: address,
        api_insecure_http,
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
    if tls.is_none() && !address.ip().is_loopback() && !api_insecure_http {
        bail!(
            "--api: tokens would cross the network at `{address}` in clear text: \
             give --api-tls-cert and --api-tls-key, or --api-insecure-http behind a proxy that terminates TLS"
        );
    }
    let master_key = master_key_file.as_deref().map(MasterKey::read).transpose()?;
    let config = ApiConfig {
        ledger: ledger.clone(),
        authenticator: Authenticator::new(issuers),
        limits: Limits::new(limits),
        gate,
        layers,
        change_buffer,
        master_key,
        cors: api_cors_origin,
        require_gate_certificates: api_client_ca.is_some(),
    };
    let router = portcullis_api::router(config)?;
    let settings = PortSettings {
        name: "api",
        flag: "--api",
        address,
        tls,
        client_ca: api_client_ca,
        max_body: BODY_MAX,
        max_connections: CONNECTIONS,
        max_inflight: INFLIGHT,
        // Clients may be far away: 1 MiB in 15 s is 70 KB per second.
        timeouts: Timeouts { body_whole: BODY_WHOLE, ..Timeouts::default() },
        rejection_response: |headers, rejection| portcullis_api::rejected(headers, rejection.status()),
    };
    let port = Port::bind(settings, readiness).await.context("the API cannot be served")?;
    Ok(BoundApi { port, router, ledger, proxies })
}

impl BoundApi {
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Serves until the drain ends, and maintains the ledger meanwhile.
    pub async fn run(self, drain: Drain) -> Result<Drained, ServerError> {
        let Self { port, router, ledger, proxies } = self;
        let service = service(router, Arc::new(proxies));
        let drained = tokio::select! {
            drained = port.run(service, drain) => drained,
            never = maintain(ledger.clone()) => match never {},
        };
        flush_denied(&ledger).await;
        drained
    }
}

/// Adds the client's address and its verified certificate to the request.
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

/// Several servers may purge at once: the rows are expired, so no answer depends on them.
const PURGE_EVERY: Duration = Duration::from_mins(10);

/// The first purge waits, because a new ledger has no tables yet.
const PURGE_FIRST: Duration = Duration::from_mins(1);

/// Writes denied attempts to the audit log and purges expired rows, for as long as it is polled.
async fn maintain(ledger: Ledger) -> Infallible {
    let purging = async {
        let first = tokio::time::Instant::now() + PURGE_FIRST;
        let mut ticks = tokio::time::interval_at(first, PURGE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match purge(&ledger).await {
                Ok(0) => {}
                Ok(rows) => tracing::debug!(rows, "expired idempotency records and revocations were purged"),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "expired rows could not be purged"
                ),
            }
        }
    };
    tokio::select! {
        () = ledger.maintain_audit() => {}
        () = purging => {}
    }
    std::future::pending().await
}

/// Writes the denied attempts that were counted since the last write.
async fn flush_denied(ledger: &Ledger) {
    if let Err(error) = ledger.write_denied().await {
        tracing::warn!(%error, "denied attempts could not be written to the audit log");
    }
}

async fn purge(ledger: &Ledger) -> Result<u64, StoreError> {
    let who = Identity::process("janitor");
    let Ok(scope) = authorize(&who, Action::TokensRevoke, None, "janitor") else { return Ok(0) };
    let mut tx = ledger.write(&scope).await?;
    let answers = idempotency::purge(&mut tx).await?;
    let revocations = identities::purge(&mut tx).await? + tokens::purge(&mut tx).await?;
    let names = released::purge(&mut tx).await?;
    tx.commit().await?;
    Ok(answers + revocations + names)
}
