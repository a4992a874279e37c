//! The caller of a request: its identity, what it may do here, and subjects (`issuer#sub`) in requests.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::Api;
use super::answer::Reply;
use super::idempotency::IdempotentRequest;
use super::problem::{Code, Fault, Problem};
use super::route::{Signature, SignaturePart};
use portcullis_access::identity::{PROCESS_ISSUER, check_subject};
use portcullis_access::matrix::Rule;
use portcullis_access::{Identity, Scope, authorize};
use portcullis_store::Tx;
use portcullis_store::identities::Membership;

/// Who is asking, and for what: an identity that may do what this route does, in the tenant of the path.
///
/// There is one only where the request has passed the front, which asked [`authorize`] before the handler was called.
#[derive(Clone)]
pub struct Caller(Arc<Inner>);

struct Inner {
    identity: Identity,
    rule: &'static Rule,
    scope: Scope,
    ticket: Option<IdempotentRequest>,
    dry_run: bool,
    memberships: Vec<Membership>,
}

impl Caller {
    pub(super) fn new(
        identity: Identity,
        rule: &'static Rule,
        scope: Scope,
        ticket: Option<IdempotentRequest>,
        dry_run: bool,
    ) -> Self {
        Self(Arc::new(Inner { identity, rule, scope, ticket, dry_run, memberships: Vec::new() }))
    }

    /// The same with the memberships that say what it is.
    pub(super) fn of(mut self, memberships: Vec<Membership>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.memberships = memberships;
        }
        self
    }

    /// The memberships that say what it is; none of an identity whose token says it.
    pub fn memberships(&self) -> &[Membership] {
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
            ticket.keep(&mut tx, &answer.stored()?).await?;
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

impl SignaturePart for Caller {
    fn describe(signature: &mut Signature) {
        signature.caller = true;
    }
}

/// The bearer token of a request.
///
/// # Errors
/// 401 where there is none, or more than one.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value =
        values.next().ok_or_else(|| Problem::new(Code::Unauthorized, "the bearer token is missing"))?;
    let text = value.to_str().unwrap_or_default();
    let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match (token, values.next()) {
        (Some((_, token)), None) if !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(Problem::new(Code::Unauthorized, "`Authorization` must be `Bearer` and one token")),
    }
}

/// A subject as the ledger keeps it, or what is wrong with it.
///
/// # Errors
/// A fault at this pointer.
pub(crate) fn read_subject(api: &Api, text: &str, pointer: &str) -> Result<String, Fault> {
    canonical(api.authenticator().issuers().own().names().issuer(), text)
        .map_err(|why| Fault::new(pointer, why))
}

/// Several, each with its place in the list at `pointer`; every fault is added, and what is given twice is one of them.
pub(crate) fn read_subjects(
    api: &Api,
    list: &[String],
    pointer: &str,
    faults: &mut Vec<Fault>,
) -> Vec<String> {
    let mut subjects: Vec<String> = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        let at = format!("{pointer}/{index}");
        match read_subject(api, text, &at) {
            Ok(subject) if subjects.contains(&subject) => faults.push(Fault::new(at, "is listed twice")),
            Ok(subject) => subjects.push(subject),
            Err(fault) => faults.push(fault),
        }
    }
    subjects
}

fn canonical(own: &str, text: &str) -> Result<String, String> {
    let (issuer, sub) = text.split_once('#').unwrap_or((own, text));
    if issuer == PROCESS_ISSUER {
        return Err(format!("has the issuer `{PROCESS_ISSUER}`, which is the server itself"));
    }
    let plain = |c: char| !(c.is_whitespace() || c.is_control() || c == ',');
    if issuer.is_empty() || !issuer.chars().all(plain) {
        return Err("needs an issuer before the `#`".to_owned());
    }
    check_subject(sub).map_err(|error| error.to_string())?;
    Ok(format!("{issuer}#{sub}"))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn name_without_issuer_is_of_this_server() {
        for (text, expected) in [
            ("ada", Ok("ledger#ada")),
            ("ledger#ada", Ok("ledger#ada")),
            ("https://id.example.com#ada", Ok("https://id.example.com#ada")),
            ("https://id.example.com#a#b", Ok("https://id.example.com#a#b")),
            ("#ada", Err("needs an issuer")),
            ("x y#ada", Err("needs an issuer")),
            ("ledger#", Err("1 to 255 bytes")),
            ("", Err("1 to 255 bytes")),
            ("ada lovelace", Err("no spaces")),
            ("portcullis#reaper", Err("the server itself")),
        ] {
            match (canonical("ledger", text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(says)) => assert!(found.contains(says), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
