//! Roles × routes, as data: what may be asked of the ledger, by whom, and under which condition.
//!
//! Routes, authorization, the OpenAPI document, `docs/access.md` and the test that walks every route with every role are
//! made from [`RULES`]; nothing else says who may do what.

use std::fmt;

use super::role::Role;

mod print;
mod table;
#[cfg(test)]
mod tests;

pub use print::markdown;
pub use table::{Action, RULES};

/// One route, and who may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What is done.
    pub action: Action,
    /// How it is asked.
    pub method: Method,
    /// Where, with its variables in braces: `{t}` is the tenant, `{p}` the project.
    pub path: &'static str,
    /// Another path that means the same.
    pub alias: Option<&'static str>,
    /// What it does, in a sentence.
    pub what: &'static str,
    /// The columns of the table, in the order of [`Role::ALL`].
    who: [May; 5],
}

/// The methods of HTTP that the ledger knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes, or does something that is no resource.
    Post,
    /// Replaces.
    Put,
    /// Changes what is named.
    Patch,
    /// Removes.
    Delete,
}

/// A cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// Without any token.
    Open,
    /// Within what the role reaches.
    Yes,
    /// Under a condition, which the handler keeps.
    Limited(Limit),
    /// 403.
    No,
}

/// A condition under which a role may do something. Those on tenant and project stand in the scope itself and are kept
/// by the ledger; the others have to be kept where the body or the row is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Lists and finds what is its tenant's, and what is everybody's.
    OwnTenant,
    /// In its own projects, by [`super::Scope::may_project`].
    OwnProjects,
    /// Of clusters that its tenant is on, name and id.
    OwnClusters,
    /// Everything but the field `registries`.
    NotRegistries,
    /// Gives and takes no role above its own.
    UpToOwnRole,
    /// Mints for members of its own tenant, roles up to its own, for a day at most.
    Mint,
    /// Tokens that are its own.
    OwnTokens,
    /// In its own projects, unless a setting keeps sandboxes to owners.
    SandboxSetting,
    /// Items whose scope is its own tenant.
    TenantItems,
    /// Only what tightens, and of what is there only what its tenant has made.
    Tighten,
    /// Sets that its tenant has made, not the platform's.
    OwnSets,
    /// Asks for it; an admin decides.
    Request,
    /// What it has asked for itself.
    OwnRequest,
}

/// The rule of an action.
pub const fn rule(action: Action) -> &'static Rule {
    table::rule(action)
}

impl Rule {
    /// What a role may.
    pub const fn may(&self, role: Role) -> May {
        let [admin, owner, dev, reader, service] = self.who;
        match role {
            Role::Admin => admin,
            Role::TenantOwner => owner,
            Role::ProjectDev => dev,
            Role::ReadOnly => reader,
            Role::Service => service,
        }
    }

    /// The roles that may, under a condition or without.
    pub fn needs(&self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.may(*role) != May::No).collect()
    }

    /// Whether it is served without a token.
    pub const fn is_open(&self) -> bool {
        matches!(self.may(Role::Service), May::Open)
    }

    /// Whether the path names a tenant.
    pub fn names_tenant(&self) -> bool {
        self.path.contains("{t}")
    }

    /// Whether the path names a project.
    pub fn names_project(&self) -> bool {
        self.path.contains("{p}")
    }
}

impl Method {
    /// As HTTP writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Limit {
    /// In words, as the table in the documentation has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnTenant => "own tenant",
            Self::OwnProjects => "own projects",
            Self::OwnClusters => "own clusters, name and id",
            Self::NotRegistries => "all but `registries`",
            Self::UpToOwnRole => "up to own role",
            Self::Mint => "own tenant's members, up to own role, a day at most",
            Self::OwnTokens => "own tokens",
            Self::SandboxSetting => "own projects, unless the setting says otherwise",
            Self::TenantItems => "own tenant's items",
            Self::Tighten => "what tightens",
            Self::OwnSets => "own sets, not the platform's",
            Self::Request => "as a request",
            Self::OwnRequest => "own request",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for May {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Yes => "yes",
            Self::Limited(limit) => limit.as_str(),
            Self::No => "–",
        })
    }
}
