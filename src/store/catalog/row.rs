//! An item of the catalog as it is stored and as it is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Time;

/// An item of the catalog.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CatalogItem)]
pub struct Item {
    /// UUID.
    pub id: String,
    /// Slug, one of a kind within its scope.
    #[schema(example = "wordpress")]
    pub slug: String,
    /// Name for people.
    #[schema(example = "WordPress")]
    pub name: String,
    /// What it is; empty where nobody has said.
    pub description: String,
    /// Address of a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub icon: Option<String>,
    /// Where it belongs among others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "cms")]
    pub category: Option<String>,
    /// Whose it is.
    pub scope: Reach,
    /// UUID of its tenant; absent where it is everybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant_id: Option<String>,
    /// Its newest version by semver; what an install takes that names none.
    #[schema(example = "1.2.0")]
    pub latest_version: String,
    /// When it was made, RFC 3339.
    pub created_at: Time,
    /// When it was last changed, RFC 3339.
    pub updated_at: Time,
    /// What `ETag` says; grows by each change. Versions of what it installs are under `/versions`.
    #[serde(rename = "resourceVersion")]
    pub version: i64,
}

/// Whose an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CatalogScope)]
pub enum Reach {
    /// Everybody's.
    Global,
    /// One tenant's.
    Tenant,
}

impl Reach {
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Tenant => "tenant",
        }
    }
}

/// What every statement that reads items begins with.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT i.id, i.slug, i.name, i.description, i.icon, i.category, i.tenant_id, i.latest_version, \
             i.created_at, i.updated_at, i.version FROM catalog_items i WHERE ",
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
    name: String,
    description: String,
    icon: Option<String>,
    category: Option<String>,
    tenant_id: Option<String>,
    latest_version: Option<String>,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

impl Row {
    pub(super) fn read(self) -> Item {
        Item {
            scope: if self.tenant_id.is_some() { Reach::Tenant } else { Reach::Global },
            // An item is made with its first version, in one transaction.
            latest_version: self.latest_version.unwrap_or_default(),
            id: self.id,
            slug: self.slug,
            name: self.name,
            description: self.description,
            icon: self.icon,
            category: self.category,
            tenant_id: self.tenant_id,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        }
    }
}
