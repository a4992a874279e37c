//! Lets people read and change the ledger: HTTP on one side, transactions on the other.
//!
//! ```text
//!   request ── request_id ── verbs ── router (routes::table) ── front ── handler ── store
//!                  │                                              │        │
//!          every refusal leaves                        identity, limits,   body, query: against
//!          as a problem document                       scope, replay       their own schemas
//! ```
//!
//! [`routes`] is the one page of all routes. A row names the action, whose method, path and audience stand in
//! [`portcullis_access::matrix`], and the handler, whose signature says what is taken and answered. The router, the OpenAPI
//! document and the tests' list are made from it.
//!
//! To add an entity: handlers in `api/<entity>.rs`, thin, after the pattern of [`clusters`]; a row each in [`routes`];
//! SQL in `store/<entity>.rs`.

pub mod routes;

mod state;

pub mod policysets;

pub mod policies;

pub mod laws;

pub mod evaluate;

pub mod exceptions;

pub mod breakglass;

pub mod scans;

pub mod route;

mod front;

pub mod caller;

pub mod door;

pub mod limit;

pub mod body;

pub mod json;

pub mod schema;

pub mod answer;

pub mod page;

pub mod etag;

pub mod idempotency;

pub mod dry_run;

pub mod problem;

pub mod proxies;

pub mod request_id;

mod verbs;

mod in_flight;

pub mod openapi;

pub mod docs;

pub mod fields;

pub mod meta;

pub mod tokens;

pub mod audit;

pub mod clusters;

pub mod tenants;

pub mod members;

pub mod projects;

pub mod plans;

pub mod settings;

pub mod snapshot;

mod subject;

mod words;

pub mod place;

pub mod turn;

pub mod source;

pub mod apps;

pub mod sandboxes;

pub mod catalog;

pub mod install;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use self::door::Door;
use self::front::Post;
use self::in_flight::InFlight;
use self::limit::Limits;
use self::problem::{Code, Problem};
use self::schema::{BadSchema, Schemas};
use portcullis_admission::Gate;
use portcullis_policy::layers::Layers;
use portcullis_store::Ledger;
use portcullis_store::mirror::Mirror;
use portcullis_store::seal::MasterKey;

/// Where a request comes from: an extension that whoever accepted the connection adds.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    /// The address that it is counted against.
    pub address: IpAddr,
    /// Whether a certificate was shown that `--api-client-ca` has issued.
    pub verified: bool,
}

/// What the API is made of.
pub struct Parts {
    /// What it reads and changes.
    pub ledger: Ledger,
    /// Who is believed.
    pub door: Door,
    /// How often one may ask.
    pub limits: Limits,
    /// The gate of this process, to say what it would say; without one the routes that ask it answer 503.
    pub gate: Option<Arc<Gate>>,
    /// What secrets are sealed with; without it they are refused.
    pub master_key: Option<MasterKey>,
    /// The layers of this process' law, by which an upload is tried; without them uploads answer 503.
    pub layers: Option<Layers>,
    /// What the gates of others wait on; without it they are answered 503.
    pub mirror: Option<Mirror>,
    /// Origins of web pages that may call; none by default.
    pub cors: Vec<HeaderValue>,
    /// Whether a gate's token is worth nothing without a client certificate (`--api-client-ca`).
    pub gates_show_certificates: bool,
}

/// The state of every handler; all clones are one.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    parts: Parts,
    schemas: Schemas,
    document: String,
    page: docs::Page,
    in_flight: InFlight,
}

/// Why there is no API.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A defect that a test finds.
    #[error(transparent)]
    Schema(#[from] BadSchema),
    /// Likewise.
    #[error("the OpenAPI document cannot be written")]
    Document(#[source] serde_json::Error),
}

/// The API as a service.
///
/// # Errors
/// A schema that does not compile, which a test finds.
pub fn router(parts: Parts) -> Result<Router, ApiError> {
    let routes = routes::table();
    let api = Api::new(parts, &routes)?;
    let mut router = Router::new();
    for route in routes {
        let post = Arc::new(Post {
            api: api.clone(),
            rule: route.rule,
            manner: route.manner,
            idempotent: route.idempotent(),
            queried: route.shape.query.is_some(),
            paged: route.is_list(),
        });
        for path in route.paths() {
            let handler =
                route.handler.clone().route_layer(from_fn_with_state(Arc::clone(&post), front::pass));
            router = router.route(&verbs::routed(path), handler);
        }
    }
    let mut router =
        router.fallback(async || Problem::of(Code::NotFound)).layer(CatchPanicLayer::custom(panicked));
    if !api.0.parts.cors.is_empty() {
        router = router.layer(cors(&api.0.parts.cors));
    }
    let router = router.with_state(api);
    // Rewriting comes before routing, which a layer of the router itself would not.
    let routed = router.into_service().map_request(|request: Request| verbs::rewrite(request));
    Ok(Router::new().fallback_service(routed).layer(from_fn(request_id::sign)))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked; the caller was answered 500");
    Problem::of(Code::Internal).into_response()
}

/// Without it, which is the default, a page of another origin gets no answer to read.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    use axum::http::Method as M;
    use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, LOCATION, RETRY_AFTER};
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([M::GET, M::POST, M::PUT, M::PATCH, M::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            door::TENANT,
            idempotency::HEADER,
            request_id::HEADER,
        ])
        .expose_headers([ETAG, LOCATION, RETRY_AFTER, idempotency::REPLAYED, request_id::HEADER])
}

/// A request that was refused before it came here, such as one whose body is too long, as a problem.
pub fn refused(headers: &HeaderMap, status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    request_id::finish(response, &request_id::of(headers))
}
