//! Break-glass documents: kept as they were signed, never changed but for the time they were closed.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::audit::Entry;
use super::error::StoreError;
use super::revision::parse;
use super::{Part, Time, Tx};

/// A document, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Breakglass {
    /// UUID, as the document says it.
    #[schema(format = "uuid")]
    pub id: String,
    /// As it was signed.
    #[schema(value_type = Object)]
    pub document: Value,
    /// Over the document, base64.
    pub signature: String,
    /// Who delivered it.
    pub opened_by: String,
    /// When it ends by itself.
    pub expires: Time,
    /// When it was closed before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub closed_at: Option<Time>,
    /// When it was delivered.
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

/// Documents in order of ids, after one of them.
pub async fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Breakglass>, StoreError> {
    let rows = sqlx::query(select!("id > $1 ORDER BY id LIMIT $2"))
        .bind(after.unwrap_or_default().to_owned())
        .bind(limit)
        .fetch_all(tx.sql())
        .await?;
    rows.iter().map(read).collect()
}

/// A document.
pub async fn get(tx: &mut Tx, id: &str) -> Result<Breakglass, StoreError> {
    let row = sqlx::query(select!("id = $1")).bind(id.to_owned()).fetch_optional(tx.sql()).await?;
    row.as_ref().map(read).transpose()?.ok_or(StoreError::NotFound("breakglass"))
}

/// Takes a document.
///
/// # Errors
/// `Conflict` for one that was delivered before.
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
    tx.touch(Part::Breakglass(id.to_owned()));
    let made = get(tx, id).await?;
    let reason = document.get("reason").and_then(Value::as_str).unwrap_or_default();
    tx.audit(
        Entry::new("breakglass.use", "breakglass").of(id, id).after(json!(made.document)).because(reason),
    );
    Ok(made)
}

/// Closes a document before its time; one that is closed stays so.
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
    tx.touch(Part::Breakglass(was.id.clone()));
    get(tx, &was.id).await
}

/// Takes out what ended by itself; how many there were.
pub(super) async fn end(tx: &mut Tx) -> Result<usize, StoreError> {
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
        tx.touch(Part::Breakglass(id));
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
