//! Who is asking, and what of it can be believed.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::role::Role;

/// The issuer of the server's own work. No token may name it: an audit row of `portcullis#reaper` is the reaper's.
pub const PROCESS_ISSUER: &str = "portcullis";

/// Whether a name, `issuer#sub`, is the server's own.
pub(super) fn of_process(name: &str) -> bool {
    name.split_once('#').is_some_and(|(issuer, _)| issuer == PROCESS_ISSUER)
}

/// Who is asking, as an issuer vouches for it.
///
/// Its parts can contradict each other (an admin of one tenant, an owner of some projects), so nothing may be concluded
/// from one field alone: ask [`Identity::standing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who vouches. Holds no `#`.
    pub issuer: String,
    /// Whom it vouches for, unique within the issuer.
    pub subject: String,
    /// What it says the subject is; empty for somebody known who is nothing here.
    pub roles: Vec<Role>,
    /// Where a tenant's role holds.
    pub tenant: Option<TenantRef>,
    /// Ids of the projects that the subject is limited to; without it, all of the tenant's. An empty list is none.
    pub projects: Option<Vec<String>>,
    /// The clusters whose part of the snapshot a gate may read. The role `service` needs it, no other role has it.
    pub clusters: Option<Clusters>,
    /// The token's own id, by which it is revoked.
    pub jti: Option<String>,
    /// When the token ends, unix seconds.
    pub expires: Option<i64>,
    /// Who minted the token, where that was not the subject: `issuer#sub`.
    pub minted_by: Option<String>,
}

/// The clusters that a gate's token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clusters {
    /// Every cluster, which only the holder of the keys can sign.
    All,
    /// One cluster by its id, a UUID in lower case. Never its name, which another cluster may have after a deletion.
    One(String),
}

/// A tenant, by both of its names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TenantRef {
    /// The id, a UUID in lower case. Power is limited by this one: a slug can be given again after a deletion.
    pub id: String,
    /// The slug, for paths and for people.
    pub slug: String,
}

/// What an identity's roles come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Known, and nothing here.
    NoRole,
    /// Runs the platform.
    Admin,
    /// Somebody of one tenant.
    Member {
        /// Which.
        tenant: &'a TenantRef,
        /// The strongest of its roles there.
        role: Role,
        /// Ids of the projects it is limited to.
        projects: Option<&'a [String]>,
    },
    /// A gate.
    Service {
        /// The clusters that it may read.
        clusters: &'a Clusters,
    },
}

/// An identity whose parts do not go together. It may do nothing: which part was meant is not for us to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Contradiction {
    /// `admin` or `service` beside another role.
    #[error("the role `{0}` stands alone")]
    NotAlone(Role),
    /// `admin` or `service` within a tenant or projects.
    #[error("the role `{0}` belongs to no tenant and no project")]
    Bound(Role),
    /// A tenant's role without its tenant.
    #[error("the role `{0}` needs a tenant")]
    NoTenant(Role),
    /// An owner of some projects would be an owner of all: who gives roles can give itself the rest.
    #[error("the role `tenantOwner` is for the whole tenant, not for some projects")]
    OwnerOfSome,
    /// A gate without its cluster.
    #[error("the role `service` needs a cluster")]
    NoCluster,
    /// A cluster for a role other than a gate's.
    #[error("a cluster is for the role `service`, not for `{0}`")]
    ClusterOf(Role),
    /// A tenant or project that is named by nothing.
    #[error("a tenant or a project is named by an empty text")]
    Empty,
}

// === impl Clusters ===

impl Clusters {
    const ALL: &str = "*";

    /// As a token says it: an id, or `*`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => Self::ALL,
            Self::One(id) => id,
        }
    }

    /// The inverse of [`Clusters::as_str`]; whether the id is one is for the caller to check.
    pub fn of(text: String) -> Self {
        if text == Self::ALL { Self::All } else { Self::One(text) }
    }
}

// === impl Identity ===

impl Identity {
    /// The one name of a subject: equal `sub`s of two issuers never meet.
    pub fn name(&self) -> String {
        format!("{}#{}", self.issuer, self.subject)
    }

    /// The server's own work: `portcullis#reaper`, `portcullis#seed`. It acts as an administrator.
    pub fn process(name: &str) -> Self {
        Self { roles: vec![Role::Admin], ..Self::known(PROCESS_ISSUER, name) }
    }

    /// The server's own work that reads the snapshot of all clusters and changes nothing.
    pub fn reading_process(name: &str) -> Self {
        Self {
            roles: vec![Role::Service],
            clusters: Some(Clusters::All),
            ..Self::known(PROCESS_ISSUER, name)
        }
    }

    /// Somebody an issuer vouches for, who is nothing here yet.
    pub fn known(issuer: &str, subject: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            roles: Vec::new(),
            tenant: None,
            projects: None,
            clusters: None,
            jti: None,
            expires: None,
            minted_by: None,
        }
    }

    /// Whether it is a member's token that was minted through the API: it is worth what the membership is worth now. One
    /// that was signed with the keys at hand (`portcullis token new`) says what whoever holds them says.
    pub fn leans_on_membership(&self) -> bool {
        let by_hand = self.minted_by.as_deref().is_some_and(of_process);
        self.jti.is_some() && self.tenant.is_some() && !by_hand
    }

    /// The same person as a member of one tenant, and as nothing else: what a membership says replaces what stood there.
    #[must_use]
    pub fn member(self, tenant: TenantRef, role: Role, projects: Option<Vec<String>>) -> Self {
        Self { roles: vec![role], tenant: Some(tenant), projects, ..self }
    }

    /// What the roles come to.
    pub fn standing(&self) -> Result<Standing<'_>, Contradiction> {
        let Some(role) = self.roles.iter().copied().min() else { return Ok(Standing::NoRole) };
        if self.clusters.is_some()
            && let Some(other) = self.roles.iter().copied().find(|role| *role != Role::Service)
        {
            return Err(Contradiction::ClusterOf(other));
        }
        let apart = self.roles.iter().copied().find(|role| !role.in_tenant());
        if let Some(apart) = apart {
            return match (self.roles.len(), &self.tenant, &self.projects) {
                (1, None, None) if apart == Role::Admin => Ok(Standing::Admin),
                (1, None, None) => match &self.clusters {
                    Some(clusters) => Ok(Standing::Service { clusters }),
                    None => Err(Contradiction::NoCluster),
                },
                (1, ..) => Err(Contradiction::Bound(apart)),
                _ => Err(Contradiction::NotAlone(apart)),
            };
        }
        let tenant = self.tenant.as_ref().ok_or(Contradiction::NoTenant(role))?;
        let projects = self.projects.as_deref();
        if tenant.id.is_empty()
            || tenant.slug.is_empty()
            || projects.into_iter().flatten().any(String::is_empty)
        {
            return Err(Contradiction::Empty);
        }
        match (role, projects) {
            (Role::TenantOwner, Some(_)) => Err(Contradiction::OwnerOfSome),
            _ => Ok(Standing::Member { tenant, role, projects }),
        }
    }
}
