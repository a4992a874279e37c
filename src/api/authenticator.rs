//! Authenticates bearer tokens: this server's own, unless revoked, and those of trusted issuers, as members.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderName;

use super::problem::{Code, Problem};
use portcullis_access::mint;
use portcullis_access::{Action, Clusters, Identity, Issuers, Scope, authorize};
use portcullis_store::identities::{self, Membership};
use portcullis_store::{Ledger, StoreError, Tx, snapshot};

/// The tenant, by id or slug, in which a member of several tenants acts. It is needed if the path names no tenant.
pub const TENANT: HeaderName = HeaderName::from_static("x-portcullis-tenant");

/// How long a status from the ledger is cached. A revocation at another server takes effect within this time, one at this
/// server at once.
const CACHE_TTL: Duration = Duration::from_secs(1);

const ENDED: &str = "the membership that this token was minted for has ended or was reduced";

const NO_CLUSTER: &str = "the cluster of this token is not registered";

/// Entries of the cache; at this number it is cleared.
const ENTRIES_MAX: usize = 10_000;

pub struct Authenticator {
    issuers: Arc<Issuers>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    statuses: HashMap<String, (Instant, LedgerStatus)>,
    /// Counts the clearings. A status that was read before a clearing is not cached after it.
    generation: u64,
}

/// What the ledger says about a token of this server, or about a subject of a trusted issuer.
#[derive(Debug, Clone)]
enum LedgerStatus {
    Token(TokenStatus),
    Member(Vec<Membership>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenStatus {
    Valid,
    Revoked,
    /// The subject is no longer a member, or has fewer rights than the token says.
    MembershipEnded,
    /// The cluster of a gate's token was removed.
    ClusterRemoved,
}

impl Authenticator {
    pub fn new(issuers: impl Into<Arc<Issuers>>) -> Self {
        Self { issuers: issuers.into(), cache: Mutex::default() }
    }

    /// The trusted issuers, this server's own first.
    pub(crate) fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    pub(crate) fn jwks(&self) -> serde_json::Value {
        self.issuers.own().keys().now().jwks()
    }

    /// Authenticates a token. `tenant` is the one that the request names, by id or slug.
    ///
    /// # Errors
    /// 401 with the reason, 503 if the ledger is unavailable.
    pub(crate) async fn identify(
        &self,
        ledger: &Ledger,
        token: &str,
        tenant: Option<&str>,
    ) -> Result<Authenticated, Problem> {
        let who = self.issuers.identify(token).await?;
        if let Some(jti) = &who.jti {
            return match self.ledger_status(ledger, jti, StatusQuery::Token(&who)).await? {
                LedgerStatus::Token(TokenStatus::Revoked) => Err(Problem::of(Code::TokenRevoked)),
                LedgerStatus::Token(TokenStatus::MembershipEnded) => {
                    Err(Problem::new(Code::TokenRevoked, ENDED))
                }
                LedgerStatus::Token(TokenStatus::ClusterRemoved) => {
                    Err(Problem::new(Code::TokenRevoked, NO_CLUSTER))
                }
                _ => Ok(Authenticated::without_memberships(who)),
            };
        }
        if !who.roles.is_empty() {
            return Ok(Authenticated::without_memberships(who));
        }
        match self.ledger_status(ledger, &who.name(), StatusQuery::Member).await? {
            LedgerStatus::Member(all) => Ok(as_member(who, all, tenant)),
            LedgerStatus::Token(_) => Ok(Authenticated::without_memberships(who)),
        }
    }

    /// Clears the cache, so that a revocation or the end of a membership takes effect at once.
    pub(crate) fn clear_cache(&self) {
        let mut cache = self.lock_cache();
        cache.statuses.clear();
        cache.generation += 1;
    }

    async fn ledger_status(
        &self,
        ledger: &Ledger,
        key: &str,
        query: StatusQuery<'_>,
    ) -> Result<LedgerStatus, Problem> {
        let now = Instant::now();
        let generation = {
            let cache = self.lock_cache();
            if let Some((at, status)) = cache.statuses.get(key)
                && now.duration_since(*at) < CACHE_TTL
            {
                return Ok(status.clone());
            }
            cache.generation
        };
        let mut tx = ledger.read(&reading_scope()?).await?;
        let status = match query {
            StatusQuery::Token(who) => LedgerStatus::Token(token_status(&mut tx, key, who).await?),
            StatusQuery::Member => LedgerStatus::Member(identities::memberships(&mut tx, key).await?),
        };
        tx.rollback().await?;
        let mut cache = self.lock_cache();
        if cache.statuses.len() >= ENTRIES_MAX {
            cache.statuses.clear();
        }
        if cache.generation == generation {
            cache.statuses.insert(key.to_owned(), (now, status.clone()));
        }
        Ok(status)
    }

    fn lock_cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum StatusQuery<'a> {
    Token(&'a Identity),
    Member,
}

async fn token_status(tx: &mut Tx, jti: &str, who: &Identity) -> Result<TokenStatus, StoreError> {
    if identities::is_revoked(tx, jti).await? {
        return Ok(TokenStatus::Revoked);
    }
    if let Some(Clusters::One(cluster)) = &who.clusters {
        let known = snapshot::cluster_by_id(tx, cluster).await;
        return match known {
            Ok(_) => Ok(TokenStatus::Valid),
            Err(StoreError::NotFound(_)) => Ok(TokenStatus::ClusterRemoved),
            Err(error) => Err(error),
        };
    }
    let Some(tenant) = who.tenant.as_ref().filter(|_| who.leans_on_membership()) else {
        return Ok(TokenStatus::Valid);
    };
    let own = identities::memberships(tx, &who.name()).await?;
    let own = own.into_iter().find(|membership| membership.tenant.id == tenant.id);
    let own = own.map(|membership| mint::Membership { role: membership.role, projects: membership.projects });
    let covered = own.is_some_and(|own| own.covers(&who.roles, who.projects.as_deref()));
    Ok(if covered { TokenStatus::Valid } else { TokenStatus::MembershipEnded })
}

/// The read-only scope of these queries.
fn reading_scope() -> Result<Scope, Problem> {
    Ok(authorize(&Identity::reading_process("authenticator"), Action::Snapshot, None, "")?)
}

/// An identity with its memberships.
pub(crate) struct Authenticated {
    /// A member of several tenants has no role here if the request names none.
    pub who: Identity,
    /// Memberships of a subject of a trusted issuer, by slug; empty for this server's own tokens.
    pub memberships: Vec<Membership>,
    /// Whether the subject is a member of several tenants and the request names none.
    ambiguous: bool,
}

impl Authenticated {
    const fn without_memberships(who: Identity) -> Self {
        Self { who, memberships: Vec::new(), ambiguous: false }
    }

    /// The identity in one tenant.
    ///
    /// # Errors
    /// 403 for a member of several tenants if the request names none.
    pub(crate) fn in_one_tenant(&self) -> Result<&Identity, Problem> {
        if self.ambiguous { Err(Problem::new(Code::Forbidden, AMBIGUOUS)) } else { Ok(&self.who) }
    }

    /// The identity in its first tenant, enough for a member of several to list them.
    pub(crate) fn first_membership(&self) -> Identity {
        match self.memberships.first().cloned().filter(|_| self.ambiguous) {
            Some(Membership { tenant, role, projects }) => self.who.clone().member(tenant, role, projects),
            None => self.who.clone(),
        }
    }
}

const AMBIGUOUS: &str = "the caller is a member of several tenants; name one in the header `X-Portcullis-Tenant`; \
                         `GET /api/v1/me` lists them";

fn as_member(who: Identity, all: Vec<Membership>, tenant: Option<&str>) -> Authenticated {
    let ambiguous = all.len() > 1 && tenant.is_none();
    let named = all.iter().find(|s| tenant.is_none_or(|t| t == s.tenant.id || t == s.tenant.slug));
    let who = match named.filter(|_| !ambiguous).cloned() {
        Some(Membership { tenant, role, projects }) => who.member(tenant, role, projects),
        None => who,
    };
    Authenticated { who, memberships: all, ambiguous }
}
