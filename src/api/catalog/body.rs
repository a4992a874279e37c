//! Bodies and queries of the catalog.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::page::PageQuery;
use crate::source::schema::Source;
use portcullis_store::catalog::{Filter, ItemDetails, Reach};

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
    /// Display name.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "WordPress"
    )]
    pub name: String,
    /// Scope of the item.
    pub scope: Reach,
    /// Its tenant, by id or slug, with scope `tenant`; an owner's own where it is left out.
    #[schema(nullable = false, min_length = 1, max_length = 36, pattern = "^[a-z0-9-]+$", example = "acme")]
    pub tenant_id: Option<String>,
    /// Category.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "cms"
    )]
    pub category: Option<String>,
    /// URL of an icon.
    #[schema(
        nullable = false,
        min_length = 9,
        max_length = 2048,
        pattern = "^https://[!-~]+$",
        example = "https://cdn.example.com/wordpress.svg"
    )]
    pub icon: Option<String>,
    /// Description.
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

/// The new details of an item; absent fields are empty.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogPut {
    /// Display name.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "WordPress"
    )]
    pub name: String,
    /// Category.
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "cms"
    )]
    pub category: Option<String>,
    /// URL of an icon.
    #[schema(
        nullable = false,
        min_length = 9,
        max_length = 2048,
        pattern = "^https://[!-~]+$",
        example = "https://cdn.example.com/wordpress.svg"
    )]
    pub icon: Option<String>,
    /// Description.
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
    /// Maximum number of items; 50 by default.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the previous page.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// Only global items, or only items of tenants.
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

/// The tenant whose view of the catalog applies.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CatalogItemQuery)]
pub struct ItemQuery {
    /// A tenant's, by id or slug: its own item comes before the global one.
    #[schema(nullable = false, min_length = 1, max_length = 36, pattern = "^[a-z0-9-]+$")]
    pub tenant_id: Option<String>,
}

/// Options of a deletion.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CatalogDeleteQuery)]
pub struct DeleteQuery {
    /// A tenant's, by id or slug: its own item comes before the global one.
    #[schema(nullable = false, min_length = 1, max_length = 36, pattern = "^[a-z0-9-]+$")]
    pub tenant_id: Option<String>,
    /// Delete even if apps reference the item; the apps stay unchanged.
    #[schema(nullable = false)]
    pub force: Option<bool>,
}

/// Which versions to list.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CatalogVersionsQuery)]
pub struct VersionsQuery {
    /// Maximum number of items; 50 by default.
    #[schema(minimum = 1, maximum = 200, nullable = false)]
    pub limit: Option<u16>,
    /// `nextCursor` of the previous page.
    #[schema(min_length = 1, max_length = 512, nullable = false)]
    pub cursor: Option<String>,
    /// A tenant's view, by id or slug: its own item comes before the global one.
    #[schema(nullable = false, min_length = 1, max_length = 36, pattern = "^[a-z0-9-]+$")]
    pub tenant_id: Option<String>,
}

impl CatalogNew {
    pub fn parts(self) -> (String, String, Value, ItemDetails) {
        let Self { slug, name, category, icon, description, version, source, .. } = self;
        (slug, version, source, ItemDetails { name, description, icon, category })
    }
}

impl CatalogPut {
    pub fn details(self) -> ItemDetails {
        let Self { name, category, icon, description } = self;
        ItemDetails { name, description, icon, category }
    }
}

impl CatalogQuery {
    /// Which page.
    pub fn page(&self) -> PageQuery {
        PageQuery { limit: self.limit, cursor: self.cursor.clone() }
    }

    /// Which items, as a tenant sees them.
    pub fn filter(self, tenant: Option<String>) -> Filter {
        Filter { reach: self.scope, tenant, category: self.category, text: self.q }
    }
}
