//! Who is asking: from a bearer token to an identity, and from there to a scope.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::Api;
use super::answer::Reply;
use super::idempotency::Ticket;
use super::problem::{Code, Problem};
use super::route::{Part, Shape};
use portcullis_access::matrix::Rule;
use portcullis_access::{Identity, Scope, authorize};
use portcullis_store::Tx;
use portcullis_store::identities::Standing;

/// Who is asking, and for what: an identity that may do what this route does, in the tenant of the path.
///
/// There is one only where the request has passed the front, which asked [`authorize`] before the handler was called.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    identity: Identity,
    rule: &'static Rule,
    scope: Scope,
    ticket: Option<Ticket>,
    dry_run: bool,
    memberships: Vec<Standing>,
}

impl Caller {
    pub(super) fn new(
        identity: Identity,
        rule: &'static Rule,
        scope: Scope,
        ticket: Option<Ticket>,
        dry_run: bool,
    ) -> Self {
        Self(Arc::new(Inner { identity, rule, scope, ticket, dry_run, memberships: Vec::new() }))
    }

    /// The same with the memberships that say what it is.
    pub(super) fn of(mut self, memberships: Vec<Standing>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.memberships = memberships;
        }
        self
    }

    /// The memberships that say what it is; none of an identity whose token says it.
    pub fn memberships(&self) -> &[Standing] {
        &self.0.memberships
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// What it may do here: the action of the route, in the tenant of its path.
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// The same for a tenant that the query or the body names, by id or slug.
    ///
    /// # Errors
    /// 404 where it is not the caller's, 403 where the role does not reach so far.
    pub fn scope_in(&self, tenant: &str) -> Result<Scope, Problem> {
        let Inner { identity, rule, scope, .. } = &*self.0;
        authorize(identity, rule.action, Some(tenant), scope.request_id()).map_err(Problem::from)
    }

    /// Commits what a handler has done, and with it, where the request has an `Idempotency-Key`, what it is answered:
    /// both are there or neither. In a dry run nothing is kept, and the answer is what would have been.
    pub async fn commit<A: Reply>(&self, mut tx: Tx, answer: A) -> Result<A, Problem> {
        if self.0.dry_run {
            tx.rollback().await?;
            return Ok(answer);
        }
        if let Some(ticket) = &self.0.ticket {
            ticket.keep(&mut tx, &answer.plain()?).await?;
        }
        tx.commit().await?;
        Ok(answer)
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        // An open route that asks who is there, which a test of the table finds.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::of(Code::Unauthorized))
    }
}

impl Part for Caller {
    fn describe(shape: &mut Shape) {
        shape.caller = true;
    }
}

/// The bearer token of a request.
///
/// # Errors
/// 401 where there is none, or more than one.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| Problem::new(Code::Unauthorized, "there is no bearer token"))?;
    let text = value.to_str().unwrap_or_default();
    let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match (token, values.next()) {
        (Some((_, token)), None) if !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(Problem::new(Code::Unauthorized, "`Authorization` is not `Bearer` and one token")),
    }
}
