//! The laws that the ledger keeps: each upload a revision, the newest in force, none ever changed.

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

/// A revision of the law.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Its number, from 1 on; the largest is in force.
    pub revision: i64,
    /// SHA-256 of its source, lower-case hex.
    pub sha256: String,
    /// Who uploaded it.
    pub loaded_by: String,
    /// What was said about it.
    pub note: String,
    /// When.
    pub created_at: Time,
}

/// The files of a bundle: path → text.
pub type Files = BTreeMap<String, String>;

/// Revisions from the newest down, below one of them.
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

/// A revision and its files.
pub async fn get(tx: &mut Tx, revision: i64) -> Result<(Revision, Files), StoreError> {
    let row = sqlx::query(
        "SELECT revision, sha256, loaded_by, note, created_at, source FROM policy_revisions WHERE revision = $1",
    )
    .bind(revision)
    .fetch_optional(tx.sql())
    .await?;
    let row = row.ok_or(StoreError::NotFound("policy"))?;
    let files = parse("a law", &row.try_get::<String, _>("source")?)?;
    Ok((read(&row)?, files))
}

/// The newest revision and its files, where there is one.
pub async fn newest(tx: &mut Tx) -> Result<Option<(Revision, Files)>, StoreError> {
    let newest = list(tx, None, 1).await?.into_iter().next();
    match newest {
        Some(newest) => get(tx, newest.revision).await.map(Some),
        None => Ok(None),
    }
}

/// Makes these files the newest law. They were compiled and tested before.
pub async fn add(
    tx: &mut Tx,
    action: &'static str,
    files: &Files,
    note: &str,
) -> Result<Revision, StoreError> {
    let source = serde_json::to_string(files).unwrap_or_default();
    let sha256 = hex::encode(Sha256::digest(&source));
    let (now, by) = (tx.now(), tx.scope().actor().name.clone());
    // Two uploads at once: the key refuses one of them, and nothing is lost.
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
    let made = read(&row)?;
    let name = made.revision.to_string();
    tx.audit(Entry { resource_name: Some(name), ..Entry::new(action, "policy") }.after(json!(made)));
    tx.touch(Part::Bundle);
    Ok(made)
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
