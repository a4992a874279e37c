//! Restores a backup in one transaction, so that the database is unchanged until the whole file is loaded and verified.

use std::collections::BTreeSet;
use std::io::Read;

use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row as _};

use super::format::{Cell, Line, Reader, Table};
use super::{BackupError, Head, Progress, Summary, check};
use super::{columns, count_encrypted};
use crate::audit::{self, Report};
use crate::db::{Kind, Mode, Session};
use crate::envelope::MasterKey;
use crate::error::StoreError;
use crate::migrate::{self, Migration};
use crate::{Entry, Ledger, new_id, snapshot};
use portcullis_access::{Action, Identity, authorize};
use portcullis_tenancy::Snapshot;

const BATCH_ROWS: usize = 100;

/// Below the limits of both databases.
const BATCH_CELLS: usize = 5_000;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

pub struct Restore<'a> {
    /// Id of the ledger that may be replaced; without it the database must be empty.
    pub replace: Option<&'a str>,
    /// With it, encrypted values must decrypt.
    pub key: Option<&'a MasterKey>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    pub backup: Summary,
    /// The new id.
    pub ledger: String,
    pub revision: u64,
    pub replaced: Option<(String, u64)>,
    /// Verification of the restored audit log.
    pub audit: Report,
    /// Entries of the restored snapshot that gates would reject.
    pub unreadable: Vec<String>,
}

struct Before {
    ledger: String,
    revision: u64,
    tenants: i64,
    audited: i64,
}

impl Ledger {
    /// Restores under a new ledger id. `open` opens the file twice: first to verify it.
    pub async fn restore<R: Read>(
        &self,
        open: impl Fn() -> std::io::Result<R>,
        options: &Restore<'_>,
        progress: Progress<'_>,
    ) -> Result<Restored, BackupError> {
        progress("checking the file", 0);
        let summary = check(open()?)?;
        let migrations = split_migrations(self.kind(), &summary.head)?;
        if let Some(key) = options.key {
            summary.opens_with(key)?;
        }
        // A newer schema is rejected here.
        let exists = self.pending().await?.len() < migrate::all(self.kind()).len();
        if self.kind() == Kind::Sqlite {
            // Cannot be set within a transaction. Foreign keys are checked at the end.
            let mut connection = self.database().connection().await?;
            sqlx::raw_sql("PRAGMA foreign_keys = OFF").execute(&mut *connection).await?;
        }
        let mut session = migrate::begin(self.database()).await?;
        let replaced =
            if exists { replaceable(&mut session, self.kind(), options.replace).await? } else { None };
        if exists {
            drop_schema(&mut session, self.kind()).await?;
        }
        let (with, after) = migrations;
        migrate::create(&mut session, &with).await?;
        load(&mut session, self.kind(), open()?, &summary, progress).await?;
        migrate::apply(&mut session, &after).await?;
        migrate::finish(&mut session, self.kind()).await?;
        self.finish_restore(session, summary, replaced, options.key, progress).await
    }

    /// Sets the new id and revision, verifies the snapshot and the audit log, and commits.
    async fn finish_restore(
        &self,
        mut session: Session,
        backup: Summary,
        replaced: Option<Before>,
        key: Option<&MasterKey>,
        progress: Progress<'_>,
    ) -> Result<Restored, BackupError> {
        progress("verifying", 0);
        let replaced = replaced.map(|before| (before.ledger, before.revision));
        // Above both old revisions, so that a graph of revisions never decreases.
        let newest = replaced.as_ref().map_or(0, |(_, revision)| *revision).max(backup.head.revision);
        let revision = newest.saturating_add(1);
        let ledger = new_id();
        as_admin(&mut session, self.kind()).await?;
        sqlx::query("UPDATE ledger SET ledger = $1, revision = $2, digest = $3 WHERE id = 1")
            .bind(&ledger)
            .bind(i64::try_from(revision).unwrap_or(i64::MAX))
            .bind(&backup.head.digest)
            .execute(session.connection())
            .await?;
        if self.kind() == Kind::Sqlite {
            check_foreign_keys(&mut session).await?;
        }
        if count_encrypted(&mut session, key).await? != backup.sealed {
            return Err(BackupError::Damaged("the number of encrypted values differs".to_owned()));
        }
        let scope = authorize(&Identity::process("restore"), Action::AuditList, None, "restore")
            .map_err(|_| StoreError::NotFound("permission to restore"))?;
        let mut tx = self.transaction(session, Mode::Write, scope);
        let audit = audit::verify(&mut tx).await?;
        let document = snapshot::whole(&mut tx, None).await?;
        let unreadable = match Snapshot::read_or_last_good("the ledger", &document, None) {
            Ok((_, fallbacks)) => fallbacks.problems.iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
        };
        let before =
            replaced.as_ref().map(|(ledger, revision)| json!({"ledger": ledger, "revision": revision}));
        let after = json!({
            "ledger": ledger, "revision": revision, "backup": {
                "ledger": backup.head.ledger, "revision": backup.head.revision,
                "createdAt": backup.head.created_at, "sha256": backup.sha256,
            },
        });
        let entry = Entry::new("ledger.restore", "ledger").of(&ledger, &ledger).after(after);
        tx.audit(match before {
            Some(before) => entry.before(before),
            None => entry,
        });
        if self.kind() == Kind::Postgres {
            let notify = "SELECT pg_notify('portcullis_ledger', $1::text)::text";
            sqlx::query(notify).bind(revision.to_string()).execute(tx.sql()).await?;
        }
        tx.commit().await?;
        Ok(Restored { backup, ledger, revision, replaced, audit, unreadable })
    }
}

/// The migrations of the backup, and those added since.
fn split_migrations(kind: Kind, head: &Head) -> Result<(Vec<Migration>, Vec<Migration>), BackupError> {
    let all = migrate::all(kind);
    if let Some(unknown) =
        head.schema.iter().find(|version| all.iter().all(|migration| migration.version != **version))
    {
        let (program, why) = (head.program.clone(), format!("migration {unknown}"));
        return Err(BackupError::Newer { program, why });
    }
    Ok(all.iter().cloned().partition(|migration| head.schema.contains(&migration.version)))
}

/// The current ledger, if it may be replaced.
async fn replaceable(
    session: &mut Session,
    kind: Kind,
    replace: Option<&str>,
) -> Result<Option<Before>, BackupError> {
    as_admin(session, kind).await?;
    let row = sqlx::query(
        "SELECT ledger, revision, (SELECT COUNT(*) FROM tenants) AS tenants, (SELECT COUNT(*) FROM audit_log) AS audited, \
         (SELECT COUNT(*) FROM clusters) AS clusters FROM ledger WHERE id = 1",
    )
    .fetch_optional(session.connection())
    .await?;
    as_owner(session, kind).await?;
    let Some(row) = row else { return Ok(None) };
    let revision: i64 = row.try_get("revision")?;
    let before = Before {
        ledger: row.try_get("ledger")?,
        revision: u64::try_from(revision).unwrap_or_default(),
        tenants: row.try_get("tenants")?,
        audited: row.try_get("audited")?,
    };
    let clusters: i64 = row.try_get("clusters")?;
    let empty = before.revision == 0 && before.tenants == 0 && before.audited == 0 && clusters == 0;
    match replace {
        Some(requested) if requested != before.ledger => {
            Err(BackupError::OtherLedger { requested: requested.to_owned(), found: before.ledger })
        }
        Some(_) => Ok(Some(before)),
        None if empty => Ok(None),
        None => {
            let Before { ledger, revision, tenants, audited } = before;
            Err(BackupError::NotEmpty { ledger, revision, tenants, audited })
        }
    }
}

async fn as_admin(session: &mut Session, kind: Kind) -> Result<(), BackupError> {
    set_role(session, kind, "SET LOCAL ROLE portcullis_admin").await
}

async fn as_owner(session: &mut Session, kind: Kind) -> Result<(), BackupError> {
    set_role(session, kind, "SET LOCAL ROLE portcullis_owner").await
}

async fn set_role(session: &mut Session, kind: Kind, statement: &'static str) -> Result<(), BackupError> {
    if kind == Kind::Postgres {
        sqlx::raw_sql(statement).execute(session.connection()).await?;
    }
    Ok(())
}

/// Drops everything that migrations created; only this removes append-only tables.
async fn drop_schema(session: &mut Session, kind: Kind) -> Result<(), BackupError> {
    let list = match kind {
        Kind::Sqlite => {
            "SELECT 'DROP ' || type || ' \"' || name || '\"' AS statement FROM sqlite_master \
             WHERE type IN ('trigger', 'table', 'view') AND name NOT LIKE 'sqlite_%' \
             ORDER BY CASE type WHEN 'trigger' THEN 0 WHEN 'view' THEN 1 ELSE 2 END"
        }
        Kind::Postgres => {
            "SELECT 'DROP TABLE ' || oid::regclass::text || ' CASCADE' AS statement FROM pg_class \
             WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition \
               AND relowner = 'portcullis_owner'::regrole \
             UNION ALL SELECT 'DROP FUNCTION ' || oid::regprocedure::text || ' CASCADE' FROM pg_proc \
             WHERE pronamespace = current_schema()::regnamespace AND proowner = 'portcullis_owner'::regrole"
        }
    };
    let rows = sqlx::query(list).fetch_all(session.connection()).await?;
    for row in rows {
        let statement: String = row.try_get("statement")?;
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(session.connection()).await?;
    }
    Ok(())
}

async fn load(
    session: &mut Session,
    kind: Kind,
    file: impl Read,
    expected: &Summary,
    progress: Progress<'_>,
) -> Result<(), BackupError> {
    // The file contains the plans that migrations create.
    as_admin(session, kind).await?;
    sqlx::query("DELETE FROM plans").execute(session.connection()).await?;
    as_owner(session, kind).await?;
    force_row_level_security(session, kind, false).await?;
    let mut reader = Reader::open(file)?;
    let mut batch: Option<Batch> = None;
    loop {
        match reader.next()? {
            Line::Table(table) => {
                if let Some(batch) = &mut batch {
                    batch.flush(session, kind).await?;
                }
                batch = Some(Batch::of(session, kind, table).await?);
            }
            Line::Row(cells) => {
                let Some(batch) = &mut batch else { continue };
                batch.push(cells);
                if batch.is_full() {
                    batch.flush(session, kind).await?;
                    progress(&batch.table.table, batch.loaded);
                }
            }
            Line::End(found) => {
                if let Some(batch) = &mut batch {
                    batch.flush(session, kind).await?;
                }
                if found.sha256 != expected.sha256 {
                    return Err(BackupError::Damaged("the file changed during the restore".to_owned()));
                }
                break;
            }
        }
    }
    if kind == Kind::Postgres {
        // Deferred constraints must be checked before a table can be altered again.
        sqlx::raw_sql("SET CONSTRAINTS ALL IMMEDIATE").execute(session.connection()).await?;
    }
    force_row_level_security(session, kind, true).await
}

/// The table owner is subject to row-level security while it is forced.
async fn force_row_level_security(session: &mut Session, kind: Kind, on: bool) -> Result<(), BackupError> {
    if kind == Kind::Sqlite {
        return Ok(());
    }
    let clause = if on { "FORCE" } else { "NO FORCE" };
    let rows = sqlx::query(
        "SELECT oid::regclass::text AS name FROM pg_class \
         WHERE relnamespace = current_schema()::regnamespace AND relrowsecurity AND relkind IN ('r', 'p')",
    )
    .fetch_all(session.connection())
    .await?;
    for row in rows {
        let name: String = row.try_get("name")?;
        let statement = format!("ALTER TABLE {name} {clause} ROW LEVEL SECURITY");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(session.connection()).await?;
    }
    Ok(())
}

struct Batch {
    table: Table,
    rows: Vec<Vec<Cell>>,
    bytes: usize,
    loaded: u64,
    /// Days for which the partition of the audit log exists.
    days: BTreeSet<i64>,
}

impl Batch {
    async fn of(session: &mut Session, kind: Kind, table: Table) -> Result<Self, BackupError> {
        let existing = columns(session, kind, &table.table).await?;
        if let Some((name, _)) = table.columns.iter().find(|column| !existing.contains(column)) {
            return Err(BackupError::Damaged(format!("`{}` has no column `{name}`", table.table)));
        }
        Ok(Self { table, rows: Vec::new(), bytes: 0, loaded: 0, days: BTreeSet::new() })
    }

    fn push(&mut self, cells: Vec<Cell>) {
        self.bytes += cells.iter().map(Cell::length).sum::<usize>();
        self.rows.push(cells);
    }

    fn is_full(&self) -> bool {
        let cells = self.rows.len() * self.table.columns.len();
        self.rows.len() >= BATCH_ROWS || cells >= BATCH_CELLS || self.bytes >= BATCH_BYTES
    }

    async fn flush(&mut self, session: &mut Session, kind: Kind) -> Result<(), BackupError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.partitions(session, kind).await?;
        let statement = self.statement();
        let mut query = sqlx::query(AssertSqlSafe(statement));
        let rows = std::mem::take(&mut self.rows);
        self.loaded += rows.len() as u64;
        self.bytes = 0;
        for cell in rows.into_iter().flatten() {
            query = bind(query, cell);
        }
        let done = query.execute(session.connection()).await.map_err(StoreError::from);
        done.map(drop).map_err(|error| match error {
            StoreError::Conflict { .. } | StoreError::Reference { .. } | StoreError::Refused { .. } => {
                BackupError::Rows(format!("{}: {error}", self.table.table))
            }
            error => error.into(),
        })
    }

    fn statement(&self) -> String {
        let names: Vec<String> = self.table.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let mut number = 0;
        let mut row = || {
            let cells = names.iter().map(|_| {
                number += 1;
                format!("${number}")
            });
            format!("({})", cells.collect::<Vec<_>>().join(", "))
        };
        let rows: Vec<String> = self.rows.iter().map(|_| row()).collect();
        format!("INSERT INTO {} ({}) VALUES {}", self.table.table, names.join(", "), rows.join(", "))
    }

    /// On PostgreSQL the audit log has a partition per month.
    async fn partitions(&mut self, session: &mut Session, kind: Kind) -> Result<(), BackupError> {
        const DAY: i64 = 86_400_000;
        if kind == Kind::Sqlite || self.table.table != "audit_log" {
            return Ok(());
        }
        let Some(at) = self.table.columns.iter().position(|(name, _)| name == "at") else { return Ok(()) };
        let times = self.rows.iter().filter_map(|row| match row.get(at) {
            Some(Cell::Integer(Some(at))) => Some(at.div_euclid(DAY)),
            _ => None,
        });
        for day in times.collect::<BTreeSet<_>>() {
            if self.days.insert(day) {
                sqlx::query("SELECT portcullis_audit_partition($1)")
                    .bind(day.saturating_mul(DAY))
                    .execute(session.connection())
                    .await?;
            }
        }
        Ok(())
    }
}

fn bind(query: Query<'_, Any, AnyArguments>, cell: Cell) -> Query<'_, Any, AnyArguments> {
    match cell {
        Cell::Text(text) => query.bind(text),
        Cell::Integer(number) => query.bind(number),
        Cell::Bytes(bytes) => query.bind(bytes),
    }
}

/// SQLite did not check them during the load.
async fn check_foreign_keys(session: &mut Session) -> Result<(), BackupError> {
    let row = sqlx::query("SELECT \"table\" AS name FROM pragma_foreign_key_check LIMIT 1")
        .fetch_optional(session.connection())
        .await?;
    match row {
        None => Ok(()),
        Some(row) => {
            let table: String = row.try_get("name")?;
            Err(BackupError::Rows(format!("a row of `{table}` refers to a row that does not exist")))
        }
    }
}
