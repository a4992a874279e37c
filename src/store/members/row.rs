//! A membership as it is stored and as it is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{StoreError, Time, document};
use portcullis_access::Role;

/// A member of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// UUID.
    pub id: String,
    /// Who: `issuer#subject`.
    #[schema(example = "https://id.example.com#ada")]
    pub subject: String,
    /// What it is in the tenant.
    pub role: MemberRole,
    /// UUIDs of the projects that it is limited to; null for all of the tenant's.
    #[schema(required = true)]
    pub projects: Option<Vec<String>>,
    /// When it became one, RFC 3339.
    pub created_at: Time,
    /// When that last changed, RFC 3339.
    pub updated_at: Time,
    /// What `ETag` says; grows by each change.
    pub version: i64,
}

/// The roles that there are inside a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum MemberRole {
    /// Owns the tenant.
    TenantOwner,
    /// Writes apps and sandboxes.
    ProjectDev,
    /// Reads.
    ReadOnly,
}

impl MemberRole {
    /// The word on the wire and in the table.
    pub const fn as_str(self) -> &'static str {
        self.role().as_str()
    }

    /// The same among all roles.
    pub const fn role(self) -> Role {
        match self {
            Self::TenantOwner => Role::TenantOwner,
            Self::ProjectDev => Role::ProjectDev,
            Self::ReadOnly => Role::ReadOnly,
        }
    }
}

/// What every statement that reads members begins with; `$1` is the tenant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, subject, role, project_ids, created_at, updated_at, version FROM memberships \
             WHERE tenant_id = $1 AND ",
            $rest
        )
    };
}
pub(super) use select;

/// The row of [`select`].
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    subject: String,
    role: String,
    project_ids: Option<String>,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

impl Row {
    pub(super) fn read(self) -> Result<Member, StoreError> {
        Ok(Member {
            // The column holds one of the three; were it another word, the least is meant.
            role: match self.role.as_str() {
                "tenantOwner" => MemberRole::TenantOwner,
                "projectDev" => MemberRole::ProjectDev,
                _ => MemberRole::ReadOnly,
            },
            projects: self.project_ids.map(|ids| document("a member's projects", &ids)).transpose()?,
            id: self.id,
            subject: self.subject,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        })
    }
}
