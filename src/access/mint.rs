//! Who may mint what: nobody gives more than it has.

use thiserror::Error;

use super::identity::{Clusters, Contradiction, Identity, Standing, TenantRef};
use super::matrix::Action;
use super::role::Role;
use super::scope::{Power, Scope};
use super::subject::{self, SubjectError};
use super::token::LIFETIME_SECONDS_MAX;
use super::token::claims::{is_id, is_slug};

#[cfg(test)]
mod tests;

/// The shortest life of a token: a minute, several times what clocks may differ by.
pub const TTL_SECONDS_MIN: i64 = 60;

/// The life of a token when nobody says otherwise.
pub const TTL_SECONDS: i64 = 3600;

/// The longest life of a token that an owner mints: a day.
pub const OWNER_TTL_SECONDS_MAX: i64 = 24 * 60 * 60;

/// Projects that a token can name.
pub const PROJECTS_MAX: usize = 100;

/// A token that somebody would like to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Whom it is to be about, within our own issuer.
    pub subject: String,
    /// What that is to be.
    pub roles: Vec<Role>,
    /// In which tenant; both names as the ledger has them.
    pub tenant: Option<TenantRef>,
    /// Ids of the projects it is to be limited to.
    pub projects: Option<Vec<String>>,
    /// The clusters that a gate's token is for.
    pub clusters: Option<Clusters>,
    /// How long it is to live, in seconds.
    pub ttl_seconds: i64,
}

/// What the ledger knows of the subject in that tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// What it is there.
    pub role: Role,
    /// Ids of the projects it is limited to; without it, all.
    pub projects: Option<Vec<String>>,
}

/// A wish that was granted. Only [`grant`] makes one, so no token is issued that nobody has granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    wish: Wish,
    minted_by: String,
}

/// Why a wish is not granted. The first two are for the API to answer by 403, the others by 422.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MintError {
    /// The minter may not mint at all, or not in this tenant.
    #[error("tokens are minted by administrators, and by owners for their own tenant")]
    NotYours,
    /// More than the minter is, or more than the subject is.
    #[error("the role `{0}` is more than can be given here")]
    TooMuch(Role),
    /// The subject is not a member of the tenant.
    #[error("the subject is not a member of the tenant")]
    NoMember,
    /// Projects beyond those of the membership.
    #[error("the subject's membership is limited to projects; name some of those")]
    Projects,
    /// Out of bounds.
    #[error("a token lives {TTL_SECONDS_MIN} to {most} seconds")]
    Lifetime {
        /// The bound for this minter.
        most: i64,
    },
    /// No role.
    #[error("a token grants at least one role")]
    NoRole,
    /// A gate's token for all clusters, from a caller who does not hold the keys.
    #[error(
        "a token for all clusters is signed by `portcullis token new --all-clusters` alone; name one cluster"
    )]
    AllClusters,
    /// Roles, tenant, projects and cluster that do not go together.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// No subject.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// An id or slug that is none, twice the same, or too many of them.
    #[error(
        "a tenant goes by its slug and id, a cluster by its id, projects by their ids, at most {PROJECTS_MAX}, none twice"
    )]
    Ids,
}

/// Judges a wish. `member` is what the ledger knows of the subject in the tenant of the wish. A token of a tenant is for
/// its members, whoever mints it; only [`Identity::process`], which holds the keys themselves, mints without asking.
pub fn grant(scope: &Scope, wish: Wish, member: Option<&Membership>) -> Result<Grant, MintError> {
    if scope.action() != Action::TokensMint {
        return Err(MintError::NotYours);
    }
    let most = match scope.power() {
        Power::Admin => LIFETIME_SECONDS_MAX,
        Power::Tenant { id, role: Role::TenantOwner, .. } => {
            if wish.tenant.as_ref().map(|tenant| &tenant.id) != Some(id) {
                return Err(MintError::NotYours);
            }
            within(scope, &wish, member)?;
            OWNER_TTL_SECONDS_MAX
        }
        Power::Tenant { .. } | Power::Feed { .. } => return Err(MintError::NotYours),
    };
    if !(TTL_SECONDS_MIN..=most).contains(&wish.ttl_seconds) {
        return Err(MintError::Lifetime { most });
    }
    well_formed(&wish)?;
    if wish.clusters == Some(Clusters::All) && !scope.actor().is_process() {
        return Err(MintError::AllClusters);
    }
    // Whoever holds the keys can sign anything, and asks no ledger; an administrator says what the ledger says too.
    if wish.tenant.is_some() && *scope.power() == Power::Admin && !scope.actor().is_process() {
        within(scope, &wish, member)?;
    }
    Ok(Grant { wish, minted_by: scope.actor().name.clone() })
}

/// Neither more than the minter is, nor more than the subject is.
fn within(scope: &Scope, wish: &Wish, member: Option<&Membership>) -> Result<(), MintError> {
    if let Some(role) = wish.roles.iter().find(|role| !scope.may_grant(**role)) {
        return Err(MintError::TooMuch(*role));
    }
    let member = member.ok_or(MintError::NoMember)?;
    if let Some(role) = wish.roles.iter().find(|role| !member.role.covers(**role)) {
        return Err(MintError::TooMuch(*role));
    }
    if member.covers(&wish.roles, wish.projects.as_deref()) { Ok(()) } else { Err(MintError::Projects) }
}

impl Membership {
    /// Whether it is at least this: as much as each of the roles, and in each of the projects.
    pub fn covers(&self, roles: &[Role], projects: Option<&[String]>) -> bool {
        let projects = match (&self.projects, projects) {
            (None, _) => true,
            (Some(own), Some(named)) => named.iter().all(|id| own.contains(id)),
            (Some(_), None) => false,
        };
        projects && roles.iter().all(|role| self.role.covers(*role))
    }
}

fn well_formed(wish: &Wish) -> Result<(), MintError> {
    subject::check(&wish.subject)?;
    let projects = wish.projects.as_deref().unwrap_or_default();
    let mut sorted: Vec<&String> = projects.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let ids = wish.tenant.iter().map(|tenant| &tenant.id).chain(projects).all(|id| is_id(id));
    let cluster = match &wish.clusters {
        Some(Clusters::One(id)) => is_id(id),
        Some(Clusters::All) | None => true,
    };
    let slug = wish.tenant.as_ref().is_none_or(|tenant| is_slug(&tenant.slug));
    if !ids || !cluster || !slug || sorted.len() != projects.len() || projects.len() > PROJECTS_MAX {
        return Err(MintError::Ids);
    }
    let who = Identity {
        roles: wish.roles.clone(),
        tenant: wish.tenant.clone(),
        projects: wish.projects.clone(),
        clusters: wish.clusters.clone(),
        ..Identity::known("", &wish.subject)
    };
    match who.standing()? {
        Standing::NoRole => Err(MintError::NoRole),
        Standing::Admin | Standing::Member { .. } | Standing::Service { .. } => Ok(()),
    }
}

impl Grant {
    /// Whom it is about.
    pub fn subject(&self) -> &str {
        &self.wish.subject
    }

    /// What that is.
    pub fn roles(&self) -> &[Role] {
        &self.wish.roles
    }

    /// In which tenant.
    pub const fn tenant(&self) -> Option<&TenantRef> {
        self.wish.tenant.as_ref()
    }

    /// Ids of the projects it is limited to.
    pub fn projects(&self) -> Option<&[String]> {
        self.wish.projects.as_deref()
    }

    /// The clusters that a gate's token is for.
    pub const fn clusters(&self) -> Option<&Clusters> {
        self.wish.clusters.as_ref()
    }

    /// How long it is to live, in seconds.
    pub const fn ttl_seconds(&self) -> i64 {
        self.wish.ttl_seconds
    }

    /// Who granted it: `issuer#sub`.
    pub fn minted_by(&self) -> &str {
        &self.minted_by
    }
}
