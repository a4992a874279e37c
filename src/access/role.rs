//! Roles and their order.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A role in the ledger: `admin`, `tenantOwner`, `projectDev`, `readOnly` or `service`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Administers the platform: every tenant, and what belongs to none.
    Admin,
    /// Owns a tenant: its projects, members and catalog.
    TenantOwner,
    /// Writes apps and sandboxes of a tenant's projects.
    ProjectDev,
    /// Reads a tenant.
    ReadOnly,
    /// A gate: reads the snapshot and the policies, and nothing else.
    Service,
}

impl Role {
    /// In the order of the table's columns.
    pub const ALL: [Self; 5] =
        [Self::Admin, Self::TenantOwner, Self::ProjectDev, Self::ReadOnly, Self::Service];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::TenantOwner => "tenantOwner",
            Self::ProjectDev => "projectDev",
            Self::ReadOnly => "readOnly",
            Self::Service => "service",
        }
    }

    /// Whether this role includes the other: an admin includes every role, owners include developers, developers
    /// include readers. A gate's role includes no tenant's role and is included by none.
    pub const fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Admin, _) | (Self::Service, Self::Service) => true,
            (Self::Service, _) | (_, Self::Service | Self::Admin) => false,
            (mine, theirs) => mine as u8 <= theirs as u8,
        }
    }

    pub const fn in_tenant(self) -> bool {
        matches!(self, Self::TenantOwner | Self::ProjectDev | Self::ReadOnly)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no role (admin, tenantOwner, projectDev, readOnly, service)", .0.escape_debug())]
pub struct UnknownRole(pub String);

impl std::str::FromStr for Role {
    type Err = UnknownRole;

    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        // Cut, so that the error stays short.
        let unknown = || UnknownRole(word.chars().take(40).collect());
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_round_trip() {
        for role in Role::ALL {
            let wire = serde_json::to_value(role).unwrap();
            assert_eq!(wire, role.as_str());
            assert_eq!(serde_json::from_value::<Role>(wire).unwrap(), role);
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for wrong in ["", "Admin", "ADMIN", "admin ", "owner", "guest", "tenant_owner"] {
            assert!(wrong.parse::<Role>().is_err() && serde_json::from_value::<Role>(wrong.into()).is_err());
        }
    }

    #[test]
    fn role_covers_only_itself_and_lower_roles() {
        let held: Vec<Vec<&str>> = Role::ALL
            .iter()
            .map(|mine| Role::ALL.iter().filter(|other| mine.covers(**other)).map(|r| r.as_str()).collect())
            .collect();
        let expected: [&[&str]; 5] = [
            &["admin", "tenantOwner", "projectDev", "readOnly", "service"],
            &["tenantOwner", "projectDev", "readOnly"],
            &["projectDev", "readOnly"],
            &["readOnly"],
            &["service"],
        ];
        assert_eq!(held, expected);
    }
}
