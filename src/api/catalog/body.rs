//! What is sent and asked for.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::source::Source;
use crate::turn::Turn;
use portcullis_store::catalog::{Amendment, Filter, Reach};

/// A new item with its first version.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogNew {
    /// Slug, one of a kind within its scope. It never changes.
    #[schema(
        min_length = 1,
        max_length = 32,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "wordpress"
    )]
    pub slug: String,
    /// Name for people.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "WordPress"
    )]
    pub name: String,
    /// Whose it is.
    pub scope: Reach,
    /// Its tenant, by id or slug, with scope `tenant`; an owner's own where it is left out.
    #[schema(nullable = false, min_length = 1, max_length = 36, pattern = "^[a-z0-9-]+$", example = "acme")]
    pub tenant_id: Option<String>,
    /// Where it belongs among others.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "cms"
    )]
    pub category: Option<String>,
    /// Address of a picture.
    #[schema(
        nullable = false,
        min_length = 9,
        max_length = 2048,
        pattern = "^https://[!-~]+$",
        example = "https://cdn.example.com/wordpress.svg"
    )]
    pub icon: Option<String>,
    /// What it is.
    #[serde(default)]
    #[schema(
        required = false,
        max_length = 4000,
        pattern = "^[^\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "Blogs and sites"
    )]
    pub description: String,
    /// Its first version: semver.
    #[schema(
        min_length = 5,
        max_length = 128,
        pattern = r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$",
        example = "1.0.0"
    )]
    pub version: String,
    /// What that installs: exactly one of the six kinds.
    #[schema(value_type = Source)]
    pub source: Value,
}

/// What is said of an item, as it shall be: what is left out is empty.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogPut {
    /// Name for people.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "WordPress"
    )]
    pub name: String,
    /// Where it belongs among others.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "cms"
    )]
    pub category: Option<String>,
    /// Address of a picture.
    #[schema(
        nullable = false,
        min_length = 9,
        max_length = 2048,
        pattern = "^https://[!-~]+$",
        example = "https://cdn.example.com/wordpress.svg"
    )]
    pub icon: Option<String>,
    /// What it is.
    #[serde(default)]
    #[schema(
        required = false,
        max_length = 4000,
        pattern = "^[^\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "Blogs and sites"
    )]
    pub description: String,
}

/// A new version of an item. It never changes.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CatalogVersionNew)]
pub struct VersionNew {
    /// Semver.
    #[schema(
        min_length = 5,
        max_length = 128,
        pattern = r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$",
        example = "1.1.0"
    )]
    pub version: String,
    /// What it installs: exactly one of the six kinds.
    #[schema(value_type = Source)]
    pub source: Value,
}

/// Which items to list.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogQuery {
    /// At most so many items; 50 where it is absent.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the page before.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// Everybody's only, or tenants' only.
    #[schema(nullable = false)]
    pub scope: Option<Reach>,
    /// The catalog as this tenant sees it, by id or slug: global items that it shadows are left out.
    #[schema(nullable = false, min_length = 1, max_length = 36, pattern = "^[a-z0-9-]+$")]
    pub tenant_id: Option<String>,
    /// Items of this category only.
    #[schema(nullable = false, min_length = 1, max_length = 63)]
    pub category: Option<String>,
    /// Items with this text in slug, name or description.
    #[schema(nullable = false, min_length = 1, max_length = 100)]
    pub q: Option<String>,
}

/// Whose view of the catalog is meant.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CatalogItemQuery)]
pub struct ItemQuery {
    /// A tenant's, by id or slug: its own item comes before the global one.
    #[schema(nullable = false, min_length = 1, max_length = 36, pattern = "^[a-z0-9-]+$")]
    pub tenant_id: Option<String>,
}

/// Whose item is to go, and how.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CatalogDeleteQuery)]
pub struct DeleteQuery {
    /// A tenant's, by id or slug: its own item comes before the global one.
    #[schema(nullable = false, min_length = 1, max_length = 36, pattern = "^[a-z0-9-]+$")]
    pub tenant_id: Option<String>,
    /// Even while apps refer to it; they stay as they are.
    #[schema(nullable = false)]
    pub force: Option<bool>,
}

impl CatalogNew {
    /// Slug, first version, its source, and what is said of the item.
    pub fn parts(self) -> (String, String, Value, Amendment) {
        let Self { slug, name, category, icon, description, version, source, .. } = self;
        (slug, version, source, Amendment { name, description, icon, category })
    }
}

impl CatalogPut {
    /// What is said of the item.
    pub fn about(self) -> Amendment {
        let Self { name, category, icon, description } = self;
        Amendment { name, description, icon, category }
    }
}

impl CatalogQuery {
    /// Which page.
    pub fn turn(&self) -> Turn {
        Turn { limit: self.limit, cursor: self.cursor.clone() }
    }

    /// Which items, as a tenant sees them.
    pub fn filter(self, tenant: Option<String>) -> Filter {
        Filter { reach: self.scope, tenant, category: self.category, text: self.q }
    }
}
