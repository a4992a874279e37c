//! Minting tokens: a caller cannot grant more than its own role.

use thiserror::Error;

use super::identity::{
    Clusters, Contradiction, Identity, Standing, SubjectError, TenantRef, check_subject, is_id, is_slug,
};
use super::matrix::Action;
use super::role::Role;
use super::scope::{Power, Scope};

#[cfg(test)]
mod tests;

/// Shortest lifetime, several times the tolerated clock difference.
pub const TTL_SECONDS_MIN: i64 = 60;

/// Default lifetime.
pub const TTL_SECONDS: i64 = 3600;

/// Longest lifetime: thirty days.
pub const LIFETIME_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;

/// Longest lifetime of a token that an owner mints: a day.
pub const OWNER_TTL_SECONDS_MAX: i64 = 24 * 60 * 60;

/// Most projects in a token.
pub const PROJECTS_MAX: usize = 100;

/// A requested token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The subject within the server's own issuer.
    pub subject: String,
    pub roles: Vec<Role>,
    /// Both names must be the ledger's.
    pub tenant: Option<TenantRef>,
    /// Ids of the projects that it is limited to.
    pub projects: Option<Vec<String>>,
    /// The clusters that a gate's token is for.
    pub clusters: Option<Clusters>,
    pub ttl_seconds: i64,
}

/// The subject's membership in the tenant, from the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub role: Role,
    /// Ids of the projects; `None` means all.
    pub projects: Option<Vec<String>>,
}

/// A granted request. Only [`grant`] creates one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    request: TokenRequest,
    minted_by: String,
}

/// Why a request is denied: the first two are 403 in the API, the others 422.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MintError {
    #[error("tokens are minted by administrators, and by owners for their own tenant")]
    NotYours,
    #[error("the role `{0}` is more than can be given here")]
    TooMuch(Role),
    #[error("the subject is not a member of the tenant")]
    NoMember,
    #[error("the subject's membership is limited to projects; name some of those")]
    Projects,
    #[error("a token lives {TTL_SECONDS_MIN} to {most} seconds")]
    Lifetime {
        /// The bound for this minter.
        most: i64,
    },
    #[error("a token grants at least one role")]
    NoRole,
    #[error(
        "a token for all clusters is signed by `portcullis token new --all-clusters` alone; name one cluster"
    )]
    AllClusters,
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error(
        "a tenant needs its slug and id, a cluster its id; projects are at most {PROJECTS_MAX} different ids"
    )]
    Ids,
}

/// Checks a request. `member` is the subject's membership in the requested tenant: a tenant's token needs one, unless
/// [`Identity::process`] mints it, which holds the signing keys.
pub fn grant(scope: &Scope, request: TokenRequest, member: Option<&Membership>) -> Result<Grant, MintError> {
    if scope.action() != Action::TokensMint {
        return Err(MintError::NotYours);
    }
    let most = match scope.power() {
        Power::Admin => LIFETIME_SECONDS_MAX,
        Power::Tenant { id, role: Role::TenantOwner, .. } => {
            if request.tenant.as_ref().map(|tenant| &tenant.id) != Some(id) {
                return Err(MintError::NotYours);
            }
            within(scope, &request, member)?;
            OWNER_TTL_SECONDS_MAX
        }
        Power::Tenant { .. } | Power::Feed { .. } => return Err(MintError::NotYours),
    };
    if !(TTL_SECONDS_MIN..=most).contains(&request.ttl_seconds) {
        return Err(MintError::Lifetime { most });
    }
    well_formed(&request)?;
    if request.clusters == Some(Clusters::All) && !scope.actor().is_process() {
        return Err(MintError::AllClusters);
    }
    // The holder of the keys can sign any token, so only an administrator is checked against the ledger.
    if request.tenant.is_some() && *scope.power() == Power::Admin && !scope.actor().is_process() {
        within(scope, &request, member)?;
    }
    Ok(Grant { request, minted_by: scope.actor().name.clone() })
}

/// Neither more than the minter's rights nor more than the subject's.
fn within(scope: &Scope, request: &TokenRequest, member: Option<&Membership>) -> Result<(), MintError> {
    if let Some(role) = request.roles.iter().find(|role| !scope.may_grant(**role)) {
        return Err(MintError::TooMuch(*role));
    }
    let member = member.ok_or(MintError::NoMember)?;
    if let Some(role) = request.roles.iter().find(|role| !member.role.covers(**role)) {
        return Err(MintError::TooMuch(*role));
    }
    if member.covers(&request.roles, request.projects.as_deref()) { Ok(()) } else { Err(MintError::Projects) }
}

impl Membership {
    /// Whether the membership includes these roles and projects.
    pub fn covers(&self, roles: &[Role], projects: Option<&[String]>) -> bool {
        let projects = match (&self.projects, projects) {
            (None, _) => true,
            (Some(own), Some(named)) => named.iter().all(|id| own.contains(id)),
            (Some(_), None) => false,
        };
        projects && roles.iter().all(|role| self.role.covers(*role))
    }
}

fn well_formed(request: &TokenRequest) -> Result<(), MintError> {
    check_subject(&request.subject)?;
    let projects = request.projects.as_deref().unwrap_or_default();
    let mut sorted: Vec<&String> = projects.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let ids = request.tenant.iter().map(|tenant| &tenant.id).chain(projects).all(|id| is_id(id));
    let cluster = match &request.clusters {
        Some(Clusters::One(id)) => is_id(id),
        Some(Clusters::All) | None => true,
    };
    let slug = request.tenant.as_ref().is_none_or(|tenant| is_slug(&tenant.slug));
    if !ids || !cluster || !slug || sorted.len() != projects.len() || projects.len() > PROJECTS_MAX {
        return Err(MintError::Ids);
    }
    let who = Identity {
        roles: request.roles.clone(),
        tenant: request.tenant.clone(),
        projects: request.projects.clone(),
        clusters: request.clusters.clone(),
        ..Identity::known("", &request.subject)
    };
    match who.standing()? {
        Standing::NoRole => Err(MintError::NoRole),
        Standing::Admin | Standing::Member { .. } | Standing::Service { .. } => Ok(()),
    }
}

impl Grant {
    pub fn subject(&self) -> &str {
        &self.request.subject
    }

    pub fn roles(&self) -> &[Role] {
        &self.request.roles
    }

    pub const fn tenant(&self) -> Option<&TenantRef> {
        self.request.tenant.as_ref()
    }

    pub fn projects(&self) -> Option<&[String]> {
        self.request.projects.as_deref()
    }

    /// The clusters that a gate's token is for.
    pub const fn clusters(&self) -> Option<&Clusters> {
        self.request.clusters.as_ref()
    }

    pub const fn ttl_seconds(&self) -> i64 {
        self.request.ttl_seconds
    }

    /// `issuer#sub`.
    pub fn minted_by(&self) -> &str {
        &self.minted_by
    }
}
