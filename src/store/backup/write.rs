//! Writing one, while the ledger is served: one transaction that sees one revision.

use std::io::Write;

use futures_util::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::format::{Cell, Kind as Column, Table, Writer};
use super::{BackupError, FORMAT, Head, Progress, Summary, TABLES};
use crate::db::{Kind, Mode, Session, Wall};
use crate::error::StoreError;
use crate::seal::{MasterKey, Sealed};
use crate::{Ledger, migrate, revision};

/// Rows between two words on how far it is.
const TELL_EVERY: u64 = 1000;

impl Ledger {
    /// Writes all of the ledger as one file. With the master key it is made sure that what is sealed opens with it, and the
    /// file says its fingerprint.
    ///
    /// # Errors
    /// The database or the file; a schema that is not this program's; another master key.
    pub async fn backup<W: Write>(
        &self,
        out: W,
        key: Option<&MasterKey>,
        progress: Progress<'_>,
    ) -> Result<(Summary, W), BackupError> {
        if !self.pending().await?.is_empty() {
            return Err(StoreError::unmigrated().into());
        }
        let mut session = self.database().begin(&Wall::Admin, Mode::Read).await?;
        if self.kind() == Kind::Postgres {
            let bounds = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
            sqlx::raw_sql(bounds).execute(session.connection()).await?;
        }
        let now = revision::now(session.connection()).await?;
        let head = Head {
            portcullis_backup: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            database: match self.kind() {
                Kind::Sqlite => "SQLite".to_owned(),
                Kind::Postgres => "PostgreSQL".to_owned(),
            },
            created_at: jiff::Timestamp::now().to_string(),
            ledger: now.ledger,
            revision: now.revision,
            digest: now.digest.to_string(),
            schema: migrate::all(self.kind()).iter().map(|migration| migration.version).collect(),
            master_key: key.map(|key| key.fingerprint().to_owned()),
        };
        let mut writer = Writer::new(out);
        writer.line(&head)?;
        for table in TABLES {
            rows(&mut session, self.kind(), table, &mut writer, progress).await?;
        }
        let sealed = sealed(&mut session, key).await?;
        session.rollback().await?;
        writer.finish(head, sealed)
    }
}

async fn rows<W: Write>(
    session: &mut Session,
    kind: Kind,
    table: &str,
    writer: &mut Writer<W>,
    progress: Progress<'_>,
) -> Result<(), BackupError> {
    let columns = columns(session, kind, table).await?;
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let statement = format!("SELECT {} FROM {table}", names.join(", "));
    writer.line(&Table { table: table.to_owned(), columns: columns.clone() })?;
    let mut count = 0;
    progress(table, 0);
    let mut rows = sqlx::query(AssertSqlSafe(statement)).fetch(session.connection());
    while let Some(row) = rows.try_next().await? {
        writer.row(table, &cells(&row, &columns)?)?;
        count += 1;
        if count % TELL_EVERY == 0 {
            progress(table, count);
        }
    }
    Ok(())
}

fn cells(row: &AnyRow, columns: &[(String, Column)]) -> Result<Vec<Cell>, sqlx::Error> {
    let cell = |(name, kind): &(String, Column)| {
        Ok(match kind {
            Column::Text => Cell::Text(row.try_get(name.as_str())?),
            Column::Integer => Cell::Integer(row.try_get(name.as_str())?),
            Column::Bytes => Cell::Bytes(row.try_get(name.as_str())?),
        })
    };
    columns.iter().map(cell).collect()
}

/// The columns of a table, in its order.
pub(super) async fn columns(
    session: &mut Session,
    kind: Kind,
    table: &str,
) -> Result<Vec<(String, Column)>, BackupError> {
    let sql = match kind {
        Kind::Sqlite => "SELECT name, lower(type) AS type FROM pragma_table_info($1) ORDER BY cid",
        Kind::Postgres => {
            "SELECT attname::text AS name, format_type(atttypid, NULL) AS type FROM pg_attribute \
             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        }
    };
    let rows = sqlx::query(sql).bind(table).fetch_all(session.connection()).await?;
    let column = |row: &AnyRow| {
        let (name, kind): (String, String) = (row.try_get("name")?, row.try_get("type")?);
        let kind = match kind.as_str() {
            "text" => Column::Text,
            "bigint" => Column::Integer,
            "blob" | "bytea" => Column::Bytes,
            _ => {
                return Err(BackupError::Store(StoreError::Schema(format!(
                    "`{table}.{name}` is of the type `{kind}`, which is not this program's"
                ))));
            }
        };
        Ok((name, kind))
    };
    let found: Vec<_> = rows.iter().map(column).collect::<Result<_, BackupError>>()?;
    if found.is_empty() {
        return Err(StoreError::Schema(format!("the ledger has no table `{table}`")).into());
    }
    Ok(found)
}

/// How many values are sealed; with the key, each must open.
pub(super) async fn sealed(session: &mut Session, key: Option<&MasterKey>) -> Result<u64, BackupError> {
    let statement = "SELECT id, kubeconfig_enc, dek_enc FROM clusters WHERE kubeconfig_enc IS NOT NULL";
    let rows = sqlx::query(statement).fetch_all(session.connection()).await?;
    for row in &rows {
        let Some(key) = key else { break };
        let id: String = row.try_get("id")?;
        let sealed = Sealed { value: row.try_get("kubeconfig_enc")?, dek: row.try_get("dek_enc")? };
        key.open(&id, &sealed).map_err(|_| BackupError::MasterKey(format!(": the cluster {id}")))?;
    }
    Ok(rows.len() as u64)
}
