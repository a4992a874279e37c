//! Tenants. Every change of a tenant or of something in it starts with [`change`], which locks the row of the tenant: nothing is
//! added to a tenant that is being deleted, and members of a suspended tenant change nothing. The row of a deleted tenant stays
//! for the audit log; its slug is free again.

pub mod row;

use row::WITH_TENANT;
pub use row::{NetworkPolicy, Quantities, Registries, Status, Tenant, Word};

use std::collections::BTreeMap;

use serde_json::json;

use crate::audit::Entry;
use crate::error::StoreError;
use crate::select::Select;
use crate::{
    Part, Tx, catalog, clusters, is_id, members, new_id, plans, policysets, projects, released, settings,
};
use portcullis_access::matrix::{self, Method};

/// Constraint of the conflict when members of a suspended tenant change something.
pub const SUSPENDED: &str = "tenant.suspended";

/// By id, on a cluster, after `after`.
pub async fn list(
    tx: &mut Tx,
    cluster: &str,
    owner: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Tenant>, StoreError> {
    let cluster = clusters::get(tx, cluster).await?.id;
    let tenant = tx.tenant();
    let select = Select::new(row::select!("1 = 1")).and("c.cluster_id = $?", Some(&cluster));
    // On both sides of the join, so that both use their index.
    let select = select.and("c.tenant_id > $? AND t.id > $?", Some(after.unwrap_or_default()));
    let select = select.and("c.tenant_id = $?", tenant.as_deref()).and(
        "c.tenant_id IN (SELECT tenant_id FROM memberships WHERE subject = $? AND role = 'tenantOwner')",
        owner,
    );
    let select = select.order_by("c.tenant_id").limit(limit);
    let rows = select.query_as::<row::Row>().fetch_all(tx.sql()).await?;
    let ceiling = rows.first().map_or(Ok(Vec::new()), row::Row::ceiling)?;
    rows.into_iter().map(|row| row.read(&ceiling)).collect()
}

pub async fn get(tx: &mut Tx, cluster: &str, tenant: &str) -> Result<Tenant, StoreError> {
    let cluster = clusters::get(tx, cluster).await?.id;
    find(tx, Some(&cluster), tenant).await
}

/// On any cluster.
pub async fn anywhere(tx: &mut Tx, tenant: &str) -> Result<Tenant, StoreError> {
    find(tx, None, tenant).await
}

/// As [`get`], and locks the row until the commit. `Conflict` ([`SUSPENDED`]) for members of a suspended tenant, except for
/// deletes.
pub async fn change(tx: &mut Tx, cluster: &str, tenant: &str) -> Result<Tenant, StoreError> {
    let cluster = clusters::get(tx, cluster).await?.id;
    find_and_lock(tx, Some(&cluster), tenant).await
}

pub async fn change_anywhere(tx: &mut Tx, tenant: &str) -> Result<Tenant, StoreError> {
    find_and_lock(tx, None, tenant).await
}

/// The condition on `tenants` for an id or slug.
fn reference(tenant: &str) -> &'static str {
    if is_id(tenant) { "t.id = $?" } else { "t.slug = $?" }
}

async fn find_and_lock(tx: &mut Tx, cluster: Option<&str>, tenant: &str) -> Result<Tenant, StoreError> {
    let own = tx.tenant();
    // Changes nothing, but locks the row on both databases, so that later reads stay valid.
    let lock = Select::new("UPDATE tenants AS t SET version = t.version WHERE t.deleted_at IS NULL");
    lock.and(reference(tenant), Some(tenant))
        .and("t.id = $?", own.as_deref())
        .query()
        .execute(tx.sql())
        .await?;
    let tenant = find(tx, cluster, tenant).await?;
    let removes = matrix::rule(tx.scope().action()).method == Method::Delete;
    if tenant.status == Status::Suspended && tx.scope().tenant().is_some() && !removes {
        return Err(StoreError::conflict(
            SUSPENDED,
            "the tenant is suspended; only reads and deletes are allowed",
        ));
    }
    Ok(tenant)
}

async fn find(tx: &mut Tx, cluster: Option<&str>, tenant: &str) -> Result<Tenant, StoreError> {
    let own = tx.tenant();
    let select = Select::new(row::select!("1 = 1")).and(reference(tenant), Some(tenant));
    let select = select.and("t.id = $?", own.as_deref()).and("c.cluster_id = $?", cluster);
    let row = select.query_as::<row::Row>().fetch_optional(tx.sql()).await?;
    let row = row.ok_or(StoreError::NotFound("tenant"))?;
    let ceiling = row.ceiling()?;
    row.read(&ceiling)
}

/// Validated by the caller.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct New {
    pub name: String,
    pub display_name: String,
    /// Subjects `issuer#sub`, the first members.
    pub owners: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub plan: Option<String>,
    /// `None` for no restriction.
    pub registries: Option<Registries>,
}

/// `Conflict` where the slug is taken on any cluster, or the group belongs to administrators.
pub async fn create(tx: &mut Tx, cluster: &str, mut new: New) -> Result<Tenant, StoreError> {
    new.owners.sort();
    new.owners.dedup();
    let cluster = clusters::get(tx, cluster).await?.id;
    // Serializes with changes of settings that check tenants.
    sqlx::query("UPDATE clusters SET version = version WHERE id = $1")
        .bind(&cluster)
        .execute(tx.sql())
        .await?;
    let group = dev_group(&new.name);
    if settings::is_privileged(tx, &group).await? {
        let detail = format!("the group `{group}` is an administrator group in the setting `identities`");
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
        members::add_owner(tx, &id, owner).await?;
    }
    let tenant = find(tx, None, &id).await?;
    tx.audit(Entry::new("tenant.create", "tenant").of(&id, &tenant.name).tenant(&id).after(json!(tenant)));
    tx.mark_changed(Part::Tenant(tenant.name.clone()));
    Ok(tenant)
}

/// Group of the developers of a tenant in the cluster. Slugs are unique, so groups are too.
pub fn dev_group(slug: &str) -> String {
    format!("{slug}-devs")
}

/// Absent fields stay.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TenantUpdate {
    pub display_name: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    pub registries: Option<Option<Registries>>,
    pub narrowed_registries: Option<Option<Vec<String>>>,
}

pub async fn update(tx: &mut Tx, was: Tenant, update: TenantUpdate) -> Result<Tenant, StoreError> {
    let TenantUpdate { display_name, labels, registries, narrowed_registries } = update;
    let registries = registries.unwrap_or_else(|| was.registries.clone());
    let narrowed = narrowed_registries.unwrap_or_else(|| was.narrowed_registries.clone());
    // Without a grant the narrowing is removed, so that it does not apply to a later grant.
    let narrowed = narrowed.filter(|_| registries.is_some());
    let now = tx.now();
    let statement = sqlx::query(
        "UPDATE tenants SET display_name = $1, labels = $2, registries = $3, narrowed_registries = $4, \
         updated_at = $5, version = version + 1 WHERE id = $6 AND version = $7",
    )
    .bind(display_name.unwrap_or_else(|| was.display_name.clone()))
    .bind(json!(labels.as_ref().unwrap_or(&was.labels)).to_string())
    .bind(registries.map(|registries| json!(registries).to_string()))
    .bind(narrowed.map(|narrowed| json!(narrowed).to_string()))
    .bind(now)
    .bind(&was.id)
    .bind(was.version);
    tx.change_one(statement).await?;
    record_update(tx, was).await
}

/// Former owners lose their membership. The tenant must be locked.
pub async fn set_owners(tx: &mut Tx, was: Tenant, owners: &[String]) -> Result<Tenant, StoreError> {
    for former in was.owners.iter().filter(|owner| !owners.contains(owner)) {
        if let Some(member) = members::find(tx, &was.id, former).await? {
            members::remove(tx, &member.id).await?;
        }
    }
    for owner in owners.iter().filter(|owner| !was.owners.contains(owner)) {
        members::add_owner(tx, &was.id, owner).await?;
    }
    members::update_owner_list(tx, &was.id).await?;
    let is = anywhere(tx, &was.id).await?;
    let entry = Entry::new("tenant.update.owners", "tenant").of(&is.id, &is.name).tenant(&is.id);
    tx.audit(entry.before(json!({ "owners": was.owners })).after(json!({ "owners": is.owners })));
    Ok(is)
}

pub async fn set_quotas(tx: &mut Tx, was: Tenant, quotas: &Quantities) -> Result<Tenant, StoreError> {
    let statement = "UPDATE tenants SET quotas = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set_column(tx, was, statement, json!(quotas).to_string()).await
}

pub async fn set_limits(tx: &mut Tx, was: Tenant, limits: &Quantities) -> Result<Tenant, StoreError> {
    let statement = "UPDATE tenants SET limits = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set_column(tx, was, statement, json!(limits).to_string()).await
}

pub async fn set_network_policies(
    tx: &mut Tx,
    was: Tenant,
    policies: &[NetworkPolicy],
) -> Result<Tenant, StoreError> {
    let statement = "UPDATE tenants SET network_policies = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set_column(tx, was, statement, json!(policies).to_string()).await
}

/// Without effect, also on the version, if the tenant already has this status.
pub async fn set_status(tx: &mut Tx, was: Tenant, status: Status) -> Result<Tenant, StoreError> {
    if was.status == status {
        return Ok(was);
    }
    let statement = "UPDATE tenants SET status = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set_column(tx, was, statement, status.as_str().to_owned()).await
}

pub async fn put_on_plan(tx: &mut Tx, was: Tenant, plan: &str) -> Result<Tenant, StoreError> {
    let plan = plans::get(tx, plan).await?;
    let statement = "UPDATE tenants SET plan_id = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND version = $4";
    set_column(tx, was, statement, plan.id).await
}

async fn set_column(
    tx: &mut Tx,
    was: Tenant,
    statement: &'static str,
    value: String,
) -> Result<Tenant, StoreError> {
    let now = tx.now();
    tx.change_one(sqlx::query(statement).bind(value).bind(now).bind(&was.id).bind(was.version)).await?;
    record_update(tx, was).await
}

/// Writes the audit entry and marks the snapshot if it changed.
async fn record_update(tx: &mut Tx, was: Tenant) -> Result<Tenant, StoreError> {
    let is = find(tx, None, &was.id).await?;
    let action = tx.scope().action().as_str();
    let entry = Entry::new(action, "tenant").of(&is.id, &is.name).tenant(&is.id);
    // Only these fields are in the snapshot, and every revision wakes all gates.
    let snapshot_fields =
        |tenant: &Tenant| (tenant.status, tenant.plan.clone(), tenant.effective_registries.clone());
    if snapshot_fields(&was) != snapshot_fields(&is) {
        tx.mark_changed(Part::Tenant(is.name.clone()));
    }
    tx.audit(entry.before(json!(was)).after(json!(is)));
    Ok(is)
}

/// The row stays, because the audit log refers to it. Namespaces in the cluster stay and become unregistered, where tenants
/// cannot write. `Dependents` where the tenant is not empty, unless `cascade`.
pub async fn delete(tx: &mut Tx, tenant: Tenant, cascade: bool) -> Result<(), StoreError> {
    let children = children(tx, &tenant.id).await?;
    if !cascade && !children.is_empty() {
        return Err(StoreError::Dependents { what: "tenant", children: children.join(", ") });
    }
    for project in projects::all(tx, &tenant.id).await? {
        projects::remove(tx, &tenant, project, true).await?;
    }
    remove_contents(tx, &tenant).await?;
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

/// Each object gets its own audit entry.
async fn remove_contents(tx: &mut Tx, tenant: &Tenant) -> Result<(), StoreError> {
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
    let exceptions: Vec<(String, String)> =
        sqlx::query_as("DELETE FROM exceptions WHERE tenant_id = $1 RETURNING id, policy")
            .bind(&tenant.id)
            .fetch_all(tx.sql())
            .await?;
    for (id, policy) in exceptions {
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

/// Contents of a tenant that the scope can see.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Holdings {
    pub namespaces: Vec<String>,
    pub projects: usize,
    pub apps: usize,
    pub sandboxes: usize,
    /// Of the plan, overridden by the tenant.
    pub quotas: Quantities,
    pub limits: Quantities,
}

pub async fn holdings(tx: &mut Tx, tenant: &Tenant) -> Result<Holdings, StoreError> {
    let mut holdings = Holdings::default();
    if let Some(plan) = &tenant.plan {
        let plan = plans::get(tx, plan).await?;
        (holdings.quotas, holdings.limits) = (plan.quotas, plan.limits);
    }
    holdings.quotas.extend(tenant.quotas.clone());
    holdings.limits.extend(tenant.limits.clone());
    let mut own = projects::all(tx, &tenant.id).await?;
    own.retain(|project| tx.scope().may_project(&project.id));
    holdings.projects = own.len();
    let namespaces: Vec<(String, String, String)> =
        sqlx::query_as("SELECT name, kind, project_id FROM namespaces WHERE tenant_id = $1 ORDER BY name")
            .bind(tenant.id.clone())
            .fetch_all(tx.sql())
            .await?;
    for (name, kind, project) in namespaces {
        if tx.scope().may_project(&project) {
            // Each app and each sandbox has exactly one namespace.
            if kind == "app" {
                holdings.apps += 1;
            } else {
                holdings.sandboxes += 1;
            }
            holdings.namespaces.push(name);
        }
    }
    Ok(holdings)
}
