//! Who is believed: our own tokens, unless revoked, and the identities of further issuers, as far as they are members.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderName;

use super::problem::{Code, Problem};
use portcullis_access::mint::Membership;
use portcullis_access::{Action, Clusters, Identity, Issuers, Scope, authorize};
use portcullis_store::identities::{self, Standing};
use portcullis_store::{Ledger, StoreError, Tx, snapshot};

/// Names the tenant, by id or slug, that somebody who is a member of several means, where the path names none.
pub const TENANT: HeaderName = HeaderName::from_static("x-portcullis-tenant");

/// What the ledger said of somebody is believed for so long. So a revocation, or the end of a membership, at another
/// server takes this long at most; at this one it holds at once.
const FRESH: Duration = Duration::from_secs(1);

/// Why a token is worth nothing that nobody has revoked.
const ENDED: &str = "the membership that this token was minted for has ended, or is less than the token says";

/// The same of a gate's.
const NO_CLUSTER: &str = "the cluster that this token is for is not registered";

/// Entries of the memory; when there are more, it is forgotten whole.
const ENTRIES_MAX: usize = 10_000;

/// Everybody who is believed.
pub struct Door {
    issuers: Arc<Issuers>,
    memory: Mutex<Memory>,
}

/// What was heard of late.
#[derive(Default)]
struct Memory {
    known: HashMap<String, (Instant, Known)>,
    /// Counts what made the ledger's answers old: what was asked before is not remembered after.
    age: u64,
}

/// What the ledger says of somebody.
#[derive(Debug, Clone)]
enum Known {
    /// Of one of our tokens, by its id.
    Token(Worth),
    /// Of somebody whom a further issuer vouches for, by name.
    Member(Vec<Standing>),
}

/// What one of our tokens is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    Good,
    Revoked,
    /// The subject is no member any more, or less than the token says.
    Ended,
    /// The cluster of a gate was removed.
    Gone,
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
    ) -> Result<Found, Problem> {
        let who = self.issuers.identify(token).await?;
        if let Some(jti) = &who.jti {
            return match self.known(ledger, jti, Question::Token(&who)).await? {
                Known::Token(Worth::Revoked) => Err(Problem::of(Code::TokenRevoked)),
                Known::Token(Worth::Ended) => Err(Problem::new(Code::TokenRevoked, ENDED)),
                Known::Token(Worth::Gone) => Err(Problem::new(Code::TokenRevoked, NO_CLUSTER)),
                _ => Ok(Found::alone(who)),
            };
        }
        if !who.roles.is_empty() {
            return Ok(Found::alone(who));
        }
        match self.known(ledger, &who.name(), Question::Member).await? {
            Known::Member(all) => Ok(member(who, all, tenant)),
            Known::Token(_) => Ok(Found::alone(who)),
        }
    }

    /// Forgets what was known, so that a revocation, or the end of a membership, holds at once.
    pub fn forget(&self) {
        let mut memory = self.memory();
        memory.known.clear();
        memory.age += 1;
    }

    async fn known(&self, ledger: &Ledger, key: &str, question: Question<'_>) -> Result<Known, Problem> {
        let now = Instant::now();
        let age = {
            let memory = self.memory();
            if let Some((at, known)) = memory.known.get(key)
                && now.duration_since(*at) < FRESH
            {
                return Ok(known.clone());
            }
            memory.age
        };
        let mut tx = ledger.read(&asking()?).await?;
        let known = match question {
            Question::Token(who) => Known::Token(worth(&mut tx, key, who).await?),
            Question::Member => Known::Member(identities::memberships(&mut tx, key).await?),
        };
        tx.rollback().await?;
        let mut memory = self.memory();
        if memory.known.len() >= ENTRIES_MAX {
            memory.known.clear();
        }
        if memory.age == age {
            memory.known.insert(key.to_owned(), (now, known.clone()));
        }
        Ok(known)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum Question<'a> {
    Token(&'a Identity),
    Member,
}

/// What the ledger says of a token: of its id, and of the membership that it was minted for.
async fn worth(tx: &mut Tx, jti: &str, who: &Identity) -> Result<Worth, StoreError> {
    if identities::is_revoked(tx, jti).await? {
        return Ok(Worth::Revoked);
    }
    if let Some(Clusters::One(cluster)) = &who.clusters {
        let known = snapshot::cluster::by_id(tx, cluster).await;
        return match known {
            Ok(_) => Ok(Worth::Good),
            Err(StoreError::NotFound(_)) => Ok(Worth::Gone),
            Err(error) => Err(error),
        };
    }
    let Some(tenant) = who.tenant.as_ref().filter(|_| who.leans_on_membership()) else {
        return Ok(Worth::Good);
    };
    let own = identities::memberships(tx, &who.name()).await?;
    let own = own.into_iter().find(|standing| standing.tenant.id == tenant.id);
    let own = own.map(|standing| Membership { role: standing.role, projects: standing.projects });
    let covered = own.is_some_and(|own| own.covers(&who.roles, who.projects.as_deref()));
    Ok(if covered { Worth::Good } else { Worth::Ended })
}

/// The scope in which the ledger is asked who somebody is: it reads, and changes nothing.
fn asking() -> Result<Scope, Problem> {
    Ok(authorize(&Identity::reading_process("door"), Action::Snapshot, None, "")?)
}

/// An identity, and the memberships that say what it is.
pub struct Found {
    /// As a member of the tenant that is meant; of several and none named, it has no role.
    pub who: Identity,
    /// Of an identity of a further issuer, in the order of slugs.
    pub memberships: Vec<Standing>,
    /// Whether it is a member of several tenants, and the request names none.
    pub undecided: bool,
}

impl Found {
    const fn alone(who: Identity) -> Self {
        Self { who, memberships: Vec::new(), undecided: false }
    }

    /// The identity, where it is clear which tenant is meant.
    ///
    /// # Errors
    /// 403 where it is not.
    pub fn decided(&self) -> Result<&Identity, Problem> {
        if self.undecided { Err(Problem::new(Code::Forbidden, UNDECIDED)) } else { Ok(&self.who) }
    }

    /// Any of its memberships, by which a member of several tenants may ask which they are.
    pub fn any(&self) -> Identity {
        match self.memberships.first().cloned().filter(|_| self.undecided) {
            Some(Standing { tenant, role, projects }) => self.who.clone().member(tenant, role, projects),
            None => self.who.clone(),
        }
    }
}

const UNDECIDED: &str = "the caller is a member of several tenants; name one in the header `X-Portcullis-Tenant`; \
                         `GET /api/v1/me` lists them";

/// The identity as a member of the tenant that the request names, or of its only one.
fn member(who: Identity, all: Vec<Standing>, tenant: Option<&str>) -> Found {
    let undecided = all.len() > 1 && tenant.is_none();
    let meant = all.iter().find(|s| tenant.is_none_or(|t| t == s.tenant.id || t == s.tenant.slug));
    let who = match meant.filter(|_| !undecided).cloned() {
        Some(Standing { tenant, role, projects }) => who.member(tenant, role, projects),
        None => who,
    };
    Found { who, memberships: all, undecided }
}
