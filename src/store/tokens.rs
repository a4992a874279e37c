//! Tokens that this service issued: subject and expiry, never the tokens themselves.

use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::{StoreError, Time, Tx, document};

/// A token that this service issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
pub struct Minted {
    /// Token id, for revocation.
    #[schema(format = "uuid")]
    pub jti: String,
    /// Subject: `issuer#sub`.
    pub subject: String,
    /// Roles of the subject.
    pub roles: Vec<String>,
    /// UUID of its tenant; absent for roles without a tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant_id: Option<String>,
    /// UUIDs of the projects to which it is limited; absent if unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub projects: Option<Vec<String>>,
    /// UUID of the cluster whose snapshot it reads; only for gates.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cluster_id: Option<String>,
    /// Issuer of the token: `issuer#sub`.
    pub minted_by: String,
    /// Creation time, RFC 3339.
    pub created_at: Time,
    /// Expiry, RFC 3339.
    pub expires_at: Time,
    /// Whether it was revoked.
    pub revoked: bool,
}

pub async fn store(tx: &mut Tx, minted: &Minted) -> Result<(), StoreError> {
    let list = |items: &[String]| serde_json::Value::from(items.to_vec()).to_string();
    sqlx::query(
        "INSERT INTO minted_tokens (jti, created_at, tenant_id, subject, roles, projects, minted_by, exp, \
         cluster_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(minted.jti.clone())
    .bind(minted.created_at.0)
    .bind(minted.tenant_id.clone())
    .bind(minted.subject.clone())
    .bind(list(&minted.roles))
    .bind(minted.projects.as_deref().map(list))
    .bind(minted.minted_by.clone())
    .bind(minted.expires_at.0 / 1000)
    .bind(minted.cluster_id.clone())
    .execute(tx.sql())
    .await?;
    Ok(())
}

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT m.jti, m.created_at, m.tenant_id, m.subject, m.roles, m.projects, m.minted_by, m.exp, m.cluster_id, \
             CASE WHEN EXISTS (SELECT 1 FROM revoked_tokens r WHERE r.jti = m.jti) THEN 1 ELSE 0 END AS revoked \
             FROM minted_tokens m WHERE ",
            $end
        )
    };
}

/// By id, if the scope can see it.
pub async fn find(tx: &mut Tx, jti: &str) -> Result<Option<Minted>, StoreError> {
    let own = tx.tenant();
    let row = sqlx::query(select!("m.jti = $1 AND ($2 IS NULL OR m.tenant_id = $2)"))
        .bind(jti)
        .bind(own)
        .fetch_optional(tx.sql())
        .await?;
    row.as_ref().map(read).transpose()
}

/// Tokens that have not expired, by id, after `after`; of one subject if given.
pub async fn list(
    tx: &mut Tx,
    subject: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Minted>, StoreError> {
    let (own, now) = (tx.tenant(), tx.now() / 1000);
    let rows = sqlx::query(select!(
        "m.jti > $1 AND m.exp > $2 AND ($3 IS NULL OR m.tenant_id = $3) AND ($4 IS NULL OR m.subject = $4) \
         ORDER BY m.jti LIMIT $5"
    ))
    .bind(after.unwrap_or_default())
    .bind(now)
    .bind(own)
    .bind(subject.map(str::to_owned))
    .bind(limit)
    .fetch_all(tx.sql())
    .await?;
    rows.iter().map(read).collect()
}

/// Deletes expired tokens.
pub async fn purge(tx: &mut Tx) -> Result<u64, StoreError> {
    let ended = tx.now() / 1000 - 60;
    let done = sqlx::query("DELETE FROM minted_tokens WHERE exp < $1").bind(ended).execute(tx.sql()).await?;
    Ok(done.rows_affected())
}

fn read(row: &AnyRow) -> Result<Minted, StoreError> {
    let projects: Option<String> = row.try_get("projects")?;
    Ok(Minted {
        jti: row.try_get("jti")?,
        subject: row.try_get("subject")?,
        roles: document("the roles of a token", &row.try_get::<String, _>("roles")?)?,
        tenant_id: row.try_get("tenant_id")?,
        projects: projects.map(|text| document("the projects of a token", &text)).transpose()?,
        cluster_id: row.try_get("cluster_id")?,
        minted_by: row.try_get("minted_by")?,
        created_at: Time(row.try_get("created_at")?),
        expires_at: Time(row.try_get::<i64, _>("exp")?.saturating_mul(1000)),
        revoked: row.try_get::<i64, _>("revoked").is_ok_and(|flag| flag != 0),
    })
}
