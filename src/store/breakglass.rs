//! Break-glass documents, stored as they were signed; only the time of closing is added.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::audit::Entry;
use super::error::StoreError;
use super::revision::parse;
use super::{Part, Time, Tx};

/// A break-glass document and its state.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Breakglass {
    /// UUID of the document.
    #[schema(format = "uuid")]
    pub id: String,
    /// The signed document.
    #[schema(value_type = Object)]
    pub document: Value,
    /// Signature of the document, base64.
    pub signature: String,
    /// Uploader.
    pub opened_by: String,
    /// Expiry.
    pub expires: Time,
    /// When it was closed before its expiry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub closed_at: Option<Time>,
    /// Time of the upload.
    pub created_at: Time,
}

macro_rules! select {
    ($end:literal) => {
        concat!(
            "SELECT id, document, signature, opened_by, expires_at, closed_at, created_at FROM breakglass WHERE ",
            $end
        )
    };
}

pub async fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Breakglass>, StoreError> {
    let rows = sqlx::query(select!("id > $1 ORDER BY id LIMIT $2"))
        .bind(after.unwrap_or_default().to_owned())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.iter().map(read).collect()
}

pub async fn get(tx: &mut Tx, id: &str) -> Result<Breakglass, StoreError> {
    let row = sqlx::query(select!("id = $1")).bind(id.to_owned()).fetch_optional(tx.sql()).await?;
    row.as_ref().map(read).transpose()?.ok_or(StoreError::NotFound("breakglass"))
}

/// Stores a document. `Conflict` where it was already uploaded.
pub async fn open(
    tx: &mut Tx,
    id: &str,
    document: &Value,
    signature: &str,
    expires: Time,
) -> Result<Breakglass, StoreError> {
    let (now, by) = (tx.now(), tx.scope().actor().name.clone());
    sqlx::query(
        "INSERT INTO breakglass (id, created_at, updated_at, document, signature, opened_by, expires_at) \
         VALUES ($1, $2, $2, $3, $4, $5, $6)",
    )
    .bind(id.to_owned())
    .bind(now)
    .bind(document.to_string())
    .bind(signature.to_owned())
    .bind(by)
    .bind(expires.0)
    .execute(tx.sql())
    .await?;
    tx.mark_changed(Part::Breakglass(id.to_owned()));
    let created = get(tx, id).await?;
    let reason = document.get("reason").and_then(Value::as_str).unwrap_or_default();
    tx.audit(
        Entry::new("breakglass.use", "breakglass").of(id, id).after(json!(created.document)).because(reason),
    );
    Ok(created)
}

/// Closes a document before its expiry; without effect on a closed one.
pub async fn close(tx: &mut Tx, was: Breakglass) -> Result<Breakglass, StoreError> {
    if was.closed_at.is_some() {
        return Ok(was);
    }
    let now = tx.now();
    let done = sqlx::query(
        "UPDATE breakglass SET closed_at = $1, updated_at = $1, version = version + 1 \
         WHERE id = $2 AND closed_at IS NULL",
    )
    .bind(now)
    .bind(was.id.clone())
    .execute(tx.sql())
    .await?;
    if done.rows_affected() == 0 {
        return get(tx, &was.id).await;
    }
    tx.audit(Entry::new("breakglass.close", "breakglass").of(&was.id, &was.id));
    tx.mark_changed(Part::Breakglass(was.id.clone()));
    get(tx, &was.id).await
}

/// Closes all expired documents and returns their number.
pub(super) async fn expire(tx: &mut Tx) -> Result<usize, StoreError> {
    let now = tx.now();
    let rows = sqlx::query(
        "UPDATE breakglass SET closed_at = expires_at, updated_at = $1, version = version + 1 \
         WHERE closed_at IS NULL AND expires_at <= $1 RETURNING id",
    )
    .bind(now)
    .fetch_all(tx.sql())
    .await?;
    for row in &rows {
        let id: String = row.try_get("id")?;
        tx.audit(Entry::new("breakglass.expire", "breakglass").of(&id, &id));
        tx.mark_changed(Part::Breakglass(id));
    }
    Ok(rows.len())
}

fn read(row: &AnyRow) -> Result<Breakglass, StoreError> {
    Ok(Breakglass {
        id: row.try_get("id")?,
        document: parse("a break-glass document", &row.try_get::<String, _>("document")?)?,
        signature: row.try_get("signature")?,
        opened_by: row.try_get("opened_by")?,
        expires: Time(row.try_get("expires_at")?),
        closed_at: row.try_get::<Option<i64>, _>("closed_at")?.map(Time),
        created_at: Time(row.try_get("created_at")?),
    })
}
