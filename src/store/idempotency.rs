//! Stored responses for `Idempotency-Key`.

use sqlx::Row as _;

use super::{StoreError, Tx};

/// One day.
const RETENTION_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Method and path.
    pub route: String,
    /// SHA-256 of the body, hexadecimal.
    pub request_hash: String,
    pub status: u16,
    pub response: String,
}

pub async fn find(tx: &mut Tx, key: &str, subject: &str) -> Result<Option<StoredResponse>, StoreError> {
    let (tenant, now) = (tx.tenant(), tx.now());
    let row = sqlx::query(
        "SELECT route, request_hash, status, response FROM idempotency_keys \
         WHERE key = $1 AND subject = $2 AND expires_at > $3 AND ($4 IS NULL OR tenant_id = $4)",
    )
    .bind(key)
    .bind(subject)
    .bind(now)
    .bind(tenant)
    .fetch_optional(tx.sql())
    .await?;
    let read = |row: sqlx::any::AnyRow| {
        Ok(StoredResponse {
            route: row.try_get("route")?,
            request_hash: row.try_get("request_hash")?,
            status: u16::try_from(row.try_get::<i64, _>("status")?).unwrap_or(500),
            response: row.try_get("response")?,
        })
    };
    row.map(read).transpose()
}

/// `false` where a response is already stored under this key.
pub async fn store(
    tx: &mut Tx,
    key: &str,
    subject: &str,
    response: &StoredResponse,
) -> Result<bool, StoreError> {
    let (tenant, now) = (tx.tenant(), tx.now());
    let done = sqlx::query(
        "INSERT INTO idempotency_keys \
         (key, subject, created_at, tenant_id, route, request_hash, status, response, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (key, subject) DO UPDATE SET created_at = excluded.created_at, \
         tenant_id = excluded.tenant_id, route = excluded.route, request_hash = excluded.request_hash, \
         status = excluded.status, response = excluded.response, expires_at = excluded.expires_at \
         WHERE idempotency_keys.expires_at <= excluded.created_at",
    )
    .bind(key)
    .bind(subject)
    .bind(now)
    .bind(tenant)
    .bind(&response.route)
    .bind(&response.request_hash)
    .bind(i64::from(response.status))
    .bind(&response.response)
    .bind(now.saturating_add(RETENTION_MS))
    .execute(tx.sql())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes expired responses.
pub async fn purge(tx: &mut Tx) -> Result<u64, StoreError> {
    let now = tx.now();
    let done = sqlx::query("DELETE FROM idempotency_keys WHERE expires_at <= $1")
        .bind(now)
        .execute(tx.sql())
        .await?;
    Ok(done.rows_affected())
}
