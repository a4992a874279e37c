//! Deleting a tenant, and with `cascade` all that is in it.

use serde_json::json;

use super::row::Tenant;
use crate::audit::Entry;
use crate::error::StoreError;
use crate::{Part, Tx, catalog, members, policysets, projects};

/// Why something is gone that no request named.
pub(crate) const WITH_TENANT: &str = "its tenant was deleted with all that is in it";

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
    contents(tx, &tenant).await?;
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE tenants SET status = 'deleted', deleted_at = $1, updated_at = $1, version = version + 1 \
         WHERE id = $2 AND version = $3",
    )
    .bind(now)
    .bind(&tenant.id)
    .bind(tenant.version);
    tx.change_one(statement).await?;
    let entry = Entry::new("tenant.delete", "tenant").of(&tenant.id, &tenant.name).tenant(&tenant.id);
    tx.audit(entry.before(json!(tenant)));
    tx.release(&tenant.id, &tenant.cluster_id, Part::Tenant(tenant.name));
    Ok(())
}

/// Removes what is left of a tenant without projects, each thing with an entry of its own in the audit log.
async fn contents(tx: &mut Tx, tenant: &Tenant) -> Result<(), StoreError> {
    let filter = catalog::Filter {
        reach: Some(catalog::Reach::Tenant),
        tenant: Some(tenant.id.clone()),
        ..catalog::Filter::default()
    };
    for item in catalog::list(tx, &filter, None, i64::MAX).await? {
        catalog::remove(tx, &item, true).await?;
    }
    for set in policysets::list(tx, &tenant.id, None, i64::MAX).await? {
        policysets::remove(tx, tenant, set).await?;
    }
    members::remove_all(tx, &tenant.id).await?;
    let asked: Vec<(String, String)> =
        sqlx::query_as("DELETE FROM exceptions WHERE tenant_id = $1 RETURNING id, policy")
            .bind(&tenant.id)
            .fetch_all(tx.sql())
            .await?;
    for (id, policy) in asked {
        let entry = Entry::new("exception.delete", "exception").of(&id, &policy).tenant(&tenant.id);
        tx.audit(entry.because(WITH_TENANT));
        tx.release(&tenant.id, &tenant.cluster_id, Part::Exception(id));
    }
    for statement in
        ["DELETE FROM settings WHERE tenant_id = $1", "DELETE FROM tenant_clusters WHERE tenant_id = $1"]
    {
        sqlx::query(statement).bind(&tenant.id).execute(tx.sql()).await?;
    }
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
