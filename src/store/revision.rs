//! The ledger's one row, and what each revision changed.
//!
//! The row is locked and counted up by the writing transaction as its last lock, and held to the end of it. So the order
//! of revisions is the order of commits, and whoever has seen 7 has seen all that 6 did. A sequence cannot promise that.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::audit::Entry;
use super::db::{Database, Kind, Session};
use super::error::StoreError;
use super::part::Part;
use super::reader::{Current, Reader};
use super::snapshot;
use super::tx::Tx;
use portcullis_tenancy::snapshot::Snapshot;

/// The channel of PostgreSQL on which every commit that changes the snapshot says its revision.
pub const CHANNEL: &str = "portcullis_ledger";

/// The header in which a gate says the digest of the revision that it has. A query would be refused by an API that is older.
pub const DIGEST_HEADER: &str = "Portcullis-Snapshot-Digest";

/// The header in which a gate says the newest format of the snapshot that it reads; without it, the first.
pub const FORMAT_HEADER: &str = "Portcullis-Snapshot-Format";

/// Characters of changes that are worth composing; beyond, the whole document is less work and less memory.
const BYTES_MAX: i64 = 16 * 1024 * 1024;

/// The ledger's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// UUID of the ledger, made at its creation and anew at a restore: another one is another history.
    pub ledger: String,
    /// Number of the last commit that changed the snapshot; 0 at first.
    pub revision: u64,
    /// Digest of all changes up to that one; empty until the first.
    pub digest: Arc<str>,
}

/// Where a reader of the snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position<'a> {
    /// The ledger whose snapshot it has.
    pub ledger: &'a str,
    /// The revision.
    pub revision: u64,
    /// The digest of that revision, where its source has said it.
    pub digest: Option<&'a str>,
}

impl<'a> Position<'a> {
    /// Of a snapshot.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        Self { ledger: &snapshot.ledger, revision: snapshot.revision, digest: snapshot.digest.as_deref() }
    }
}

impl Now {
    /// The digest as a snapshot has it. A ledger that has not changed since digests are kept has none.
    pub fn known_digest(&self) -> Option<Arc<str>> {
        (!self.digest.is_empty()).then(|| Arc::clone(&self.digest))
    }
}

/// What one revision changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its number.
    pub revision: u64,
    /// Digest of all changes up to this one; empty where a program wrote it that keeps none.
    pub digest: Arc<str>,
    /// A merge patch (RFC 7396) over the document of the revision before, as JSON; `revision` is in it. It is kept as text,
    /// which takes a tenth of the memory of a tree.
    pub patch: Arc<str>,
    /// The parts it is made of.
    pub parts: Arc<BTreeSet<Part>>,
}

pub(super) async fn now(on: &mut AnyConnection) -> Result<Now, StoreError> {
    let row = sqlx::query("SELECT ledger, revision, digest FROM ledger WHERE id = 1")
        .fetch_optional(on)
        .await?
        .ok_or_else(|| {
            StoreError::Schema("the ledger has no row of its own; was it restored in part?".into())
        })?;
    read_now(&row)
}

fn read_now(row: &AnyRow) -> Result<Now, StoreError> {
    let digest = row.try_get::<String, _>("digest")?.into();
    Ok(Now { ledger: row.try_get("ledger")?, revision: unsigned(row.try_get("revision")?), digest })
}

/// The digest of a change: of the digest before it, and of its patch.
fn digest(before: &str, patch: &str) -> String {
    let hash = Sha256::new().chain_update(before).chain_update("\n").chain_update(patch);
    hex::encode(hash.finalize())
}

/// How changes relate to the reader that has the revision before the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// They lead from there to the ledger's newest.
    Yes,
    /// They are of another history than the reader's, such as one that a restored copy of the ledger began.
    Fork,
    /// The digests that would tell are not known.
    Unknown,
}

/// How changes relate to the reader with the digest `before`. `now` is where they lead.
pub fn follows(before: Option<&str>, changes: &[Change], now: &Now) -> Follows {
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
        "UPDATE ledger SET revision = revision + 1, updated_at = $1 WHERE id = 1 RETURNING ledger, revision, digest",
    )
    .bind(at)
    .fetch_one(session.connection())
    .await?;
    // The row as it is now, but for the digest, which is still that of the revision before.
    let before = read_now(&row)?;
    let mut patch = snapshot::render(session.connection(), parts, None).await?;
    patch.insert("revision".to_owned(), before.revision.into());
    let patch = Value::Object(patch);
    let text = patch.to_string();
    let digest: Arc<str> = digest(&before.digest, &text).into();
    let next = base.reader.check(base.database, &before, &patch, &digest).await?;
    let parts = serde_json::to_string(parts).map_err(|source| document("a list of parts", source))?;
    keep(session, base.database.kind(), &before, &Kept { digest: &digest, patch: text, parts, at }).await?;
    Ok((before.revision, next))
}

/// A change as it is written down.
struct Kept<'a> {
    digest: &'a str,
    patch: String,
    parts: String,
    at: i64,
}

/// Writes a change down, and notifies: one statement on PostgreSQL, which each is a round trip to.
async fn keep(session: &mut Session, kind: Kind, of: &Now, change: &Kept<'_>) -> Result<(), StoreError> {
    let statement = match kind {
        Kind::Sqlite => {
            sqlx::query("UPDATE ledger SET digest = $1 WHERE id = 1")
                .bind(change.digest)
                .execute(session.connection())
                .await?;
            "INSERT INTO changes (revision, patch, parts, at, digest) VALUES ($1, $2, $3, $4, $5)"
        }
        Kind::Postgres => {
            "WITH head AS (UPDATE ledger SET digest = $5 WHERE id = 1), \
                  kept AS (INSERT INTO changes (revision, patch, parts, at, digest) VALUES ($1, $2, $3, $4, $5)) \
             SELECT pg_notify('portcullis_ledger', $1::text)::text"
        }
    };
    let revision = i64::try_from(of.revision).unwrap_or(i64::MAX);
    let statement = sqlx::query(statement).bind(revision).bind(change.patch.as_str());
    let statement = statement.bind(change.parts.as_str()).bind(change.at).bind(change.digest);
    statement.execute(session.connection()).await?;
    Ok(())
}

impl Tx {
    /// The ledger's id, and the revision that this transaction sees.
    pub async fn ledger(&mut self) -> Result<Now, StoreError> {
        now(self.sql()).await
    }

    /// That what this transaction sees is `known`, or follows it in the same history.
    ///
    /// # Errors
    /// `Unavailable` where the database was put back meanwhile: what it says now does not belong to `known`.
    pub async fn is_after(&mut self, known: &Now) -> Result<(), StoreError> {
        let now = self.ledger().await?;
        let same = now == *known
            || (now.ledger == known.ledger
                && now.revision > known.revision
                && match since_on(self.sql(), now.revision, known.revision).await? {
                    Some(changes) => {
                        follows(known.known_digest().as_deref(), &changes, &now) != Follows::Fork
                    }
                    None => false,
                });
        if same { Ok(()) } else { Err(StoreError::unavailable("the ledger was put back; ask again")) }
    }
}

/// Every change after a revision, in order, as this transaction sees them. `None` where some of them are not kept any
/// more, or the revision is one that the ledger has not reached: then only the whole document helps. Whether they are of the
/// history that the reader has is for [`follows`] to say.
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
