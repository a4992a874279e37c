//! The ledger's one row, and what each revision changed.
//!
//! The row is locked and counted up by the writing transaction as its last lock, and held to the end of it. So the order
//! of revisions is the order of commits, and whoever has seen 7 has seen all that 6 did. A sequence cannot promise that.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use sqlx::{AnyConnection, Row as _};

use super::audit::Entry;
use super::db::{Database, Kind, Session};
use super::error::StoreError;
use super::part::Part;
use super::reader::{Current, Reader};
use super::snapshot;
use super::tx::Tx;

/// The channel of PostgreSQL on which every commit that changes the snapshot says its revision.
pub const CHANNEL: &str = "portcullis_ledger";

/// Characters of changes that are worth composing; beyond, the whole document is less work and less memory.
const BYTES_MAX: i64 = 16 * 1024 * 1024;

/// The ledger's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// UUID of the ledger, made at its creation and anew at a restore: another one is another history.
    pub ledger: String,
    /// Number of the last commit that changed the snapshot; 0 at first.
    pub revision: u64,
}

/// What one revision changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its number.
    pub revision: u64,
    /// A merge patch (RFC 7396) over the document of the revision before, as JSON; `revision` is in it. It is kept as text,
    /// which takes a tenth of the memory of a tree.
    pub patch: Arc<str>,
    /// The parts it is made of.
    pub parts: Arc<BTreeSet<Part>>,
}

pub(super) async fn now(on: &mut AnyConnection) -> Result<Now, StoreError> {
    let row = sqlx::query("SELECT ledger, revision FROM ledger WHERE id = 1")
        .fetch_optional(on)
        .await?
        .ok_or_else(|| {
            StoreError::Schema("the ledger has no row of its own; was it restored in part?".into())
        })?;
    Ok(Now { ledger: row.try_get("ledger")?, revision: unsigned(row.try_get("revision")?) })
}

/// What a transaction's changes are applied to, before they are kept.
pub(super) struct Base<'a> {
    pub(super) database: &'a Database,
    pub(super) reader: &'a Reader,
}

/// Counts up, renders what was touched, has it read as gates read it, keeps it, and notifies within the transaction.
/// What readers have after the commit is in the answer where it is known.
///
/// # Errors
/// `Unreadable` where readers of the snapshot would refuse it.
pub(super) async fn advance(
    session: &mut Session,
    base: &Base<'_>,
    at: i64,
    parts: &BTreeSet<Part>,
) -> Result<(u64, Option<Current>), StoreError> {
    let row = sqlx::query(
        "UPDATE ledger SET revision = revision + 1, updated_at = $1 WHERE id = 1 RETURNING ledger, revision",
    )
    .bind(at)
    .fetch_one(session.connection())
    .await?;
    let revision: i64 = row.try_get("revision")?;
    let mut patch = snapshot::render(session.connection(), parts, None).await?;
    patch.insert("revision".to_owned(), revision.into());
    let patch = Value::Object(patch);
    let ledger: String = row.try_get("ledger")?;
    let next = base.reader.check(base.database, &ledger, unsigned(revision), &patch).await?;
    let parts = serde_json::to_string(parts).map_err(|source| document("a list of parts", source))?;
    let keep = match base.database.kind() {
        Kind::Sqlite => "INSERT INTO changes (revision, patch, parts, at) VALUES ($1, $2, $3, $4)",
        Kind::Postgres => {
            "WITH kept AS (INSERT INTO changes (revision, patch, parts, at) VALUES ($1, $2, $3, $4)) \
             SELECT pg_notify('portcullis_ledger', $1::text)::text"
        }
    };
    sqlx::query(keep)
        .bind(revision)
        .bind(patch.to_string())
        .bind(parts)
        .bind(at)
        .execute(session.connection())
        .await?;
    Ok((unsigned(revision), next))
}

impl Tx {
    /// The ledger's id, and the revision that this transaction sees.
    pub async fn ledger(&mut self) -> Result<Now, StoreError> {
        now(self.sql()).await
    }
}

/// Every change after a revision, in order, as this transaction sees them. `None` where some of them are not kept any
/// more, or the revision is one that the ledger has not reached: then only the whole document helps.
pub async fn since(tx: &mut Tx, revision: u64) -> Result<Option<Vec<Change>>, StoreError> {
    let newest = tx.ledger().await?.revision;
    since_on(tx.sql(), newest, revision).await
}

/// The same on a connection whose transaction sees the ledger at revision `newest`.
pub(super) async fn since_on(
    on: &mut AnyConnection,
    newest: u64,
    revision: u64,
) -> Result<Option<Vec<Change>>, StoreError> {
    let since = i64::try_from(revision).unwrap_or(i64::MAX);
    let length = "SELECT CAST(COALESCE(SUM(LENGTH(patch)), 0) AS BIGINT) FROM changes WHERE revision > $1";
    let length: i64 = sqlx::query_scalar(length).bind(since).fetch_one(&mut *on).await?;
    if length > BYTES_MAX {
        return Ok(None);
    }
    let rows =
        sqlx::query("SELECT revision, patch, parts FROM changes WHERE revision > $1 ORDER BY revision")
            .bind(since)
            .fetch_all(on)
            .await?;
    let all = newest.checked_sub(revision).is_some_and(|missing| missing == rows.len() as u64);
    if !all {
        return Ok(None);
    }
    let read = |row: sqlx::any::AnyRow| {
        Ok(Change {
            revision: unsigned(row.try_get("revision")?),
            patch: row.try_get::<String, _>("patch")?.into(),
            parts: Arc::new(parse("the parts of a change", &row.try_get::<String, _>("parts")?)?),
        })
    };
    rows.into_iter().map(read).collect::<Result<_, StoreError>>().map(Some)
}

/// Makes the ledger another one, as a restore must: a copy may lack revisions that gates have seen, and what it counts
/// next would be taken for those. Every gate takes the whole document then. The commit of this transaction is the first
/// revision of the new history.
pub async fn renew(tx: &mut Tx) -> Result<String, StoreError> {
    let (id, now) = (super::new_id(), tx.now());
    let was = tx.ledger().await?;
    sqlx::query("DELETE FROM changes").execute(tx.sql()).await?;
    sqlx::query("UPDATE ledger SET ledger = $1, updated_at = $2 WHERE id = 1")
        .bind(&id)
        .bind(now)
        .execute(tx.sql())
        .await?;
    let entry = Entry::new("ledger.renew", "ledger").of(&id, &id);
    let seen = |ledger: &str| serde_json::json!({ "ledger": ledger, "revision": was.revision });
    tx.audit(entry.before(seen(&was.ledger)).after(seen(&id)));
    tx.touch(Part::Bundle);
    Ok(id)
}

/// Several changes as one patch: applied, it does what they do in their order.
///
/// # Errors
/// `Document` where one is no JSON.
pub fn compose<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Result<Value, StoreError> {
    let mut all = Value::Object(Map::new());
    for change in changes {
        lay(&mut all, parse("a change", &change.patch)?);
    }
    Ok(all)
}

/// Lays a patch over a patch. A null stays one, for it removes; that a thing is removed and made again leaves nothing of
/// the first, because every patch names all keys of what it renders.
fn lay(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                lay(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
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
