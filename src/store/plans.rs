//! Plans: what tenants get by default. Nobody changes them through the API.

use serde::Serialize;
use utoipa::ToSchema;

use super::Tx;
use super::error::StoreError;
use super::revision::parse;
use super::tenants::{Quantities, row::time};

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// UUID.
    pub id: String,
    /// Name, unique.
    #[schema(example = "baseline")]
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What a tenant may use in all.
    pub quotas: Quantities,
    /// What one container may use.
    pub limits: Quantities,
    /// Names of built-in policy sets that hold for its tenants.
    pub policysets: Vec<String>,
    /// When it was made, RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When it was last changed, RFC 3339.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// What `ETag` says.
    pub version: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    description: String,
    quotas: String,
    limits: String,
    policysets: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

/// Plans in order of ids, after one of them.
pub async fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Plan>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(
        "SELECT id, name, description, quotas, limits, policysets, created_at, updated_at, version FROM plans \
         WHERE ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2",
    )
    .bind(after.map(str::to_owned))
    .bind(limit)
    .fetch_all(tx.sql())
    .await?;
    rows.into_iter().map(read).collect()
}

/// A plan by id or name.
pub async fn get(tx: &mut Tx, plan: &str) -> Result<Plan, StoreError> {
    let row = sqlx::query_as::<_, Row>(
        "SELECT id, name, description, quotas, limits, policysets, created_at, updated_at, version FROM plans \
         WHERE id = $1 OR name = $1",
    )
    .bind(plan.to_owned())
    .fetch_optional(tx.sql())
    .await?;
    row.map(read).transpose()?.ok_or(StoreError::NotFound("plan"))
}

fn read(row: Row) -> Result<Plan, StoreError> {
    Ok(Plan {
        quotas: parse("a plan's quotas", &row.quotas)?,
        limits: parse("a plan's limits", &row.limits)?,
        policysets: parse("a plan's policy sets", &row.policysets)?,
        id: row.id,
        name: row.name,
        description: row.description,
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        version: row.version,
    })
}
