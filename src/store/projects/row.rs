//! A project as it is stored and as it is answered.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{StoreError, Time, document};

/// A project.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    /// UUID.
    pub id: String,
    /// Slug; namespaces are named by it.
    #[schema(example = "shop")]
    pub name: String,
    /// UUID of its tenant.
    pub tenant_id: String,
    /// Name for people; empty where none was given.
    pub display_name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    pub created_at: Time,
    /// When it was last changed, RFC 3339.
    pub updated_at: Time,
    /// What `ETag` says; grows by each change.
    pub version: i64,
}

/// What every statement that reads projects begins with; `$1` is the tenant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, slug, tenant_id, display_name, labels, created_at, updated_at, version FROM projects \
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
    slug: String,
    tenant_id: String,
    display_name: String,
    labels: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

impl Row {
    pub(super) fn read(self) -> Result<Project, StoreError> {
        Ok(Project {
            labels: document("a project's labels", &self.labels)?,
            id: self.id,
            name: self.slug,
            tenant_id: self.tenant_id,
            display_name: self.display_name,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        })
    }
}
