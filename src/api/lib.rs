//! The HTTP API of the ledger.
//!
//! [`routes`] lists every route. A row names the action, whose method, path and audience are in
//! [`portcullis_access::matrix`], and the handler, whose signature says what is taken and returned. The router, the OpenAPI
//! document and the tests' list are generated from it.

pub mod extract;
pub mod openapi;
pub mod problem;
pub mod rate_limit;
pub mod route;
pub mod routes;
pub mod trusted_proxies;

pub mod authenticator;

mod answer;
mod apps;
mod audit;
mod auth_layer;
mod breakglass;
mod caller;
mod catalog;
mod clusters;
mod docs;
mod etag;
mod evaluate;
mod exceptions;
mod fields;
mod idempotency;
mod in_flight;
mod install;
mod json;
mod members;
mod meta;
mod page;
mod platform;
mod policies;
mod policy_revisions;
mod policysets;
mod projects;
mod request_id;
mod sandboxes;
mod scans;
mod schema;
mod snapshot;
mod source;
mod state;
mod tenants;
mod tokens;
mod verbs;

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

use self::auth_layer::RouteContext;
use self::problem::{Code, Problem};
use self::schema::SchemaError;
pub use self::state::{Api, ApiConfig};

/// Where a request comes from: an extension that the listener adds.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    /// The address that the rate limits count.
    pub address: IpAddr,
    /// Whether the client showed a certificate of a CA in `--api-client-ca`.
    pub verified: bool,
}

/// Why the API cannot be built. Both are defects that a test finds.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("the OpenAPI document cannot be written")]
    Document(#[source] serde_json::Error),
}

/// The API as a service.
///
/// # Errors
/// A schema that does not compile, which a test finds.
pub fn router(config: ApiConfig) -> Result<Router, ApiError> {
    let routes = routes::table();
    let cors_origins = config.cors.clone();
    let api = Api::new(config, &routes)?;
    let mut router = Router::new();
    for route in routes {
        let context = Arc::new(RouteContext {
            api: api.clone(),
            rule: route.rule,
            options: route.options,
            idempotent: route.idempotent(),
            has_query: route.signature.query.is_some(),
            paged: route.is_list(),
        });
        for path in route.paths() {
            let layer = from_fn_with_state(Arc::clone(&context), auth_layer::handle);
            router = router.route(&verbs::routed(path), route.handler.clone().route_layer(layer));
        }
    }
    let mut router =
        router.fallback(async || Problem::of(Code::NotFound)).layer(CatchPanicLayer::custom(panicked));
    if !cors_origins.is_empty() {
        router = router.layer(cors(&cors_origins));
    }
    let router = router.with_state(api);
    // The path is rewritten before routing; a layer of the router itself runs after it.
    let routed = router.into_service().map_request(|request: Request| verbs::rewrite(request));
    Ok(Router::new().fallback_service(routed).layer(from_fn(request_id::layer)))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked; the caller got status 500");
    Problem::of(Code::Internal).into_response()
}

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
            authenticator::TENANT,
            idempotency::HEADER,
            request_id::HEADER,
        ])
        .expose_headers([ETAG, LOCATION, RETRY_AFTER, idempotency::REPLAYED, request_id::HEADER])
}

/// A request that the listener rejected, such as one with a body that is too long, as a problem document.
pub fn rejected(headers: &HeaderMap, status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    request_id::finish(response, &request_id::of(headers))
}
