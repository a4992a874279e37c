//! Versions of an item: added, never changed, never taken away alone.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::change::entry;
use super::row::Item;
use super::version::newest;
use crate::Time;
use crate::Tx;
use crate::error::StoreError;
use crate::revision::parse;

/// A version of an item. It never changes.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CatalogVersion)]
pub struct Release {
    /// UUID.
    pub id: String,
    /// Semver.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// Exactly one of the six kinds.
    #[schema(value_type = Object)]
    pub source: Value,
    /// When it was added, RFC 3339.
    pub created_at: Time,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    version: String,
    source: String,
    created_at: i64,
}

/// Versions of an item in the order in which they were added, after one of them.
pub async fn releases(
    tx: &mut Tx,
    item: &Item,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Release>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(
        "SELECT id, version, source, created_at FROM catalog_item_versions \
         WHERE item_id = $1 AND id > $2 ORDER BY id LIMIT $3",
    )
    .bind(item.id.clone())
    .bind(after.unwrap_or_default().to_owned())
    .bind(limit)
    .fetch_all(tx.sql())
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// A version of an item; without a number, the newest.
///
/// # Errors
/// `NotFound` where the item has no such version.
pub async fn resolve(tx: &mut Tx, item: &Item, version: Option<&str>) -> Result<Release, StoreError> {
    let wanted = version.unwrap_or(&item.latest_version);
    let row = sqlx::query_as::<_, Row>(
        "SELECT id, version, source, created_at FROM catalog_item_versions WHERE item_id = $1 AND version = $2",
    )
    .bind(item.id.clone())
    .bind(wanted.to_owned())
    .fetch_optional(tx.sql())
    .await?;
    row.map(Row::read).transpose()?.ok_or(StoreError::NotFound("catalog version"))
}

/// Adds a version, and finds anew which is the newest.
///
/// # Errors
/// `Conflict` where the item has this version.
pub async fn add(tx: &mut Tx, item: &Item, version: &str, source: &Value) -> Result<Release, StoreError> {
    // The row is locked first, so that of two versions added at once both are looked at.
    let statement =
        sqlx::query("UPDATE catalog_items SET version = version + 1 WHERE id = $1 AND version = $2");
    tx.change_one(statement.bind(item.id.clone()).bind(item.version)).await?;
    let tenant = item.tenant_id.as_deref();
    let release = keep(tx, &item.id, tenant, version, source).await?;
    let all: Vec<(String, i64)> = sqlx::query_as(
        "SELECT version, created_at FROM catalog_item_versions WHERE item_id = $1 ORDER BY id",
    )
    .bind(item.id.clone())
    .fetch_all(tx.sql())
    .await?;
    let latest = newest(&all, |(version, at)| (version, *at)).map(|(version, _)| version.clone());
    let now = tx.now();
    sqlx::query("UPDATE catalog_items SET latest_version = $1, updated_at = $2 WHERE id = $3")
        .bind(latest)
        .bind(now)
        .bind(item.id.clone())
        .execute(tx.sql())
        .await?;
    tx.audit(entry("catalog.version.create", item).after(json!(release)));
    Ok(release)
}

pub(super) async fn keep(
    tx: &mut Tx,
    item: &str,
    tenant: Option<&str>,
    version: &str,
    source: &Value,
) -> Result<Release, StoreError> {
    let id = uuid::Uuid::now_v7().to_string();
    let now = tx.now();
    sqlx::query(
        "INSERT INTO catalog_item_versions (id, created_at, item_id, tenant_id, version, source) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.clone())
    .bind(now)
    .bind(item.to_owned())
    .bind(tenant.map(str::to_owned))
    .bind(version.to_owned())
    .bind(source.to_string())
    .execute(tx.sql())
    .await?;
    Ok(Release { id, version: version.to_owned(), source: source.clone(), created_at: Time(now) })
}

impl Row {
    fn read(self) -> Result<Release, StoreError> {
        let source = parse("a catalog item's source", &self.source)?;
        Ok(Release { id: self.id, version: self.version, source, created_at: Time(self.created_at) })
    }
}
