//! Policy sets: settings of policies, attached to a tenant or to some of its projects.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::audit::Entry;
use super::error::StoreError;
use super::revision::parse;
use super::tenants::row::Tenant;
use super::{Part, Time, Tx, new_id};
use portcullis_access::Power;
use portcullis_tenancy::snapshot::Rule;

/// A policy set.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySet {
    /// UUID.
    #[schema(format = "uuid")]
    pub id: String,
    /// Name, one DNS label, unique in the tenant.
    pub name: String,
    /// Description.
    pub description: String,
    /// Origin: a set of a `tenant` can only tighten, one of the `platform` replaces.
    #[schema(value_type = String)]
    pub origin: &'static str,
    /// Mode of rules without a mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub mode: Option<String>,
    /// Settings of policies.
    #[schema(value_type = Vec<Object>)]
    pub rules: Vec<Rule>,
    /// Where the set applies.
    pub attached_to: Vec<Attachment>,
    /// Grows with each change.
    pub version: i64,
    /// Creation time.
    pub created_at: Time,
    /// Time of the last change.
    pub updated_at: Time,
}

/// Where a policy set applies: the whole tenant, or one of its projects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Slug or id of the tenant, which must be the one of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 36)]
    pub tenant: Option<String>,
    /// Slug of a project of the tenant; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 36)]
    pub project: Option<String>,
}

/// Validated by the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct New {
    pub name: String,
    pub description: String,
    pub mode: Option<String>,
    pub rules: Vec<Rule>,
    pub attached_to: Vec<Attachment>,
}

const COLUMNS: &str =
    "id, name, description, origin, mode, rules, attached_to, version, created_at, updated_at";

pub async fn list(
    tx: &mut Tx,
    tenant: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<PolicySet>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM policysets WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.to_owned())
        .bind(after.unwrap_or_default().to_owned())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.iter().map(read).collect()
}

/// By id or name.
pub async fn get(tx: &mut Tx, tenant: &str, set: &str) -> Result<PolicySet, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM policysets WHERE tenant_id = $1 AND (id = $2 OR name = $2)");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.to_owned())
        .bind(set.to_owned())
        .fetch_optional(tx.sql())
        .await?;
    row.as_ref().map(read).transpose()?.ok_or(StoreError::NotFound("policy"))
}

/// `Conflict` where the name is taken. The tenant must be locked, as for all changes.
pub async fn create(tx: &mut Tx, tenant: &Tenant, new: &New) -> Result<PolicySet, StoreError> {
    let (id, now) = (new_id(), tx.now());
    let origin = if matches!(tx.scope().power(), Power::Admin) { "platform" } else { "tenant" };
    sqlx::query(
        "INSERT INTO policysets (id, created_at, updated_at, tenant_id, name, description, origin, mode, rules, \
         attached_to) VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id.clone())
    .bind(now)
    .bind(tenant.id.clone())
    .bind(new.name.clone())
    .bind(new.description.clone())
    .bind(origin)
    .bind(new.mode.clone())
    .bind(json!(new.rules).to_string())
    .bind(json!(new.attached_to).to_string())
    .execute(tx.sql())
    .await?;
    let set = get(tx, &tenant.id, &id).await?;
    tx.audit(entry("policyset.create", tenant, &set).after(json!(set)));
    tx.mark_changed(Part::Tenant(tenant.name.clone()));
    Ok(set)
}

pub async fn replace(
    tx: &mut Tx,
    tenant: &Tenant,
    was: PolicySet,
    new: &New,
) -> Result<PolicySet, StoreError> {
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE policysets SET name = $1, description = $2, mode = $3, rules = $4, attached_to = $5, \
         updated_at = $6, version = version + 1 WHERE tenant_id = $7 AND id = $8 AND version = $9",
    )
    .bind(new.name.clone())
    .bind(new.description.clone())
    .bind(new.mode.clone())
    .bind(json!(new.rules).to_string())
    .bind(json!(new.attached_to).to_string())
    .bind(now)
    .bind(tenant.id.clone())
    .bind(was.id.clone())
    .bind(was.version);
    tx.change_one(statement).await?;
    let is = get(tx, &tenant.id, &was.id).await?;
    tx.audit(entry("policyset.update", tenant, &is).before(json!(was)).after(json!(is)));
    tx.mark_changed(Part::Tenant(tenant.name.clone()));
    Ok(is)
}

pub async fn remove(tx: &mut Tx, tenant: &Tenant, was: PolicySet) -> Result<(), StoreError> {
    let statement = sqlx::query("DELETE FROM policysets WHERE tenant_id = $1 AND id = $2 AND version = $3");
    tx.change_one(statement.bind(tenant.id.clone()).bind(was.id.clone()).bind(was.version)).await?;
    tx.audit(entry("policyset.delete", tenant, &was).before(json!(was)));
    tx.mark_changed(Part::Tenant(tenant.name.clone()));
    Ok(())
}

fn entry(action: &'static str, tenant: &Tenant, set: &PolicySet) -> Entry {
    Entry::new(action, "policyset").of(&set.id, &set.name).tenant(&tenant.id)
}

fn read(row: &AnyRow) -> Result<PolicySet, StoreError> {
    let text = |column: &str| row.try_get::<String, _>(column);
    Ok(PolicySet {
        id: text("id")?,
        name: text("name")?,
        description: text("description")?,
        origin: if text("origin")? == "platform" { "platform" } else { "tenant" },
        mode: row.try_get("mode")?,
        rules: parse("the rules of a policy set", &text("rules")?)?,
        attached_to: parse("what a policy set is attached to", &text("attached_to")?)?,
        version: row.try_get("version")?,
        created_at: Time(row.try_get("created_at")?),
        updated_at: Time(row.try_get("updated_at")?),
    })
}
