//! What the ledger knows of an identity: whether its token was revoked, and where it is a member.

use sqlx::Row as _;

use super::select::Select;
use super::{Entry, StoreError, Tx, is_id};
use portcullis_access::{Role, TenantRef};

/// A membership, as far as it says who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where.
    pub tenant: TenantRef,
    /// What.
    pub role: Role,
    /// Ids of the projects it is limited to.
    pub projects: Option<Vec<String>>,
}

/// Whether a token was revoked, by its id.
pub async fn is_revoked(tx: &mut Tx, jti: &str) -> Result<bool, StoreError> {
    let row =
        sqlx::query("SELECT 1 FROM revoked_tokens WHERE jti = $1").bind(jti).fetch_optional(tx.sql()).await?;
    Ok(row.is_some())
}

/// Revokes a token. `expires` is when it would have ended, unix seconds: so long it has to be remembered. Twice is the
/// same as once, and false.
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
    let news = done.rows_affected() == 1;
    if news {
        tx.audit(Entry::new("token.revoke", "token").of(jti, jti));
    }
    Ok(news)
}

/// Forgets revocations of tokens that have ended; how many.
pub async fn purge(tx: &mut Tx) -> Result<u64, StoreError> {
    // A minute more than clocks may differ by.
    let ended = tx.now() / 1000 - 60;
    let done = sqlx::query("DELETE FROM revoked_tokens WHERE exp < $1").bind(ended).execute(tx.sql()).await?;
    Ok(done.rows_affected())
}

/// Where somebody is a member, in the order of slugs.
pub async fn memberships(tx: &mut Tx, subject: &str) -> Result<Vec<Standing>, StoreError> {
    let rows = sqlx::query(
        "SELECT t.id, t.slug, m.role, m.project_ids FROM memberships m JOIN tenants t ON t.id = m.tenant_id \
         WHERE m.subject = $1 AND t.deleted_at IS NULL ORDER BY t.slug",
    )
    .bind(subject)
    .fetch_all(tx.sql())
    .await?;
    rows.into_iter().map(|row| read(&row)).collect()
}

fn read(row: &sqlx::any::AnyRow) -> Result<Standing, StoreError> {
    let role: String = row.try_get("role")?;
    let projects: Option<String> = row.try_get("project_ids")?;
    let document = |source| StoreError::Document { what: "a membership".to_owned(), source };
    Ok(Standing {
        tenant: TenantRef { id: row.try_get("id")?, slug: row.try_get("slug")? },
        role: serde_json::from_value(role.into()).map_err(document)?,
        projects: projects.map(|text| serde_json::from_str(&text)).transpose().map_err(document)?,
    })
}

/// A tenant by id or slug.
pub async fn tenant(tx: &mut Tx, reference: &str) -> Result<TenantRef, StoreError> {
    let own = tx.tenant();
    let column = if is_id(reference) { "id = $?" } else { "slug = $?" };
    let select = Select::new("SELECT id, slug FROM tenants WHERE deleted_at IS NULL");
    let select = select.and(column, Some(reference)).and("id = $?", own.as_deref());
    let row = select.query().fetch_optional(tx.sql()).await?.ok_or(StoreError::NotFound("tenant"))?;
    Ok(TenantRef { id: row.try_get("id")?, slug: row.try_get("slug")? })
}

/// Ids and slugs of a tenant's projects.
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
