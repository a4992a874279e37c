//! A sandbox as it is stored and as it is answered.

use serde::Serialize;
use utoipa::ToSchema;

use crate::Time;
use portcullis_tenancy::name::SANDBOXES;

/// A sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sandbox {
    /// UUID.
    pub id: String,
    /// Its number within the project, `sbx-001` to `sbx-999`.
    #[schema(example = "sbx-001")]
    pub name: String,
    /// Name for people; empty where none was given.
    pub display_name: String,
    /// UUID of its tenant.
    pub tenant_id: String,
    /// UUID of its project.
    pub project_id: String,
    /// UUID of the cluster that it is on.
    pub cluster_id: String,
    /// Its namespace.
    #[schema(example = "tn-acme-shop-sbx-001")]
    pub namespace: String,
    /// Who made it: `issuer#sub`.
    pub created_by: String,
    /// When it is deleted by itself, RFC 3339; absent where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expires_at: Option<Time>,
    /// `active`, or `deleting` while its namespace is still there.
    #[schema(example = "active")]
    pub state: String,
    /// When it was made, RFC 3339.
    pub created_at: Time,
    /// When it was last changed, RFC 3339.
    pub updated_at: Time,
    /// What `ETag` says; grows by each change.
    pub version: i64,
}

/// What every statement that reads sandboxes begins with.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.id, s.ordinal, s.display_name, s.tenant_id, s.project_id, s.cluster_id, s.created_by, s.expires_at, \
             s.state, s.created_at, s.updated_at, s.version, n.name AS namespace \
             FROM sandboxes s JOIN namespaces n ON n.sandbox_id = s.id WHERE ",
            $rest
        )
    };
}
pub(super) use select;

/// The row of [`select`].
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    ordinal: i64,
    display_name: String,
    tenant_id: String,
    project_id: String,
    cluster_id: String,
    created_by: String,
    expires_at: Option<i64>,
    state: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
    namespace: String,
}

impl Row {
    pub(super) fn read(self) -> Sandbox {
        Sandbox {
            id: self.id,
            name: name(self.ordinal),
            display_name: self.display_name,
            tenant_id: self.tenant_id,
            project_id: self.project_id,
            cluster_id: self.cluster_id,
            namespace: self.namespace,
            created_by: self.created_by,
            expires_at: self.expires_at.map(Time),
            state: self.state,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        }
    }
}

/// The name of a number: `sbx-001`.
pub fn name(ordinal: i64) -> String {
    format!("sbx-{ordinal:03}")
}

/// The number of a name; `None` for what is the name of no sandbox.
pub(super) fn ordinal(name: &str) -> Option<i64> {
    let digits = name.strip_prefix("sbx-")?;
    let digits = Some(digits).filter(|d| d.len() == 3 && d.bytes().all(|b| b.is_ascii_digit()))?;
    let number: u16 = digits.parse().ok()?;
    SANDBOXES.contains(&number).then_some(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_a_number() {
        for number in [1, 42, 999] {
            assert_eq!(ordinal(&name(number)), Some(number));
        }
        for none in ["sbx-1", "sbx-000", "sbx-1000", "sbx-+01", "sbx-00a", "001", "SBX-001", "sbx--01", ""] {
            assert_eq!(ordinal(none), None, "{none}");
        }
    }
}
