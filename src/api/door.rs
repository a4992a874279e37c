//! Who is believed: our own tokens, unless revoked, and the identities of further issuers, as far as they are members.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderName;

use super::problem::{Code, Problem};
use crate::access::identity::PROCESS_ISSUER;
use crate::access::{Action, Identity, Issuers, Role, Scope, authorize};
use crate::store::Ledger;
use crate::store::identities::{self, Standing};

/// Names the tenant, by id or slug, that somebody who is a member of several means, where the path names none.
pub const TENANT: HeaderName = HeaderName::from_static("x-portcullis-tenant");

/// What the ledger said of somebody is believed for so long. So a revocation at another server takes this long at most;
/// at this one it holds at once.
const FRESH: Duration = Duration::from_secs(1);

/// Entries of the memory; when there are more, it is forgotten whole.
const ENTRIES_MAX: usize = 10_000;

/// Everybody who is believed.
pub struct Door {
    issuers: Arc<Issuers>,
    memory: Mutex<HashMap<String, (Instant, Known)>>,
}

/// What the ledger says of somebody.
#[derive(Debug, Clone)]
enum Known {
    /// Of one of our tokens, by its id.
    Revoked(bool),
    /// Of somebody whom a further issuer vouches for, by name.
    Member(Vec<Standing>),
}

impl Door {
    /// Believes these issuers.
    pub fn new(issuers: impl Into<Arc<Issuers>>) -> Self {
        Self { issuers: issuers.into(), memory: Mutex::default() }
    }

    /// The issuers, ourselves first.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// The public keys of our own tokens.
    pub fn jwks(&self) -> serde_json::Value {
        self.issuers.own().keys().now().jwks()
    }

    /// Whose token it is. `tenant` is the one that the request names, by id or slug.
    ///
    /// # Errors
    /// 401 with the reason, 503 where the ledger cannot be asked.
    pub async fn identify(
        &self,
        ledger: &Ledger,
        token: &str,
        tenant: Option<&str>,
    ) -> Result<Identity, Problem> {
        let who = self.issuers.identify(token).await?;
        if let Some(jti) = &who.jti {
            return match self.known(ledger, jti, Question::Revoked).await? {
                Known::Revoked(true) => Err(Problem::of(Code::TokenRevoked)),
                _ => Ok(who),
            };
        }
        if !who.roles.is_empty() {
            return Ok(who);
        }
        match self.known(ledger, &who.name(), Question::Member).await? {
            Known::Member(all) => member(who, all, tenant),
            Known::Revoked(_) => Ok(who),
        }
    }

    /// Forgets what was known of a token, so that its revocation holds at once.
    pub fn forget(&self, jti: &str) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(jti);
    }

    async fn known(&self, ledger: &Ledger, key: &str, question: Question) -> Result<Known, Problem> {
        let now = Instant::now();
        if let Some(known) = self.remembered(key, now) {
            return Ok(known);
        }
        let mut tx = ledger.read(&asking()?).await?;
        let known = match question {
            Question::Revoked => Known::Revoked(identities::is_revoked(&mut tx, key).await?),
            Question::Member => Known::Member(identities::memberships(&mut tx, key).await?),
        };
        tx.rollback().await?;
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= ENTRIES_MAX {
            memory.clear();
        }
        memory.insert(key.to_owned(), (now, known.clone()));
        Ok(known)
    }

    fn remembered(&self, key: &str, now: Instant) -> Option<Known> {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, known) = memory.get(key)?;
        (now.duration_since(*at) < FRESH).then(|| known.clone())
    }
}

#[derive(Clone, Copy)]
enum Question {
    Revoked,
    Member,
}

/// The scope in which the ledger is asked who somebody is: it reads, and changes nothing.
fn asking() -> Result<Scope, Problem> {
    let who = Identity { roles: vec![Role::Service], ..Identity::known(PROCESS_ISSUER, "door") };
    Ok(authorize(&who, Action::Snapshot, None, "")?)
}

/// Somebody as a member of the tenant that is meant: the one that is named, or the only one.
fn member(who: Identity, all: Vec<Standing>, tenant: Option<&str>) -> Result<Identity, Problem> {
    let several = all.len() > 1;
    let mut meant = all.into_iter().filter(|s| tenant.is_none_or(|t| t == s.tenant.id || t == s.tenant.slug));
    match (meant.next(), tenant) {
        (Some(_), None) if several => {
            let sentence =
                "the caller is a member of several tenants; name one in the header `X-Portcullis-Tenant`";
            Err(Problem::new(Code::Forbidden, sentence))
        }
        (Some(Standing { tenant, role, projects }), _) => Ok(who.member(tenant, role, projects)),
        (None, _) => Ok(who),
    }
}
