//! What every request passes before its handler: authentication, rate limits, authorization, idempotent replay.
//!
//! The order decides what a caller learns: an unauthenticated caller learns nothing about the path, and an unauthorized
//! caller nothing about the body.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::authenticator::{Authenticated, TENANT};
use super::caller::{Caller, bearer};
use super::extract::{BODY_MAX, body_too_long, take_dry_run};
use super::idempotency::{self, IdempotentRequest, REPLAYED};
use super::in_flight::Reservation;
use super::problem::{Code, Fault, Problem};
use super::request_id::{RequestId, RoutedRule};
use super::route::RouteOptions;
use super::{Api, Remote, page};
use portcullis_access::matrix::{Method, Rule};
use portcullis_access::{Action, Denied, Identity, Role, Scope, authorize};

/// A request that takes longer gets 503; clients of the command line give up after 60 s.
const TIMEOUT: Duration = Duration::from_secs(30);

const NO_CERTIFICATE: &str = "a gate needs a client certificate of a CA in `--api-client-ca` besides its token; \
                              start it with `--ledger-cert` and `--ledger-key`";

/// Actions that can end a token or a membership, so the authenticator's cache is cleared after them.
const ENDING: [Action; 7] = [
    Action::TokensRevoke,
    Action::MembersPut,
    Action::MembersDelete,
    Action::TenantsOwners,
    Action::TenantsDelete,
    Action::ProjectsAccess,
    Action::ProjectsDelete,
];

/// What this layer knows of the route that it stands before.
#[derive(Clone)]
pub(super) struct RouteContext {
    pub(super) api: Api,
    pub(super) rule: &'static Rule,
    pub(super) options: RouteOptions,
    pub(super) idempotent: bool,
    /// Whether the handler has query parameters, which it then checks itself.
    pub(super) has_query: bool,
    /// Whether it answers a page of a list.
    pub(super) paged: bool,
}

pub(super) async fn handle(
    State(route): State<Arc<RouteContext>>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let tenant = params.iter().find(|(name, _)| *name == "t").map(|(_, value)| value.to_owned());
    let result = process(&route, tenant.as_deref(), &id, request, next).await;
    let mut response = result.unwrap_or_else(Problem::into_response);
    response.extensions_mut().insert(RoutedRule(route.rule));
    response
}

async fn process(
    route: &RouteContext,
    tenant: Option<&str>,
    id: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let remote = request.extensions().get::<Remote>().copied();
    let unknown = Remote { address: IpAddr::from([0, 0, 0, 0]), verified: false };
    let Remote { address, verified } = remote.unwrap_or(unknown);
    if route.rule.is_open() {
        route.api.limits().address(address)?;
        return run(route, next, request).await;
    }
    let token = bearer(request.headers()).map(str::to_owned);
    let chosen = request.headers().get(TENANT).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let waiting = token.as_ref().ok().filter(|_| route.options.waits).cloned();
    let authenticated = identify(route, address, tenant.or(chosen.as_deref()), id, token).await?;
    require_certificate(route, &authenticated.who, verified, id)?;
    if !route.options.waits {
        route.api.limits().subject(&authenticated.who.name())?;
    }
    // A member of several tenants can list them without naming one.
    let scope = if route.rule.action == Action::Me {
        authorize_route(route, &authenticated.first_membership(), tenant, id)?
    } else {
        authorize_route(route, authenticated.in_one_tenant()?, tenant, id)?
    };
    let Authenticated { who, memberships, .. } = authenticated;
    let name = who.name();
    // A dry run would still return a valid token.
    let can_dry_run = route.rule.method != Method::Get && !route.options.secret;
    let (request, dry_run) = if can_dry_run { take_dry_run(request)? } else { (request, false) };
    if !route.has_query {
        no_parameters(request.uri())?;
    }
    let (mut request, idempotent) = idempotent_request(route, &who, request).await?;
    // A malformed key is an error in a dry run too, but a dry run is neither stored nor replayed.
    let idempotent = idempotent.filter(|_| !dry_run);
    if let Some(idempotent) = &idempotent
        && let Some(stored) = idempotent.find(route.api.ledger(), &scope).await?
    {
        return Ok(replayed(stored));
    }
    let caller = Caller::new(who, route.rule, scope.clone(), idempotent.clone(), dry_run).of(memberships);
    request.extensions_mut().insert(caller);
    // Long polls of the snapshot share one text, so they reserve nothing.
    let reservation = if route.options.waits {
        None
    } else {
        Some(route.api.in_flight().reserve(&name, route.paged).await?)
    };
    let response = run(route, next, request).await?;
    let response = hold(reservation, response);
    if let Some(token) = waiting {
        // The token may have been revoked or expired during the wait.
        identify(route, address, None, id, Ok(token)).await?;
    }
    if ENDING.contains(&route.rule.action) && response.status().is_success() {
        route.api.authenticator().clear_cache();
    }
    // The conflict may come from the same request sent twice, whose answer is stored by now.
    if let (StatusCode::CONFLICT, Some(idempotent)) = (response.status(), &idempotent)
        && let Some(stored) = idempotent.find(route.api.ledger(), &scope).await?
    {
        return Ok(replayed(stored));
    }
    Ok(response)
}

/// A gate's token needs a client certificate where the server requires one.
fn require_certificate(
    route: &RouteContext,
    who: &Identity,
    verified: bool,
    id: &str,
) -> Result<(), Problem> {
    if !who.roles.contains(&Role::Service) || !route.api.require_gate_certificates() || verified {
        return Ok(());
    }
    route.api.record_denial(Some(who), route.rule, id, Code::Forbidden);
    Err(Problem::new(Code::Forbidden, NO_CERTIFICATE))
}

fn hold(reservation: Option<Reservation>, response: Response) -> Response {
    match reservation {
        Some(reservation) => reservation.hold_until_sent(response),
        None => response,
    }
}

fn replayed(stored: super::answer::StoredAnswer) -> Response {
    let mut response = stored.into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

async fn run(route: &RouteContext, next: Next, request: Request) -> Result<Response, Problem> {
    if route.options.waits {
        return Ok(next.run(request).await);
    }
    let path = request.uri().path().to_owned();
    tokio::time::timeout(TIMEOUT, page::of_list(&path, next.run(request))).await.map_err(|_| {
        tracing::warn!(action = route.rule.action.as_str(), "a request timed out");
        Problem::new(Code::ServiceUnavailable, "the request timed out after 30 s; retry later")
    })
}

/// Authenticates the token. A failure is counted against the address and recorded.
async fn identify(
    route: &RouteContext,
    address: IpAddr,
    tenant: Option<&str>,
    id: &str,
    token: Result<String, Problem>,
) -> Result<Authenticated, Problem> {
    let result = match token {
        Ok(token) => route.api.authenticator().identify(route.api.ledger(), &token, tenant).await,
        Err(problem) => Err(problem),
    };
    match result {
        Err(problem) if problem.code().status() == StatusCode::UNAUTHORIZED => {
            route.api.limits().failure(address)?;
            route.api.record_denial(None, route.rule, id, problem.code());
            Err(problem)
        }
        other => other,
    }
}

/// Authorizes the action. A denial is recorded.
fn authorize_route(
    route: &RouteContext,
    who: &Identity,
    tenant: Option<&str>,
    id: &str,
) -> Result<Scope, Problem> {
    match authorize(who, route.rule.action, tenant, id) {
        Ok(scope) => Ok(scope),
        Err(denied) => {
            let code = if denied == Denied::Hidden { Code::TenantNotFound } else { Code::Forbidden };
            route.api.record_denial(Some(who), route.rule, id, code);
            Err(denied.into())
        }
    }
}

/// Rejects query parameters on a route that has none, so that a mistyped parameter is noticed.
fn no_parameters(uri: &Uri) -> Result<(), Problem> {
    let names = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    let name = |text: &str| text.chars().filter(char::is_ascii_graphic).take(60).collect::<String>();
    let faults: Vec<_> = names
        .filter(|text| !text.is_empty())
        .map(|text| Fault::new(format!("?{}", name(text)), "is unknown"))
        .take(20)
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

/// The request with its `Idempotency-Key`. The body is read for its hash and put back.
async fn idempotent_request(
    route: &RouteContext,
    who: &Identity,
    request: Request,
) -> Result<(Request, Option<IdempotentRequest>), Problem> {
    if !route.idempotent || !request.headers().contains_key(idempotency::HEADER) {
        return Ok((request, None));
    }
    let (head, body) = request.into_parts();
    let bytes: Bytes = axum::body::to_bytes(body, BODY_MAX)
        .await
        .map_err(|_| Problem::new(Code::PayloadTooLarge, body_too_long()))?;
    let idempotent = IdempotentRequest::of(&head.headers, who, route.rule.method, &head.uri, &bytes)?;
    Ok((Request::from_parts(head, bytes.into()), idempotent))
}
