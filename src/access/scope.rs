//! Authorization: from an identity and an action to a scope, or to a denial.

use std::fmt;

use thiserror::Error;

use super::identity::{self, Clusters, Identity, Standing};
use super::matrix::{self, Action, Limit, May};
use super::role::Role;

#[cfg(test)]
mod tests;

/// Permission for one action, with its limits. Only [`authorize`] creates one.
#[derive(Debug, Clone)]
pub struct Scope {
    power: Power,
    actor: Actor,
    action: Action,
    limit: Option<Limit>,
    request_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// Every tenant, and what belongs to none.
    Admin,
    Tenant {
        /// The id; a slug can be reused by another tenant.
        id: String,
        role: Role,
        /// Ids of the projects; `None` means all projects of the tenant.
        projects: Option<Vec<String>>,
    },
    /// A gate: reads the snapshot of these clusters and the policy bundle.
    Feed { clusters: Clusters },
}

/// The actor in the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `issuer#sub`.
    pub name: String,
    pub roles: Vec<Role>,
    /// Who minted its token, if another subject.
    pub minted_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    #[error("`{action}` needs {}", OneOf(needs))]
    Forbidden { action: Action, needs: Vec<Role> },
    /// 404, the same for another tenant's resource and for one that does not exist.
    #[error("not found")]
    Hidden,
}

/// Authorizes an action.
///
/// `tenant` is the tenant that the request names, by id or slug, in the path, the query or the body. The tenant is
/// checked first, then the role. An identity that contradicts itself has no role.
pub fn authorize(
    who: &Identity,
    action: Action,
    tenant: Option<&str>,
    request_id: &str,
) -> Result<Scope, Denied> {
    let row = matrix::rule(action);
    let standing = who.standing().unwrap_or(Standing::NoRole);
    if !reaches(standing, tenant, row.names_tenant()) {
        return Err(Denied::Hidden);
    }
    let (role, power) = match standing {
        Standing::Admin => (Role::Admin, Power::Admin),
        Standing::Service { clusters } => (Role::Service, Power::Feed { clusters: clusters.clone() }),
        Standing::Member { tenant, role, projects } => {
            (role, Power::Tenant { id: tenant.id.clone(), role, projects: projects.map(<[String]>::to_vec) })
        }
        Standing::NoRole => return Err(Denied::Forbidden { action, needs: row.needs() }),
    };
    let limit = match row.may(role) {
        May::Open | May::Yes => None,
        May::Limited(limit) => Some(limit),
        May::No => return Err(Denied::Forbidden { action, needs: row.needs() }),
    };
    let actor = Actor { name: who.name(), roles: who.roles.clone(), minted_by: who.minted_by.clone() };
    Ok(Scope { power, actor, action, limit, request_id: request_id.to_owned() })
}

/// Whether the caller may know the named tenant. A route with a tenant in its path needs one, except for admins: a
/// handler that forgets to pass it must not widen the scope.
fn reaches(standing: Standing<'_>, tenant: Option<&str>, named: bool) -> bool {
    match (standing, tenant) {
        (Standing::Admin, _) => true,
        (Standing::Member { tenant: own, .. }, Some(asked)) => asked == own.id || asked == own.slug,
        (Standing::Service { .. } | Standing::NoRole, Some(_)) => false,
        (_, None) => !named,
    }
}

// === impl Scope ===

impl Actor {
    /// Whether it is the server's own work, or a command of the holder of the signing keys.
    pub fn is_process(&self) -> bool {
        identity::of_process(&self.name)
    }
}

impl Scope {
    pub const fn power(&self) -> &Power {
        &self.power
    }

    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    pub const fn action(&self) -> Action {
        self.action
    }

    /// The condition of the table, which the handler must check.
    pub const fn limit(&self) -> Option<Limit> {
        self.limit
    }

    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Id of the tenant that the scope is limited to; `None` for admins and gates.
    pub fn tenant(&self) -> Option<&str> {
        match &self.power {
            Power::Tenant { id, .. } => Some(id),
            Power::Admin | Power::Feed { .. } => None,
        }
    }

    /// Id of the cluster whose snapshot may be read; `None` means every cluster.
    pub fn cluster(&self) -> Option<&str> {
        match &self.power {
            Power::Feed { clusters: Clusters::One(id) } => Some(id),
            Power::Admin | Power::Tenant { .. } | Power::Feed { clusters: Clusters::All } => None,
        }
    }

    /// Whether the scope includes a project, by id. The ledger checks that the project belongs to the tenant.
    pub fn may_project(&self, project_id: &str) -> bool {
        match &self.power {
            Power::Admin | Power::Tenant { projects: None, .. } => true,
            Power::Tenant { projects: Some(own), .. } => own.iter().any(|id| id == project_id),
            Power::Feed { .. } => false,
        }
    }

    /// Whether the scope includes every project of its tenants.
    pub const fn reaches_all_projects(&self) -> bool {
        matches!(&self.power, Power::Admin | Power::Tenant { projects: None, .. })
    }

    /// Whether the caller may grant this role: only roles that its own includes.
    pub const fn may_grant(&self, role: Role) -> bool {
        match &self.power {
            Power::Admin => true,
            Power::Tenant { role: own, .. } => own.covers(role),
            Power::Feed { .. } => false,
        }
    }
}

struct OneOf<'a>(&'a [Role]);

impl fmt::Display for OneOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(|role| format!("`{role}`")).collect();
        match words.as_slice() {
            [] => f.write_str("a role that does not exist"),
            [one] => write!(f, "the role {one}"),
            [rest @ .., last] => write!(f, "one of the roles {} and {last}", rest.join(", ")),
        }
    }
}
