//! An app as it is stored and as it is answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::Time;
use crate::error::StoreError;
use crate::revision::parse;

/// An app.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// UUID; an upgrade keeps it.
    pub id: String,
    /// Slug; its namespace is named by it.
    #[schema(example = "frontend")]
    pub name: String,
    /// What it is for; empty where nobody has said.
    pub description: String,
    /// UUID of its tenant.
    pub tenant_id: String,
    /// UUID of its project.
    pub project_id: String,
    /// UUID of the cluster that it is on.
    pub cluster_id: String,
    /// Its one namespace.
    #[schema(example = "tn-acme-shop-app-frontend")]
    pub namespace: String,
    /// Which of the six kinds its source is.
    #[schema(example = "containerImage")]
    pub source_kind: String,
    /// What it is made of.
    #[serde(flatten)]
    pub content: Spec,
    /// The item of the catalog that it came from; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, inline)]
    pub catalog_ref: Option<Origin>,
    /// Its newest revision.
    pub revision: i64,
    /// `committed`: written down, for a writer to carry out; `pending` and `failed` are a writer's.
    #[schema(example = "committed")]
    pub state: String,
    /// When it was made, RFC 3339.
    pub created_at: Time,
    /// When it was last changed, RFC 3339.
    pub updated_at: Time,
    /// What `ETag` says; grows by each change.
    pub version: i64,
}

/// What an app is made of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// `{source}`: where it comes from.
    pub spec: Sourced,
    /// Components beside the source, as KubeVela has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<Object>)]
    pub components: Vec<Value>,
    /// Traits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<Object>)]
    pub traits: Vec<Value>,
    /// Policies of the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<Object>)]
    pub policies: Vec<Value>,
}

/// Where an app comes from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Sourced {
    /// Exactly one of the six kinds.
    #[schema(value_type = Object)]
    pub source: Value,
}

/// The item of the catalog that an app came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// UUID of the item.
    pub item_id: String,
    /// Its version.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// What was merged over the item's source (RFC 7386).
    #[schema(value_type = Object)]
    pub overrides: Value,
}

/// What every statement that reads apps begins with; `$1` is the tenant, `$2` the project.
macro_rules! select {
    ($rest:literal) => {
        $crate::apps::row::select!("a.spec, a.catalog_overrides", $rest)
    };
    ($long:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, a.slug, a.description, a.tenant_id, a.project_id, a.cluster_id, a.source_kind, \
             a.catalog_item_id, a.catalog_version, a.current_revision, a.state, a.created_at, \
             a.updated_at, a.version, n.name AS namespace, ",
            $long,
            " FROM apps a JOIN namespaces n ON n.app_id = a.id WHERE a.tenant_id = $1 AND a.project_id = $2 AND ",
            $rest
        )
    };
}

/// The same without what an app is made of.
macro_rules! select_head {
    ($rest:literal) => {
        $crate::apps::row::select!(
            "'{\"spec\":{\"source\":null}}' AS spec, CAST(NULL AS TEXT) AS catalog_overrides",
            $rest
        )
    };
}
pub(super) use {select, select_head};

/// The row of [`select`].
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    slug: String,
    description: String,
    tenant_id: String,
    project_id: String,
    cluster_id: String,
    spec: String,
    source_kind: String,
    catalog_item_id: Option<String>,
    catalog_version: Option<String>,
    catalog_overrides: Option<String>,
    current_revision: i64,
    state: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
    namespace: String,
}

impl Row {
    pub(super) fn read(self) -> Result<App, StoreError> {
        Ok(App {
            content: parse("an app's specification", &self.spec)?,
            catalog_ref: origin(self.catalog_item_id, self.catalog_version, self.catalog_overrides)?,
            id: self.id,
            name: self.slug,
            description: self.description,
            tenant_id: self.tenant_id,
            project_id: self.project_id,
            cluster_id: self.cluster_id,
            namespace: self.namespace,
            source_kind: self.source_kind,
            revision: self.current_revision,
            state: self.state,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        })
    }
}

/// The three columns of an origin; none where the item is gone from the catalog.
pub(super) fn origin(
    item: Option<String>,
    version: Option<String>,
    overrides: Option<String>,
) -> Result<Option<Origin>, StoreError> {
    let (Some(item_id), Some(version)) = (item, version) else { return Ok(None) };
    let overrides = overrides.map(|text| parse("an app's overrides", &text)).transpose()?;
    Ok(Some(Origin {
        item_id,
        version,
        overrides: overrides.unwrap_or_else(|| Value::Object(serde_json::Map::new())),
    }))
}
