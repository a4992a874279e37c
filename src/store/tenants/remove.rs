//! Deleting a tenant, and with `cascade` all that is in it.

use serde_json::json;

use super::row::Tenant;
use crate::store::audit::Entry;
use crate::store::error::StoreError;
use crate::store::{Part, Tx, projects};

/// Deletes a tenant that [`super::change`] has locked. Its row stays, for the audit log names it, and its slug is free.
/// The cluster's namespaces are not touched: they become unregistered, where tenants may do nothing.
///
/// # Errors
/// `Dependents` where it has projects, catalog items or policy sets, unless they are to go with it.
pub async fn delete(tx: &mut Tx, tenant: Tenant, cascade: bool) -> Result<(), StoreError> {
    let children = children(tx, &tenant.id).await?;
    if !cascade && !children.is_empty() {
        return Err(StoreError::Dependents { what: "tenant", children: children.join(", ") });
    }
    for project in projects::all(tx, &tenant.id).await? {
        projects::remove(tx, &tenant, project, true).await?;
    }
    // What is left of it belongs to nobody else and is in no snapshot.
    for statement in [
        "DELETE FROM catalog_items WHERE tenant_id = $1",
        "DELETE FROM policysets WHERE tenant_id = $1",
        "DELETE FROM memberships WHERE tenant_id = $1",
        "DELETE FROM settings WHERE tenant_id = $1",
        "DELETE FROM tenant_clusters WHERE tenant_id = $1",
    ] {
        sqlx::query(statement).bind(&tenant.id).execute(tx.sql()).await?;
    }
    let leave = sqlx::query_scalar("DELETE FROM exceptions WHERE tenant_id = $1 RETURNING id");
    for id in leave.bind(&tenant.id).fetch_all(tx.sql()).await? {
        tx.touch(Part::Exception(id));
    }
    let now = tx.now();
    sqlx::query(
        "UPDATE tenants SET status = 'deleted', deleted_at = $1, updated_at = $1, version = version + 1 WHERE id = $2",
    )
    .bind(now)
    .bind(&tenant.id)
    .execute(tx.sql())
    .await?;
    let entry = Entry::new("tenant.delete", "tenant").of(&tenant.id, &tenant.name).tenant(&tenant.id);
    tx.audit(entry.before(json!(tenant)));
    tx.touch(Part::Tenant(tenant.name));
    Ok(())
}

/// What is in the way, in words.
async fn children(tx: &mut Tx, tenant: &str) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for (one, many, statement) in [
        ("project", "projects", "SELECT COUNT(*) FROM projects WHERE tenant_id = $1"),
        ("catalog item", "catalog items", "SELECT COUNT(*) FROM catalog_items WHERE tenant_id = $1"),
        ("policy set", "policy sets", "SELECT COUNT(*) FROM policysets WHERE tenant_id = $1"),
    ] {
        let count: i64 = sqlx::query_scalar(statement).bind(tenant).fetch_one(tx.sql()).await?;
        match count {
            0 => {}
            1 => found.push(format!("1 {one}")),
            count => found.push(format!("{count} {many}")),
        }
    }
    Ok(found)
}
