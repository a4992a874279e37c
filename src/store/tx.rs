//! One transaction of the ledger, and all that a commit means.

use std::collections::BTreeSet;

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection};

use super::audit::{self, Entry};
use super::db::{Database, Kind, Mode, Session};
use super::error::StoreError;
use super::ledger::{Hub, Ledger};
use super::part::Part;
use super::reader::Reader;
use super::released::{self, Released};
use super::revision::{self, Base};
use portcullis_access::Scope;

/// A transaction that belongs to a scope. Dropped without [`Tx::commit`] it leaves nothing behind.
///
/// On PostgreSQL the database itself shows it the rows of its scope only. SQLite cannot, so every statement on a table
/// of tenants also says `($n IS NULL OR tenant_id = $n)` with [`Tx::tenant`]; on both, as the first wall of two.
pub struct Tx {
    session: Session,
    kind: Kind,
    mode: Mode,
    scope: Scope,
    now: i64,
    entries: Vec<Entry>,
    parts: BTreeSet<Part>,
    released: Vec<Released>,
    hub: Hub,
    database: Database,
    reader: Reader,
}

/// What a commit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The snapshot's new revision, where the transaction touched it.
    pub revision: Option<u64>,
}

impl Tx {
    pub(super) fn new(session: Session, mode: Mode, scope: Scope, of: &Ledger) -> Self {
        let now = jiff::Timestamp::now().as_millisecond();
        let (entries, parts, hub) = (Vec::new(), BTreeSet::new(), of.hub().clone());
        let (database, reader) = (of.database().clone(), of.reader().clone());
        let released = Vec::new();
        Self { session, kind: of.kind(), mode, scope, now, entries, parts, released, hub, database, reader }
    }

    /// Whose it is.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Id of the one tenant it may see, to be bound in every statement on a table of tenants; `None` is all of them.
    pub fn tenant(&self) -> Option<String> {
        self.scope.tenant().map(str::to_owned)
    }

    /// When it began, unix milliseconds: one time for all that it writes.
    pub const fn now(&self) -> i64 {
        self.now
    }

    /// Which database it is on, for the few statements that cannot be the same.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What statements run on: `sqlx::query(…).fetch_all(tx.sql())`.
    pub fn sql(&mut self) -> &mut AnyConnection {
        self.session.connection()
    }

    /// Runs a statement that changes the one row that was read, in the version in which it was read: it says
    /// `AND version = $n`. Between reading and changing another may have changed or removed it.
    ///
    /// # Errors
    /// `Stale` where it is not so any more.
    pub async fn change_one(&mut self, statement: Query<'_, Any, AnyArguments>) -> Result<(), StoreError> {
        let done = statement.execute(self.sql()).await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Stale) }
    }

    /// Records what is done. The row is written by [`Tx::commit`], in this transaction: either both are there or neither.
    pub fn audit(&mut self, entry: Entry) {
        self.entries.push(entry.redacted());
    }

    /// Names a part of the snapshot that this transaction changes, or removes. Every part that it changes must be named.
    pub fn touch(&mut self, part: Part) {
        self.parts.insert(part);
    }

    pub(super) const fn released(&mut self) -> &mut Vec<Released> {
        &mut self.released
    }

    /// Writes the audit rows and the change of the snapshot, commits, and tells whoever follows the ledger.
    ///
    /// The order is fixed, so that two commits never wait for each other: first the heads of the audit chains by name,
    /// then the ledger's row, which is held to the end. What was touched is read after that row is locked: so it is
    /// seen as every revision before this one left it.
    pub async fn commit(mut self) -> Result<Committed, StoreError> {
        let idle = self.entries.is_empty() && self.parts.is_empty();
        if self.mode == Mode::Read {
            return if idle { self.end().await } else { Err(StoreError::ReadOnly) };
        }
        if idle && self.kind == Kind::Postgres {
            // After a statement that failed PostgreSQL answers COMMIT with a rollback, and not as an error. Any
            // statement before it says so; where there is none of ours, this one does.
            sqlx::query("SELECT 1").execute(self.sql()).await?;
        }
        let entries = std::mem::take(&mut self.entries);
        audit::append(&mut self.session, self.kind, &self.scope, self.now, &entries).await?;
        let parts = std::mem::take(&mut self.parts);
        let revision = if parts.is_empty() {
            None
        } else {
            let base = Base { database: &self.database, reader: &self.reader };
            let advanced = revision::advance(&mut self.session, &base, self.now, &parts).await?;
            let released = std::mem::take(&mut self.released);
            released::keep(self.session.connection(), released, advanced.0, self.now).await?;
            Some(advanced)
        };
        self.session.commit().await?;
        let Some((revision, next)) = revision else { return Ok(Committed { revision: None }) };
        if let Some(next) = next {
            self.reader.keep(next);
        }
        self.hub.heard(revision);
        Ok(Committed { revision: Some(revision) })
    }

    /// Ends it without a trace, and without leaving that to the next user of the connection.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.session.rollback().await
    }

    async fn end(self) -> Result<Committed, StoreError> {
        self.session.rollback().await?;
        Ok(Committed { revision: None })
    }
}
