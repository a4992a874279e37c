//! What the ledger knows about an identity: revocation of its token, and its memberships.

use sqlx::Row as _;

use super::select::Select;
use super::{Entry, StoreError, Tx, is_id};
use portcullis_access::{Role, TenantRef};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub tenant: TenantRef,
    pub role: Role,
    /// Ids of the projects to which it is limited.
    pub projects: Option<Vec<String>>,
}

pub async fn is_revoked(tx: &mut Tx, jti: &str) -> Result<bool, StoreError> {
    let row =
        sqlx::query("SELECT 1 FROM revoked_tokens WHERE jti = $1").bind(jti).fetch_optional(tx.sql()).await?;
    Ok(row.is_some())
}

/// `expires` is the expiry of the token in Unix seconds, until when the revocation is stored. `false` if already revoked.
pub async fn revoke(tx: &mut Tx, jti: &str, expires: i64) -> Result<bool, StoreError> {
    let (tenant, now) = (tx.tenant(), tx.now());
    let done = sqlx::query(
        "INSERT INTO revoked_tokens (jti, created_at, tenant_id, exp) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (jti) DO NOTHING",
    )
    .bind(jti)
    .bind(now)
    .bind(tenant)
    .bind(expires)
    .execute(tx.sql())
    .await?;
    let newly_revoked = done.rows_affected() == 1;
    if newly_revoked {
        tx.audit(Entry::new("token.revoke", "token").of(jti, jti));
    }
    Ok(newly_revoked)
}

/// Deletes revocations of expired tokens.
pub async fn purge(tx: &mut Tx) -> Result<u64, StoreError> {
    // A minute of tolerance for clocks that differ.
    let ended = tx.now() / 1000 - 60;
    let done = sqlx::query("DELETE FROM revoked_tokens WHERE exp < $1").bind(ended).execute(tx.sql()).await?;
    Ok(done.rows_affected())
}

/// By slug.
pub async fn memberships(tx: &mut Tx, subject: &str) -> Result<Vec<Membership>, StoreError> {
    let rows = sqlx::query(
        "SELECT t.id, t.slug, m.role, m.project_ids FROM memberships m JOIN tenants t ON t.id = m.tenant_id \
         WHERE m.subject = $1 AND t.deleted_at IS NULL ORDER BY t.slug",
    )
    .bind(subject)
    .fetch_all(tx.sql())
    .await?;
    rows.into_iter().map(|row| read(&row)).collect()
}

fn read(row: &sqlx::any::AnyRow) -> Result<Membership, StoreError> {
    let role: String = row.try_get("role")?;
    let projects: Option<String> = row.try_get("project_ids")?;
    let document = |source| StoreError::Document { what: "a membership".to_owned(), source };
    Ok(Membership {
        tenant: TenantRef { id: row.try_get("id")?, slug: row.try_get("slug")? },
        role: serde_json::from_value(role.into()).map_err(document)?,
        projects: projects.map(|text| serde_json::from_str(&text)).transpose().map_err(document)?,
    })
}

/// By id or slug.
pub async fn tenant(tx: &mut Tx, reference: &str) -> Result<TenantRef, StoreError> {
    let own = tx.tenant();
    let column = if is_id(reference) { "id = $?" } else { "slug = $?" };
    let select = Select::new("SELECT id, slug FROM tenants WHERE deleted_at IS NULL");
    let select = select.and(column, Some(reference)).and("id = $?", own.as_deref());
    let row = select.query().fetch_optional(tx.sql()).await?.ok_or(StoreError::NotFound("tenant"))?;
    Ok(TenantRef { id: row.try_get("id")?, slug: row.try_get("slug")? })
}

/// Ids and slugs.
pub async fn projects(tx: &mut Tx, tenant: &str) -> Result<Vec<(String, String)>, StoreError> {
    let own = tx.tenant();
    let rows =
        sqlx::query("SELECT id, slug FROM projects WHERE tenant_id = $1 AND ($2 IS NULL OR tenant_id = $2)")
            .bind(tenant)
            .bind(own)
            .fetch_all(tx.sql())
            .await?;
    rows.into_iter().map(|row| Ok((row.try_get("id")?, row.try_get("slug")?))).collect()
}
