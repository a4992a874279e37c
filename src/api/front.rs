//! What every request passes before its handler: who it is, how often it asks, whether it may, whether it was here before.
//!
//! The order is the order of what may be told: whoever is nobody learns nothing about the path, whoever may not do it
//! learns nothing about the body.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawPathParams, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::body::{BODY_MAX, too_long};
use super::caller::{Caller, bearer};
use super::door::{Found, TENANT};
use super::idempotency::{REPLAYED, Ticket};
use super::in_flight::Place;
use super::problem::{Code, Fault, Problem};
use super::request_id::RequestId;
use super::route::Manner;
use super::{Api, Remote, dry_run, page};
use portcullis_access::matrix::{Method, Rule};
use portcullis_access::{Action, Denied, Identity, Role, Scope, authorize};

/// A request that takes longer will not be waited for; clients of the command line give up after 60 s.
const PATIENCE: Duration = Duration::from_secs(30);

const NO_CERTIFICATE: &str = "a gate shows a client certificate of the authorities in `--api-client-ca`, beside its token: \
                              give it `--ledger-cert` and `--ledger-key`";

/// What may take from somebody what its token, or its issuer, says of it.
const ENDING: [Action; 7] = [
    Action::TokensRevoke,
    Action::MembersPut,
    Action::MembersDelete,
    Action::TenantsOwners,
    Action::TenantsDelete,
    Action::ProjectsAccess,
    Action::ProjectsDelete,
];

/// What the front knows of a route.
#[derive(Clone)]
pub(super) struct Post {
    pub(super) api: Api,
    pub(super) rule: &'static Rule,
    pub(super) manner: Manner,
    pub(super) idempotent: bool,
    /// Whether the handler has parameters in its query, which it then checks itself.
    pub(super) queried: bool,
    /// Whether it answers a page of a list.
    pub(super) paged: bool,
}

/// Carried by the response, for whoever counts it.
#[derive(Clone, Copy)]
pub(super) struct Routed(pub(super) &'static Rule);

/// Lets a request pass, or not.
pub(super) async fn pass(
    State(post): State<Arc<Post>>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let id = request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let tenant = params.iter().find(|(name, _)| *name == "t").map(|(_, value)| value.to_owned());
    let done = through(&post, tenant.as_deref(), &id, request, next).await;
    let mut response = done.unwrap_or_else(Problem::into_response);
    response.extensions_mut().insert(Routed(post.rule));
    response
}

async fn through(
    post: &Post,
    tenant: Option<&str>,
    id: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let remote = request.extensions().get::<Remote>().copied();
    let nowhere = Remote { address: IpAddr::from([0, 0, 0, 0]), verified: false };
    let Remote { address, verified } = remote.unwrap_or(nowhere);
    if post.rule.is_open() {
        post.api.limits().address(address)?;
        return run(post, next, request).await;
    }
    let token = bearer(request.headers()).map(str::to_owned);
    let chosen = request.headers().get(TENANT).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let waiting = token.as_ref().ok().filter(|_| post.manner.waits).cloned();
    let found = identify(post, address, tenant.or(chosen.as_deref()), id, token).await?;
    if found.who.roles.contains(&Role::Service) && post.api.gates_show_certificates() && !verified {
        post.api.turned_away(Some(&found.who), post.rule, id, Code::Forbidden);
        return Err(Problem::new(Code::Forbidden, NO_CERTIFICATE));
    }
    if !post.manner.waits {
        post.api.limits().subject(&found.who.name())?;
    }
    // A member of several tenants must be able to ask which they are.
    let scope = if post.rule.action == Action::Me {
        permit(post, &found.any(), tenant, id)?
    } else {
        permit(post, found.decided()?, tenant, id)?
    };
    let Found { who, memberships, .. } = found;
    let name = who.name();
    // A dry run that mints a token would mint it all the same, and unseen.
    let dry = post.rule.method != Method::Get && !post.manner.secret;
    let (request, dry_run) = if dry { dry_run::take(request)? } else { (request, false) };
    if !post.queried {
        no_parameters(request.uri())?;
    }
    let (mut request, ticket) = ticket(post, &who, request).await?;
    // A key that is none is one in a dry run too; but what is not done is neither kept nor replayed.
    let ticket = ticket.filter(|_| !dry_run);
    if let Some(ticket) = &ticket
        && let Some(kept) = ticket.find(post.api.ledger(), &scope).await?
    {
        return Ok(replayed(kept));
    }
    let caller = Caller::new(who, post.rule, scope.clone(), ticket.clone(), dry_run).of(memberships);
    request.extensions_mut().insert(caller);
    // What waits for the snapshot is sent from one text that all share.
    let place =
        if post.manner.waits { None } else { Some(post.api.in_flight().enter(&name, post.paged).await?) };
    let response = run(post, next, request).await?;
    let response = held(place, response);
    if let Some(token) = waiting {
        // While it waited, its token may have been revoked, or have ended.
        identify(post, address, None, id, Ok(token)).await?;
    }
    if ENDING.contains(&post.rule.action) && response.status().is_success() {
        post.api.door().forget();
    }
    // What stands in the way may be what the twin of this request has done, which has been answered by now.
    if let (StatusCode::CONFLICT, Some(ticket)) = (response.status(), &ticket)
        && let Some(kept) = ticket.find(post.api.ledger(), &scope).await?
    {
        return Ok(replayed(kept));
    }
    Ok(response)
}

/// The answer, which counts as in flight until it is sent.
fn held(place: Option<Place>, response: Response) -> Response {
    match place {
        Some(place) => place.hold(response),
        None => response,
    }
}

fn replayed(kept: super::answer::Plain) -> Response {
    let mut response = kept.into_response();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

async fn run(post: &Post, next: Next, request: Request) -> Result<Response, Problem> {
    if post.manner.waits {
        return Ok(next.run(request).await);
    }
    let path = request.uri().path().to_owned();
    tokio::time::timeout(PATIENCE, page::of_list(&path, next.run(request))).await.map_err(|_| {
        tracing::warn!(action = post.rule.action.as_str(), "a request took too long and was given up");
        Problem::new(Code::ServiceUnavailable, "this takes too long just now")
    })
}

/// Who it is. What fails here is counted against the address, and recorded.
async fn identify(
    post: &Post,
    address: IpAddr,
    tenant: Option<&str>,
    id: &str,
    token: Result<String, Problem>,
) -> Result<Found, Problem> {
    let found = match token {
        Ok(token) => post.api.door().identify(post.api.ledger(), &token, tenant).await,
        Err(problem) => Err(problem),
    };
    match found {
        Err(problem) if problem.code().status() == StatusCode::UNAUTHORIZED => {
            post.api.limits().failure(address)?;
            post.api.turned_away(None, post.rule, id, problem.code());
            Err(problem)
        }
        done => done,
    }
}

/// Whether it may. Refusals are recorded.
fn permit(post: &Post, who: &Identity, tenant: Option<&str>, id: &str) -> Result<Scope, Problem> {
    match authorize(who, post.rule.action, tenant, id) {
        Ok(scope) => Ok(scope),
        Err(denied) => {
            let code = if denied == Denied::Hidden { Code::TenantNotFound } else { Code::Forbidden };
            post.api.turned_away(Some(who), post.rule, id, code);
            Err(denied.into())
        }
    }
}

/// A parameter of a route that knows none is a mistake, and passed over it would be one that nobody notices.
fn no_parameters(uri: &Uri) -> Result<(), Problem> {
    let names = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    let name = |text: &str| text.chars().filter(char::is_ascii_graphic).take(60).collect::<String>();
    let faults: Vec<_> = names
        .filter(|text| !text.is_empty())
        .map(|text| Fault::new(format!("?{}", name(text)), "is not known here"))
        .take(20)
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

/// The ticket of a request with a key; its body is read for that, and put back.
async fn ticket(post: &Post, who: &Identity, request: Request) -> Result<(Request, Option<Ticket>), Problem> {
    if !post.idempotent || !request.headers().contains_key(super::idempotency::HEADER) {
        return Ok((request, None));
    }
    let (head, body) = request.into_parts();
    let bytes: Bytes = axum::body::to_bytes(body, BODY_MAX)
        .await
        .map_err(|_| Problem::new(Code::PayloadTooLarge, too_long()))?;
    let ticket = Ticket::of(&head.headers, who, post.rule.method, &head.uri, &bytes)?;
    Ok((Request::from_parts(head, bytes.into()), ticket))
}
