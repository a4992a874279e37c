//! Making a tenant.

use std::collections::BTreeMap;

use serde_json::json;

use super::row::{Registries, Tenant};
use crate::audit::Entry;
use crate::error::StoreError;
use crate::{Part, Tx, clusters, members, new_id, plans, released, settings};

/// What a tenant is made of; every field was checked against its grammar.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct New {
    /// Slug.
    pub name: String,
    /// Name for people; empty for none.
    pub display_name: String,
    /// Subjects, each `issuer#sub`: its first members.
    pub owners: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Name of a plan.
    pub plan: Option<String>,
    /// What it may pull from, inside the ceiling; none is no policy.
    pub registries: Option<Registries>,
}

/// Makes a tenant on a cluster, with its owners as members.
///
/// # Errors
/// `Conflict` where a tenant that is not deleted has the slug, wherever it is, or its group is an administrators'.
pub async fn create(tx: &mut Tx, cluster: &str, mut new: New) -> Result<Tenant, StoreError> {
    new.owners.sort();
    new.owners.dedup();
    let cluster = clusters::get(tx, cluster).await?.id;
    // Settings that concern tenants wait for this one, and this one for them.
    sqlx::query("UPDATE clusters SET version = version WHERE id = $1")
        .bind(&cluster)
        .execute(tx.sql())
        .await?;
    let group = dev_group(&new.name);
    if settings::is_privileged(tx, &group).await? {
        let detail = format!("the group `{group}` is trusted as administrators' by the setting `identities`");
        return Err(StoreError::conflict("tenants_group", detail));
    }
    released::check_free(tx, &Part::Tenant(new.name.clone())).await?;
    let plan = match &new.plan {
        Some(name) => Some(plans::get(tx, name).await?.id),
        None => None,
    };
    let id = new_id();
    let now = tx.now();
    sqlx::query(
        "INSERT INTO tenants (id, created_at, updated_at, slug, display_name, labels, plan_id, registries, dev_group, owners) \
         VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&id)
    .bind(now)
    .bind(&new.name)
    .bind(&new.display_name)
    .bind(json!(new.labels).to_string())
    .bind(plan)
    .bind(new.registries.as_ref().map(|registries| json!(registries).to_string()))
    .bind(group)
    .bind(json!(new.owners).to_string())
    .execute(tx.sql())
    .await?;
    sqlx::query(
        "INSERT INTO tenant_clusters (tenant_id, cluster_id, is_primary, created_at) VALUES ($1, $2, 1, $3)",
    )
    .bind(&id)
    .bind(&cluster)
    .bind(now)
    .execute(tx.sql())
    .await?;
    for owner in &new.owners {
        members::make_owner(tx, &id, owner).await?;
    }
    let tenant = super::find(tx, None, &id).await?;
    tx.audit(Entry::new("tenant.create", "tenant").of(&id, &tenant.name).tenant(&id).after(json!(tenant)));
    tx.touch(Part::Tenant(tenant.name.clone()));
    Ok(tenant)
}

/// The group of a tenant's people in the cluster. Slugs of live tenants differ, so no two share one.
pub fn dev_group(slug: &str) -> String {
    format!("{slug}-devs")
}
