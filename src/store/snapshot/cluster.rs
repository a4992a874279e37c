//! A patch as gates of one cluster may read it: it names nothing of other clusters, not even to say that it is gone.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::Row as _;

use super::render;
use crate::error::StoreError;
use crate::part::Part;
use crate::released::{Whereabouts, whereabouts};
use crate::tx::Tx;

/// Keys that a patch takes out; the whole document is less work than looking for more of them.
const MISSING_MAX: usize = 256;

/// A cluster's name and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// UUID.
    pub id: String,
    /// Unique, and by it gates ask.
    pub name: String,
}

/// The cluster of this name. The document of one that is not there would be an empty world.
pub async fn named(tx: &mut Tx, name: &str) -> Result<Cluster, StoreError> {
    let row = sqlx::query("SELECT id, name FROM clusters WHERE name = $1").bind(name);
    found(row.fetch_optional(tx.sql()).await?)
}

/// The cluster of this id.
pub async fn by_id(tx: &mut Tx, id: &str) -> Result<Cluster, StoreError> {
    let row = sqlx::query("SELECT id, name FROM clusters WHERE id = $1").bind(id);
    found(row.fetch_optional(tx.sql()).await?)
}

fn found(row: Option<sqlx::any::AnyRow>) -> Result<Cluster, StoreError> {
    let row = row.ok_or(StoreError::NotFound("cluster"))?;
    Ok(Cluster { id: row.try_get("id")?, name: row.try_get("name")? })
}

/// Parts of a cluster's document as this transaction sees them, a merge patch over that of revision `since`; `None` where only the
/// whole document is sure to take out what is gone without naming what is another cluster's.
pub async fn patch_of(
    tx: &mut Tx,
    parts: &BTreeSet<Part>,
    cluster: &Cluster,
    since: u64,
) -> Result<Option<Value>, StoreError> {
    let now = tx.ledger().await?;
    let mut patch = render(tx.sql(), parts, Some(&cluster.name)).await?;
    for table in ["tenants", "projects", "apps", "namespaces", "exceptions"] {
        let Some(Value::Object(entries)) = patch.get_mut(table) else { continue };
        let missing: Vec<String> =
            entries.iter().filter(|(_, entry)| entry.is_null()).map(|(key, _)| key.clone()).collect();
        if missing.len() > MISSING_MAX {
            return Ok(None);
        }
        for key in missing {
            match whereabouts(tx.sql(), table, &key, &cluster.id, since).await? {
                Whereabouts::Here => {}
                Whereabouts::Elsewhere => drop(entries.remove(&key)),
                Whereabouts::Unknown => return Ok(None),
            }
        }
        if entries.is_empty() {
            patch.remove(table);
        }
    }
    patch.insert("revision".to_owned(), now.revision.into());
    Ok(Some(Value::Object(patch)))
}
