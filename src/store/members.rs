//! Members of tenants. A subject has one role in a tenant, and one that is not the owner may be limited to projects.
//!
//! Owners are the members with the role `tenantOwner`; the list that stands in the tenant's row is a copy of that, made
//! by [`list_owners`] in the same transaction, so that a page of tenants is one statement.

mod access;
mod row;

pub(super) use access::forget;
pub use access::{Access, Impossible, ProjectRole, replace_access};
pub use row::{Member, MemberRole};

use serde_json::json;

use self::row::Row;
use super::audit::Entry;
use super::error::StoreError;
use super::tenants::{Tenant, WITH_TENANT};
use super::{Tx, new_id};

/// Members of a tenant in order of ids, after one of them.
pub async fn list(
    tx: &mut Tx,
    tenant: &str,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(row::select!("id > $2 ORDER BY id LIMIT $3"))
        .bind(tenant.to_owned())
        .bind(after.unwrap_or_default().to_owned())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.into_iter().map(Row::read).collect()
}

/// A member by its subject, `issuer#sub`.
pub async fn find(tx: &mut Tx, tenant: &str, subject: &str) -> Result<Option<Member>, StoreError> {
    let row = sqlx::query_as::<_, Row>(row::select!("subject = $2"))
        .bind(tenant.to_owned())
        .bind(subject.to_owned())
        .fetch_optional(tx.sql())
        .await?;
    row.map(Row::read).transpose()
}

/// Makes a subject a member of a tenant that is locked, or something else than it was; `projects` are ids of projects of
/// this tenant, none for all of them.
pub async fn put(
    tx: &mut Tx,
    tenant: &Tenant,
    subject: &str,
    role: MemberRole,
    projects: Option<&[String]>,
) -> Result<Member, StoreError> {
    let was = find(tx, &tenant.id, subject).await?;
    write(tx, &tenant.id, subject, role, projects).await?;
    list_owners(tx, &tenant.id).await?;
    let is = find(tx, &tenant.id, subject).await?.ok_or(StoreError::NotFound("member"))?;
    let entry = Entry { before: was.map(|was| json!(was)), ..Entry::new("member.put", "member") };
    tx.audit(entry.of(&is.id, subject).tenant(&tenant.id).after(json!(is)));
    Ok(is)
}

/// Ends a membership.
pub async fn delete(tx: &mut Tx, tenant: &Tenant, was: Member) -> Result<(), StoreError> {
    remove(tx, &was.id).await?;
    list_owners(tx, &tenant.id).await?;
    let entry = Entry::new("member.delete", "member").of(&was.id, &was.subject).tenant(&tenant.id);
    tx.audit(entry.before(json!(was)));
    Ok(())
}

/// Ends every membership of a tenant that is being deleted.
pub(super) async fn remove_all(tx: &mut Tx, tenant: &str) -> Result<(), StoreError> {
    for member in list(tx, tenant, None, i64::MAX).await? {
        remove(tx, &member.id).await?;
        let entry = Entry::new("member.delete", "member").of(&member.id, &member.subject).tenant(tenant);
        tx.audit(entry.before(json!(member)).because(WITH_TENANT));
    }
    Ok(())
}

/// Makes exactly these subjects the owners of a tenant that is locked. Who is no owner any more is no member.
pub async fn set_owners(tx: &mut Tx, was: Tenant, owners: &[String]) -> Result<Tenant, StoreError> {
    for former in was.owners.iter().filter(|owner| !owners.contains(owner)) {
        if let Some(member) = find(tx, &was.id, former).await? {
            remove(tx, &member.id).await?;
        }
    }
    for owner in owners.iter().filter(|owner| !was.owners.contains(owner)) {
        make_owner(tx, &was.id, owner).await?;
    }
    list_owners(tx, &was.id).await?;
    let is = super::tenants::anywhere(tx, &was.id).await?;
    let entry = Entry::new("tenant.update.owners", "tenant").of(&is.id, &is.name).tenant(&is.id);
    tx.audit(entry.before(json!({ "owners": was.owners })).after(json!({ "owners": is.owners })));
    Ok(is)
}

/// Makes a subject an owner, whatever it was.
pub(super) async fn make_owner(tx: &mut Tx, tenant: &str, subject: &str) -> Result<(), StoreError> {
    write(tx, tenant, subject, MemberRole::TenantOwner, None).await
}

/// Copies the owners into the tenant's row. That is a change of the tenant, unless they are the same.
pub(super) async fn list_owners(tx: &mut Tx, tenant: &str) -> Result<(), StoreError> {
    let mut owners: Vec<String> =
        sqlx::query_scalar("SELECT subject FROM memberships WHERE tenant_id = $1 AND role = 'tenantOwner'")
            .bind(tenant.to_owned())
            .fetch_all(tx.sql())
            .await?;
    // Not by the database, whose order of texts is its own.
    owners.sort();
    let now = tx.now();
    sqlx::query(
        "UPDATE tenants SET owners = $1, updated_at = $2, version = version + 1 WHERE id = $3 AND owners <> $1",
    )
    .bind(json!(owners).to_string())
    .bind(now)
    .bind(tenant.to_owned())
    .execute(tx.sql())
    .await?;
    Ok(())
}

async fn write(
    tx: &mut Tx,
    tenant: &str,
    subject: &str,
    role: MemberRole,
    projects: Option<&[String]>,
) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query(
        "INSERT INTO memberships (id, created_at, updated_at, tenant_id, subject, role, project_ids) \
         VALUES ($1, $2, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, subject) DO UPDATE SET \
         role = excluded.role, project_ids = excluded.project_ids, updated_at = excluded.updated_at, \
         version = memberships.version + 1",
    )
    .bind(new_id())
    .bind(now)
    .bind(tenant.to_owned())
    .bind(subject.to_owned())
    .bind(role.as_str())
    .bind(projects.map(|projects| json!(projects).to_string()))
    .execute(tx.sql())
    .await?;
    Ok(())
}

async fn remove(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM memberships WHERE id = $1").bind(id.to_owned()).execute(tx.sql()).await?;
    Ok(())
}
