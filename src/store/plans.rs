//! Plans: what tenants get by default. Nobody changes them through the API.

use serde::Serialize;
use utoipa::ToSchema;

use super::tenants::Quantities;
use super::{StoreError, Time, Tx, document};

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
    pub created_at: Time,
    /// When it was last changed, RFC 3339.
    pub updated_at: Time,
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
         WHERE id > $1 ORDER BY id LIMIT $2",
    )
    .bind(after.unwrap_or_default().to_owned())
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
        quotas: document("a plan's quotas", &row.quotas)?,
        limits: document("a plan's limits", &row.limits)?,
        policysets: document("a plan's policy sets", &row.policysets)?,
        id: row.id,
        name: row.name,
        description: row.description,
        created_at: Time(row.created_at),
        updated_at: Time(row.updated_at),
        version: row.version,
    })
}
