//! The row of the ledger and the change of each revision. The row is the last lock of a write transaction and is held until
//! its end, so the order of revisions is the order of commits, which a sequence does not guarantee.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use tokio::sync::watch;

use crate::error::StoreError;
use portcullis_tenancy::snapshot::Snapshot;

/// PostgreSQL channel on which every commit that changes the snapshot notifies its revision.
pub(crate) const CHANNEL: &str = "portcullis_ledger";

/// Digest of the revision that a gate has. A header, because an older API would reject an unknown query parameter.
pub const DIGEST_HEADER: &str = "Portcullis-Snapshot-Digest";

/// Newest snapshot format that a gate reads; absent for the first format.
pub const FORMAT_HEADER: &str = "Portcullis-Snapshot-Format";

/// Above this size of changes, sending the whole document is cheaper.
const COMPOSE_BYTES_MAX: i64 = 16 * 1024 * 1024;

/// The row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerHead {
    /// UUID; a restore creates a new one, because it starts another history.
    pub ledger: String,
    /// Number of the last commit that changed the snapshot; 0 at first.
    pub revision: u64,
    /// Digest of all changes up to this revision; empty before the first one.
    pub digest: Arc<str>,
}

/// The revision that a reader of the snapshot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position<'a> {
    pub ledger: &'a str,
    pub revision: u64,
    pub digest: Option<&'a str>,
}

impl<'a> Position<'a> {
    pub fn of(snapshot: &'a Snapshot) -> Self {
        Self { ledger: &snapshot.ledger, revision: snapshot.revision, digest: snapshot.digest.as_deref() }
    }
}

impl LedgerHead {
    /// `None` where the ledger has not changed since digests were introduced.
    pub(crate) fn known_digest(&self) -> Option<Arc<str>> {
        (!self.digest.is_empty()).then(|| Arc::clone(&self.digest))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub revision: u64,
    pub digest: Arc<str>,
    /// JSON merge patch (RFC 7396) over the previous document. Text takes a tenth of the memory of a tree.
    pub patch: Arc<str>,
    pub parts: Arc<BTreeSet<Part>>,
}

pub(super) async fn head(on: &mut AnyConnection) -> Result<LedgerHead, StoreError> {
    let row = sqlx::query("SELECT ledger, revision, digest FROM ledger WHERE id = 1")
        .fetch_optional(on)
        .await?
        .ok_or_else(|| {
            StoreError::Schema("the table `ledger` is empty; was the ledger restored only in part?".into())
        })?;
    read_head(&row)
}

pub(super) fn read_head(row: &AnyRow) -> Result<LedgerHead, StoreError> {
    let digest = row.try_get::<String, _>("digest")?.into();
    Ok(LedgerHead { ledger: row.try_get("ledger")?, revision: unsigned(row.try_get("revision")?), digest })
}

/// Hash of the previous digest and the patch.
pub(super) fn digest(before: &str, patch: &str) -> String {
    let hash = Sha256::new().chain_update(before).chain_update("\n").chain_update(patch);
    hex::encode(hash.finalize())
}

/// Relation of changes to the revision of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// They lead from the reader's revision to the newest one.
    Yes,
    /// They belong to another history, for example of a restored copy of the ledger.
    Fork,
    /// A digest is missing.
    Unknown,
}

/// `before` is the digest of the reader; `now` is where the changes lead.
pub fn follows(before: Option<&str>, changes: &[Change], now: &LedgerHead) -> Follows {
    let known = !now.digest.is_empty() && changes.iter().all(|change| !change.digest.is_empty());
    let Some(before) = before.filter(|_| known) else { return Follows::Unknown };
    let mut at: Arc<str> = before.into();
    for change in changes {
        if *digest(&at, &change.patch) != *change.digest {
            return Follows::Fork;
        }
        at = Arc::clone(&change.digest);
    }
    if at == now.digest { Follows::Yes } else { Follows::Fork }
}

/// All changes after a revision, on a connection that sees revision `newest`; `None` where some are no longer stored or the
/// ledger has not reached it, so that the reader needs the whole document. Use [`follows`] to check the history.
pub(super) async fn since_on(
    on: &mut AnyConnection,
    newest: u64,
    revision: u64,
) -> Result<Option<Vec<Change>>, StoreError> {
    let since = i64::try_from(revision).unwrap_or(i64::MAX);
    let length = "SELECT CAST(COALESCE(SUM(LENGTH(patch)), 0) AS BIGINT) FROM changes WHERE revision > $1";
    let length: i64 = sqlx::query_scalar(length).bind(since).fetch_one(&mut *on).await?;
    if length > COMPOSE_BYTES_MAX {
        return Ok(None);
    }
    let rows = sqlx::query(
        "SELECT revision, patch, parts, digest FROM changes WHERE revision > $1 ORDER BY revision",
    )
    .bind(since)
    .fetch_all(on)
    .await?;
    let all = newest.checked_sub(revision).is_some_and(|missing| missing == rows.len() as u64);
    if !all {
        return Ok(None);
    }
    let read = |row: AnyRow| {
        Ok(Change {
            revision: unsigned(row.try_get("revision")?),
            digest: row.try_get::<String, _>("digest")?.into(),
            patch: row.try_get::<String, _>("patch")?.into(),
            parts: Arc::new(parse("the parts of a change", &row.try_get::<String, _>("parts")?)?),
        })
    };
    rows.into_iter().map(read).collect::<Result<_, StoreError>>().map(Some)
}

/// Combines changes into one patch with the same effect.
pub fn compose<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Result<Value, StoreError> {
    let mut all = Value::Object(Map::new());
    for change in changes {
        merge_patches(&mut all, parse("a change", &change.patch)?);
    }
    Ok(all)
}

/// A null stays, because it deletes. An object that is deleted and created again keeps no old key, because every patch
/// names all keys of what it renders.
fn merge_patches(base: &mut Value, patch: Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                merge_patches(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, patch) => *base = patch,
    }
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| document(what, source))
}

fn document(what: &str, source: serde_json::Error) -> StoreError {
    StoreError::Document { what: what.to_owned(), source }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[derive(Debug, Clone, Default)]
pub(super) struct RevisionChannel(watch::Sender<u64>);

impl RevisionChannel {
    /// Two commits can be announced in the wrong order; the newer revision stays.
    pub(super) fn announce(&self, revision: u64) {
        self.0.send_if_modified(|known| {
            let newer = revision > *known;
            *known = (*known).max(revision);
            newer
        });
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    pub(super) fn replace(&self, revision: u64) {
        self.0.send_replace(revision);
    }
}

/// A part of the snapshot that changes by itself, identified by the slugs and names that are keys of the document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// Includes the registries of every tenant, which the ceiling limits.
    Settings,
    /// By slug; without the tenant's projects.
    Tenant(String),
    /// By the slugs of tenant and project.
    Project(String, String),
    /// By the slugs of tenant, project and app.
    App(String, String, String),
    Namespace(String),
    /// By id.
    Exception(String),
    /// By id.
    Breakglass(String),
    /// The newest bundle of policies that the ledger stores.
    Policies,
}
