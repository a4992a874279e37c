//! The table of routes and roles. Routes, authorization, the OpenAPI document, `docs/access.md` and the test of every
//! route with every role are built from [`RULES`].

use std::fmt::{self, Write as _};

use super::role::Role;

mod table;
#[cfg(test)]
mod tests;

pub use table::{Action, RULES};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub action: Action,
    pub method: Method,
    /// Path with variables in braces: `{t}` is the tenant, `{p}` the project.
    pub path: &'static str,
    /// Another path of the same route.
    pub alias: Option<&'static str>,
    /// One sentence for the documentation.
    pub what: &'static str,
    /// The columns of the table, in the order of [`Role::ALL`].
    who: [May; 5],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    Get,
    /// Creates, or starts an action.
    Post,
    Put,
    Patch,
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    Open,
    Yes,
    /// Under a condition that the handler checks.
    Limited(Limit),
    /// 403.
    No,
}

/// A condition on a permission. The ledger enforces tenant and project from the scope; handlers check the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Resources of its tenant and shared ones.
    OwnTenant,
    /// In its own projects, by [`super::Scope::may_project`].
    OwnProjects,
    /// Of clusters that its tenant is on, name and id.
    OwnClusters,
    /// Everything but the field `registries`.
    NotRegistries,
    /// Grants and revokes roles up to its own.
    UpToOwnRole,
    /// Mints for members of its own tenant, up to its own role, for at most a day.
    Mint,
    OwnTokens,
    /// In its own projects, unless a setting limits sandboxes to owners.
    SandboxSetting,
    /// Items whose scope is its own tenant.
    TenantItems,
    /// Only settings that tighten; of existing sets only those that its tenant created.
    Tighten,
    /// Sets that its tenant created.
    OwnSets,
    /// As a request that an admin approves.
    Request,
    /// Its own request.
    OwnRequest,
}

pub const fn rule(action: Action) -> &'static Rule {
    table::rule(action)
}

impl Rule {
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

    /// Roles that may, with or without a condition.
    pub fn needs(&self) -> Vec<Role> {
        Role::ALL.into_iter().filter(|role| self.may(*role) != May::No).collect()
    }

    pub const fn is_open(&self) -> bool {
        matches!(self.may(Role::Service), May::Open)
    }

    pub fn names_tenant(&self) -> bool {
        self.path.contains("{t}")
    }

    pub fn names_project(&self) -> bool {
        self.path.contains("{p}")
    }
}

impl Method {
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
    /// The text in the documentation's table.
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

/// Shown as `…` in the table.
const TENANT: &str = "/api/v1/clusters/{c}/tenants/{t}";

/// The table in Markdown, one row per route.
pub fn markdown() -> String {
    let mut text = String::from("| route | action | what |");
    for role in Role::ALL {
        let _ = write!(text, " {role} |");
    }
    text.push_str("\n| --- | --- | --- |");
    text.push_str(&" --- |".repeat(Role::ALL.len()));
    text.push('\n');
    for rule in RULES {
        row(&mut text, rule);
    }
    text
}

fn row(text: &mut String, rule: &Rule) {
    let short = |path: &str| path.replacen(TENANT, "…", 1);
    let _ = write!(text, "| `{} {}`", rule.method, short(rule.path));
    if let Some(alias) = rule.alias {
        let _ = write!(text, ", `{}`", short(alias));
    }
    let _ = write!(text, " | `{}` | {} |", rule.action, rule.what);
    for role in Role::ALL {
        let _ = write!(text, " {} |", rule.may(role));
    }
    text.push('\n');
}
