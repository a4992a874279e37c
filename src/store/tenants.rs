//! Tenants. One belongs to the cluster that it was made under; deleted, its row stays for the past and its slug is free.
//!
//! Whoever changes a tenant or anything in it begins with [`change`], which locks the tenant's row: so nothing is added
//! to a tenant that is being deleted, and a suspended tenant's own people change nothing, wherever the code is that
//! serves them.

pub mod row;

mod holdings;
mod make;
mod mend;
mod remove;

pub use holdings::{Holdings, holdings};
pub use make::{New, create};
pub use mend::{Amendment, amend, put_on_plan, set_limits, set_network_policies, set_quotas, set_status};
pub(super) use remove::WITH_TENANT;
pub use remove::delete;
pub use row::{NetworkPolicy, Registries, Status, Tenant, Word};

use std::collections::BTreeMap;

use super::error::StoreError;
use super::select::Select;
use super::{Tx, clusters, is_id};
use portcullis_access::matrix::{self, Method};
use portcullis_tenancy::registries;
use portcullis_tenancy::{Entry, snapshot};

/// What a conflict is called when a suspended tenant's own people would change something.
pub const SUSPENDED: &str = "tenant.suspended";

/// Tenants of a cluster that the scope sees, in order of ids, after one of them.
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
    // Said of both sides of the join, so that neither is read from its beginning.
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

/// A tenant by id or slug, on a cluster by id or name.
pub async fn get(tx: &mut Tx, cluster: &str, tenant: &str) -> Result<Tenant, StoreError> {
    let cluster = clusters::get(tx, cluster).await?.id;
    find(tx, Some(&cluster), tenant).await
}

/// A tenant by id or slug, on whatever cluster.
pub async fn anywhere(tx: &mut Tx, tenant: &str) -> Result<Tenant, StoreError> {
    find(tx, None, tenant).await
}

/// The same as [`get`] for whoever is about to change it or something in it: its row is locked until the commit.
///
/// # Errors
/// `Conflict` with the word [`SUSPENDED`] where the tenant is, and the scope is its own; what only deletes passes.
pub async fn change(tx: &mut Tx, cluster: &str, tenant: &str) -> Result<Tenant, StoreError> {
    let cluster = clusters::get(tx, cluster).await?.id;
    locked(tx, Some(&cluster), tenant).await
}

/// The same as [`anywhere`], for whoever is about to change it.
///
/// # Errors
/// As [`change`].
pub async fn change_anywhere(tx: &mut Tx, tenant: &str) -> Result<Tenant, StoreError> {
    locked(tx, None, tenant).await
}

/// The condition that a row of `tenants` is the one that is meant.
fn reference(tenant: &str) -> &'static str {
    if is_id(tenant) { "t.id = $?" } else { "t.slug = $?" }
}

async fn locked(tx: &mut Tx, cluster: Option<&str>, tenant: &str) -> Result<Tenant, StoreError> {
    let own = tx.tenant();
    // Changes nothing, and locks the row on both databases; what is read after that stays so.
    let lock = Select::new("UPDATE tenants AS t SET version = t.version WHERE t.deleted_at IS NULL");
    lock.and(reference(tenant), Some(tenant))
        .and("t.id = $?", own.as_deref())
        .query()
        .execute(tx.sql())
        .await?;
    let tenant = find(tx, cluster, tenant).await?;
    let removes = matrix::rule(tx.scope().action()).method == Method::Delete;
    if tenant.status == Status::Suspended && tx.scope().tenant().is_some() && !removes {
        return Err(StoreError::conflict(SUSPENDED, "the tenant is suspended; it may read and delete"));
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

/// What is in force of a grant and a narrowing under this ceiling. Entries were checked when they were written; one that
/// does not read admits nothing.
fn in_force(
    ceiling: &[Entry],
    granted: Option<&Registries>,
    narrowed: Option<&[String]>,
) -> Option<Registries> {
    let granted = granted.map(|granted| match granted {
        Registries::Word(Word::Inherit) => snapshot::Registries::Inherit,
        Registries::List(list) => snapshot::Registries::List(entries(list)),
    });
    let narrowed = narrowed.map(entries);
    registries::effective(ceiling, granted.as_ref(), narrowed.as_deref()).map(|found| match found {
        snapshot::Registries::Inherit => Registries::Word(Word::Inherit),
        snapshot::Registries::List(list) => Registries::List(list.iter().map(Entry::to_string).collect()),
    })
}

fn entries(list: &[String]) -> Vec<Entry> {
    list.iter().filter_map(|entry| Entry::parse(entry).ok()).collect()
}

/// Amounts by resource.
pub type Quantities = BTreeMap<String, String>;
