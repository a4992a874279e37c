//! Answers that are kept to be given again: `Idempotency-Key`.

use sqlx::Row as _;

use super::{StoreError, Tx};

/// How long an answer is kept, in milliseconds: a day.
const KEPT: i64 = 24 * 60 * 60 * 1000;

/// An answer under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Method and path of the request.
    pub route: String,
    /// SHA-256 of its body, hexadecimal.
    pub request_hash: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// The answer, as the API writes it.
    pub response: String,
}

/// The answer that is kept under this key of this subject.
pub async fn find(tx: &mut Tx, key: &str, subject: &str) -> Result<Option<Row>, StoreError> {
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
        Ok(Row {
            route: row.try_get("route")?,
            request_hash: row.try_get("request_hash")?,
            status: u16::try_from(row.try_get::<i64, _>("status")?).unwrap_or(500),
            response: row.try_get("response")?,
        })
    };
    row.map(read).transpose()
}

/// Keeps an answer; false where another is kept under this key already.
pub async fn keep(tx: &mut Tx, key: &str, subject: &str, row: &Row) -> Result<bool, StoreError> {
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
    .bind(&row.route)
    .bind(&row.request_hash)
    .bind(i64::from(row.status))
    .bind(&row.response)
    .bind(now.saturating_add(KEPT))
    .execute(tx.sql())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes what is kept no longer; how many.
pub async fn purge(tx: &mut Tx) -> Result<u64, StoreError> {
    let now = tx.now();
    let done = sqlx::query("DELETE FROM idempotency_keys WHERE expires_at <= $1")
        .bind(now)
        .execute(tx.sql())
        .await?;
    Ok(done.rows_affected())
}
