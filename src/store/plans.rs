//! Plans: default quotas and limits of tenants. They cannot be changed through the API.

use serde::Serialize;
use utoipa::ToSchema;

use crate::tenants::row::{Quantities, Tenant};
use crate::{StoreError, Time, Tx, document};

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// UUID.
    pub id: String,
    /// Unique name.
    #[schema(example = "baseline")]
    pub name: String,
    /// Description.
    pub description: String,
    /// Total resource quotas of a tenant.
    pub quotas: Quantities,
    /// Limits of one container.
    pub limits: Quantities,
    /// Names of built-in policy sets that apply to its tenants.
    pub policysets: Vec<String>,
    /// Creation time, RFC 3339.
    pub created_at: Time,
    /// Time of the last change, RFC 3339.
    pub updated_at: Time,
    /// Value of `ETag`.
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

/// By id or name.
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

/// `Conflict` (`quota`) where one more object would exceed the quota of the tenant or, without one, of its plan. `resource`
/// is the name in quotas, such as `apps`.
pub async fn check_quota(tx: &mut Tx, tenant: &Tenant, resource: &str, count: i64) -> Result<(), StoreError> {
    let plan = match (&tenant.plan, tenant.quotas.contains_key(resource)) {
        (Some(plan), false) => get(tx, plan).await?.quotas.remove(resource),
        _ => None,
    };
    let Some(amount) = tenant.quotas.get(resource).cloned().or(plan) else { return Ok(()) };
    // Countable resources are integers; an invalid amount admits nothing.
    let most: i64 = amount.trim_start_matches('+').parse().unwrap_or(0);
    if count < most {
        return Ok(());
    }
    let detail = format!("the quota of the tenant for {resource} is {amount}, and {count} are in use");
    Err(StoreError::conflict("quota", detail))
}
