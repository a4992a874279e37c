//! The law that the ledger keeps, as gates learn of it: its number and its digest, never its text.

use serde_json::{Value, json};
use sqlx::{AnyConnection, Row as _};

use crate::error::StoreError;

/// `{revision, sha256}` of the newest, or null where there is none.
pub(super) async fn newest(on: &mut AnyConnection) -> Result<Value, StoreError> {
    let row = sqlx::query("SELECT revision, sha256 FROM policy_revisions ORDER BY revision DESC LIMIT 1")
        .fetch_optional(on)
        .await?;
    let Some(row) = row else { return Ok(Value::Null) };
    Ok(json!({"revision": row.try_get::<i64, _>("revision")?, "sha256": row.try_get::<String, _>("sha256")?}))
}
