//! From an identity and an action to a scope, or to a refusal.

use std::fmt;

use thiserror::Error;

use super::identity::{self, Clusters, Identity, Standing};
use super::matrix::{self, Action, Limit, May};
use super::role::Role;

#[cfg(test)]
mod tests;

/// A permission for one action, with what it is limited to. Only [`authorize`] makes one.
#[derive(Debug, Clone)]
pub struct Scope {
    power: Power,
    actor: Actor,
    action: Action,
    limit: Option<Limit>,
    request_id: String,
}

/// How far a scope reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// Every tenant, and what belongs to none.
    Admin,
    /// One tenant.
    Tenant {
        /// Its id: never a slug, which may be another tenant's tomorrow.
        id: String,
        /// The caller's strongest role there.
        role: Role,
        /// Ids of the projects it is limited to; without it, all of the tenant's.
        projects: Option<Vec<String>>,
    },
    /// A gate's: reads the snapshot of these clusters, and the bundle of policies.
    Feed {
        /// Which.
        clusters: Clusters,
    },
}

/// Who acts, as the audit log names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `issuer#sub`.
    pub name: String,
    /// What it was when it acted.
    pub roles: Vec<Role>,
    /// Who minted its token, where that was somebody else.
    pub minted_by: Option<String>,
}

/// Why there is no scope.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// The caller's role does not reach so far: 403.
    #[error("`{action}` needs {}", OneOf(needs))]
    Forbidden {
        /// What was asked for.
        action: Action,
        /// The roles that may.
        needs: Vec<Role>,
    },
    /// Another tenant's, or nobody's: 404 of the resource asked for, the same in both cases.
    #[error("not found")]
    Hidden,
}

/// Asks whether somebody may do something.
///
/// `tenant` is the tenant that the request names, by id or slug, be it in the path, the query or the body. The answer
/// is looked for in this order: is it the caller's own tenant, then does one of its roles reach so far. An identity that
/// contradicts itself is nobody.
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

/// Whether the tenant that is asked for is the caller's to know of. A route that names a tenant in its path is never
/// asked without it but by an administrator: a handler that forgot to hand it in must not widen what it serves.
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
    /// Whether it is the server's own work, or a command of whoever holds its keys.
    pub fn is_process(&self) -> bool {
        identity::of_process(&self.name)
    }
}

impl Scope {
    /// How far it reaches.
    pub const fn power(&self) -> &Power {
        &self.power
    }

    /// Who acts.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// What it was given for.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The condition under which the table allows it, if there is one; the handler's to keep.
    pub const fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// The request it was given for.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Id of the one tenant it is limited to. None for administrators, and for gates, which read and change nothing.
    pub fn tenant(&self) -> Option<&str> {
        match &self.power {
            Power::Tenant { id, .. } => Some(id),
            Power::Admin | Power::Feed { .. } => None,
        }
    }

    /// Id of the one cluster whose part of the snapshot it may read; none where it may read that of every cluster.
    pub fn cluster(&self) -> Option<&str> {
        match &self.power {
            Power::Feed { clusters: Clusters::One(id) } => Some(id),
            Power::Admin | Power::Tenant { .. } | Power::Feed { clusters: Clusters::All } => None,
        }
    }

    /// Whether it reaches into a project of its tenant, by the project's id. That the project is the tenant's is for
    /// the ledger to check.
    pub fn may_project(&self, project_id: &str) -> bool {
        match &self.power {
            Power::Admin | Power::Tenant { projects: None, .. } => true,
            Power::Tenant { projects: Some(own), .. } => own.iter().any(|id| id == project_id),
            Power::Feed { .. } => false,
        }
    }

    /// Whether it reaches into every project of the tenants that it reaches.
    pub const fn reaches_all_projects(&self) -> bool {
        matches!(&self.power, Power::Admin | Power::Tenant { projects: None, .. })
    }

    /// Whether it may make somebody else this: nobody gives more than it has.
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
            [] => f.write_str("a role that nobody has"),
            [one] => write!(f, "the role {one}"),
            [rest @ .., last] => write!(f, "one of the roles {} and {last}", rest.join(", ")),
        }
    }
}
