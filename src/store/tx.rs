//! One transaction of the ledger. A change, its audit rows and its snapshot revision commit together.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection};

use super::audit::{self, Entry};
use super::db::{Database, Kind, Mode, Session};
use super::error::StoreError;
use super::released::{self, Released};
use super::revision::{self, Change, Follows, LedgerHead, Part, RevisionChannel};
use super::snapshot;
use super::validator::{SnapshotValidator, ValidatedSnapshot};
use portcullis_access::Scope;

/// A transaction of a scope; it rolls back unless it is committed. PostgreSQL shows it only the rows of its scope. SQLite
/// has no row-level security, so every statement on a table of tenants also filters by [`Tx::tenant`].
pub struct Tx {
    session: Session,
    mode: Mode,
    scope: Scope,
    now: i64,
    entries: Vec<Entry>,
    parts: BTreeSet<Part>,
    released: Vec<Released>,
    resources: Resources,
}

/// What a commit uses of its ledger.
pub(super) struct Resources {
    pub(super) channel: RevisionChannel,
    pub(super) database: Database,
    pub(super) validator: SnapshotValidator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The new revision, if the transaction changed the snapshot.
    pub revision: Option<u64>,
}

impl Tx {
    pub(super) fn new(session: Session, mode: Mode, scope: Scope, resources: Resources) -> Self {
        Self {
            session,
            mode,
            scope,
            now: jiff::Timestamp::now().as_millisecond(),
            entries: Vec::new(),
            parts: BTreeSet::new(),
            released: Vec::new(),
            resources,
        }
    }

    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Id of the only visible tenant, to be bound in every statement on a table of tenants; `None` for all.
    pub fn tenant(&self) -> Option<String> {
        self.scope.tenant().map(str::to_owned)
    }

    /// Start of the transaction in Unix milliseconds; used for everything that it writes.
    pub const fn now(&self) -> i64 {
        self.now
    }

    pub const fn kind(&self) -> Kind {
        self.resources.database.kind()
    }

    /// The connection for statements: `sqlx::query(…).fetch_all(tx.sql())`.
    pub fn sql(&mut self) -> &mut AnyConnection {
        self.session.connection()
    }

    /// Runs a statement with `AND version = $n`; `Stale` where another transaction changed or removed the row.
    pub(crate) async fn change_one(
        &mut self,
        statement: Query<'_, Any, AnyArguments>,
    ) -> Result<(), StoreError> {
        let done = statement.execute(self.sql()).await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Stale) }
    }

    /// Adds an audit row, which is written at commit in this transaction.
    pub fn audit(&mut self, entry: Entry) {
        self.entries.push(entry.redacted());
    }

    /// Every part of the snapshot that this transaction changes or removes must be marked.
    pub fn mark_changed(&mut self, part: Part) {
        self.parts.insert(part);
    }

    pub(super) const fn released(&mut self) -> &mut Vec<Released> {
        &mut self.released
    }

    /// Writes the audit rows and the snapshot change, commits, and announces the revision. Locks are taken in a fixed order, so
    /// that two commits never deadlock: heads of the audit chains by name, then the row of the ledger. The changed parts are
    /// rendered after that lock, so the patch includes every earlier revision.
    pub async fn commit(mut self) -> Result<Committed, StoreError> {
        let empty = self.entries.is_empty() && self.parts.is_empty();
        if self.mode == Mode::Read {
            return if empty { self.end().await } else { Err(StoreError::ReadOnly) };
        }
        if empty && self.kind() == Kind::Postgres {
            // After a failed statement PostgreSQL answers COMMIT with a rollback instead of an error; any statement
            // before the COMMIT reports the failure.
            sqlx::query("SELECT 1").execute(self.sql()).await?;
        }
        let entries = std::mem::take(&mut self.entries);
        audit::append(&mut self.session, self.resources.database.kind(), &self.scope, self.now, &entries)
            .await?;
        let parts = std::mem::take(&mut self.parts);
        let revision = if parts.is_empty() {
            None
        } else {
            let advanced = advance(
                &mut self.session,
                (&self.resources.database, &self.resources.validator),
                self.now,
                &parts,
            )
            .await?;
            let released = std::mem::take(&mut self.released);
            released::insert(self.session.connection(), released, advanced.0, self.now).await?;
            Some(advanced)
        };
        self.session.commit().await?;
        let Some((revision, next)) = revision else { return Ok(Committed { revision: None }) };
        if let Some(next) = next {
            self.resources.validator.store(next);
        }
        self.resources.channel.announce(revision);
        Ok(Committed { revision: Some(revision) })
    }

    pub async fn rollback(self) -> Result<(), StoreError> {
        self.session.rollback().await
    }

    pub async fn ledger(&mut self) -> Result<LedgerHead, StoreError> {
        revision::head(self.sql()).await
    }

    /// Fails where this transaction does not see `known` or a later revision of the same history.
    pub async fn check_follows(&mut self, known: &LedgerHead) -> Result<(), StoreError> {
        let now = self.ledger().await?;
        let same = now == *known
            || (now.ledger == known.ledger
                && now.revision > known.revision
                && match revision::since_on(self.sql(), now.revision, known.revision).await? {
                    Some(changes) => {
                        revision::follows(known.known_digest().as_deref(), &changes, &now) != Follows::Fork
                    }
                    None => false,
                });
        if same {
            Ok(())
        } else {
            Err(StoreError::unavailable("the database was rolled back meanwhile; try again"))
        }
    }

    /// All changes after a revision; `None` where some are no longer stored or the ledger has not reached it, so that the
    /// reader needs the whole document. Use [`revision::follows`] to check the history.
    pub async fn changes_since(&mut self, revision: u64) -> Result<Option<Vec<Change>>, StoreError> {
        let newest = self.ledger().await?.revision;
        revision::since_on(self.sql(), newest, revision).await
    }

    /// Starts a new history after a restore: the copy may lack revisions that gates have seen, and would reuse their
    /// numbers. All gates then fetch the whole document.
    pub async fn renew_ledger(&mut self) -> Result<String, StoreError> {
        let (id, now) = (super::new_id(), self.now());
        let was = self.ledger().await?;
        sqlx::query("DELETE FROM changes").execute(self.sql()).await?;
        sqlx::query("UPDATE ledger SET ledger = $1, updated_at = $2 WHERE id = 1")
            .bind(&id)
            .bind(now)
            .execute(self.sql())
            .await?;
        let entry = Entry::new("ledger.renew", "ledger").of(&id, &id);
        let state = |ledger: &str| serde_json::json!({ "ledger": ledger, "revision": was.revision });
        self.audit(entry.before(state(&was.ledger)).after(state(&id)));
        self.mark_changed(Part::Policies);
        Ok(id)
    }

    async fn end(self) -> Result<Committed, StoreError> {
        self.session.rollback().await?;
        Ok(Committed { revision: None })
    }
}

/// Increments the revision, renders the changed parts, validates and stores them, and notifies, all in the transaction.
/// `Unreadable` where gates would reject the snapshot. The validated snapshot is `None` where it could not be computed.
async fn advance(
    session: &mut Session,
    (database, validator): (&Database, &SnapshotValidator),
    at: i64,
    parts: &BTreeSet<Part>,
) -> Result<(u64, Option<ValidatedSnapshot>), StoreError> {
    let row = sqlx::query(
        "UPDATE ledger SET revision = revision + 1, updated_at = $1 WHERE id = 1 RETURNING ledger, revision, digest",
    )
    .bind(at)
    .fetch_one(session.connection())
    .await?;
    // The digest in this row is still that of the previous revision.
    let before = revision::read_head(&row)?;
    let mut patch = snapshot::render(session.connection(), parts, None).await?;
    patch.insert("revision".to_owned(), before.revision.into());
    let patch = Value::Object(patch);
    let text = patch.to_string();
    let digest: Arc<str> = revision::digest(&before.digest, &text).into();
    let next = validator.check(database, &before, &patch, &digest).await?;
    let parts = serde_json::to_string(parts)
        .map_err(|source| StoreError::Document { what: "a list of parts".to_owned(), source })?;
    insert_change(session, database.kind(), &before, &NewChange { digest: &digest, patch: text, parts, at })
        .await?;
    Ok((before.revision, next))
}

struct NewChange<'a> {
    digest: &'a str,
    patch: String,
    parts: String,
    at: i64,
}

/// One statement on PostgreSQL, because each is a round trip while other writers wait.
async fn insert_change(
    session: &mut Session,
    kind: Kind,
    head: &LedgerHead,
    change: &NewChange<'_>,
) -> Result<(), StoreError> {
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
                  inserted AS (INSERT INTO changes (revision, patch, parts, at, digest) VALUES ($1, $2, $3, $4, $5)) \
             SELECT pg_notify('portcullis_ledger', $1::text)::text"
        }
    };
    let revision = i64::try_from(head.revision).unwrap_or(i64::MAX);
    let statement = sqlx::query(statement).bind(revision).bind(change.patch.as_str());
    let statement = statement.bind(change.parts.as_str()).bind(change.at).bind(change.digest);
    statement.execute(session.connection()).await?;
    Ok(())
}
