//! Policy bundles in the ledger: each upload is an immutable revision, and the newest is in force.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::audit::Entry;
use super::error::StoreError;
use super::revision::parse;
use super::{Part, Time, Tx};

/// A revision of the policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Number, from 1; the largest is in force.
    pub revision: i64,
    /// SHA-256 of its files, lower-case hex.
    pub sha256: String,
    /// Uploader.
    pub loaded_by: String,
    /// Note of the uploader.
    pub note: String,
    /// Creation time.
    pub created_at: Time,
}

/// Path → text.
pub type Files = BTreeMap<String, String>;

/// From the newest down, below a revision.
pub async fn list(tx: &mut Tx, below: Option<i64>, limit: i64) -> Result<Vec<Revision>, StoreError> {
    let rows = sqlx::query(
        "SELECT revision, sha256, loaded_by, note, created_at FROM policy_revisions \
         WHERE ($1 IS NULL OR revision < $1) ORDER BY revision DESC LIMIT $2",
    )
    .bind(below)
    .bind(limit)
    .fetch_all(tx.sql())
    .await?;
    rows.iter().map(read).collect()
}

pub async fn get(tx: &mut Tx, revision: i64) -> Result<(Revision, Files), StoreError> {
    let row = sqlx::query(
        "SELECT revision, sha256, loaded_by, note, created_at, source FROM policy_revisions WHERE revision = $1",
    )
    .bind(revision)
    .fetch_optional(tx.sql())
    .await?;
    let row = row.ok_or(StoreError::NotFound("policy"))?;
    let files = parse("a policy bundle", &row.try_get::<String, _>("source")?)?;
    Ok((read(&row)?, files))
}

pub async fn newest(tx: &mut Tx) -> Result<Option<(Revision, Files)>, StoreError> {
    let newest = list(tx, None, 1).await?.into_iter().next();
    match newest {
        Some(newest) => get(tx, newest.revision).await.map(Some),
        None => Ok(None),
    }
}

/// The caller has compiled and tested the files.
pub async fn add(
    tx: &mut Tx,
    action: &'static str,
    files: &Files,
    note: &str,
) -> Result<Revision, StoreError> {
    let source = serde_json::to_string(files).unwrap_or_default();
    let sha256 = hex::encode(Sha256::digest(&source));
    let (now, by) = (tx.now(), tx.scope().actor().name.clone());
    // Of two concurrent uploads, the primary key rejects one.
    let row = sqlx::query(
        "INSERT INTO policy_revisions (revision, created_at, sha256, source, loaded_by, note) \
         SELECT COALESCE(MAX(revision), 0) + 1, $1, $2, $3, $4, $5 FROM policy_revisions \
         RETURNING revision, sha256, loaded_by, note, created_at",
    )
    .bind(now)
    .bind(sha256)
    .bind(source)
    .bind(by)
    .bind(note.to_owned())
    .fetch_one(tx.sql())
    .await?;
    let created = read(&row)?;
    let name = created.revision.to_string();
    tx.audit(Entry { resource_name: Some(name), ..Entry::new(action, "policy") }.after(json!(created)));
    tx.mark_changed(Part::Policies);
    Ok(created)
}

fn read(row: &AnyRow) -> Result<Revision, StoreError> {
    Ok(Revision {
        revision: row.try_get("revision")?,
        sha256: row.try_get("sha256")?,
        loaded_by: row.try_get("loaded_by")?,
        note: row.try_get("note")?,
        created_at: Time(row.try_get("created_at")?),
    })
}
