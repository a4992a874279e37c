//! A backup: the ledger as one file that restores on either database. Gzipped lines of JSON: a head; for each table its
//! columns and its rows; an end with the row counts and the SHA-256 of all previous lines. Values are stored as in the
//! database, so audit hashes and encrypted values stay valid. `changes` is omitted: a restored ledger starts a new history.

mod format;
mod load;

pub use format::check;
pub use load::{Restore, Restored};

use std::collections::BTreeMap;
use std::io::Write;

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};
use thiserror::Error;

use crate::backup::format::{Cell, Kind as Column, Table, Writer};
use crate::db::{Kind, Mode, RowAccess, Session};
use crate::envelope::{MasterKey, Sealed};
use crate::error::StoreError;
use crate::{Ledger, migrate, revision};

/// The version of the file that this program writes and reads.
pub const FORMAT: u32 = 1;

/// Limits the memory of a reader; rows are far below it.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// All tables except `changes`, `ledger` and the list of migrations; referenced tables first.
const TABLES: &[&str] = &[
    "clusters",
    "plans",
    "tenants",
    "tenant_clusters",
    "projects",
    "catalog_items",
    "catalog_item_versions",
    "apps",
    "app_revisions",
    "sandboxes",
    "namespaces",
    "policysets",
    "memberships",
    "revoked_tokens",
    "minted_tokens",
    "idempotency_keys",
    "policy_revisions",
    "exceptions",
    "breakglass",
    "scans",
    "scan_findings",
    "settings",
    "settings_history",
    "audit_log",
    "audit_heads",
    "audit_anchors",
    "released_keys",
];

/// The largest integer that every JSON reader represents exactly.
const REVISION_MAX: u64 = 1 << 53;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    pub portcullis_backup: u32,
    pub program: String,
    /// `SQLite` or `PostgreSQL`; the file restores on either.
    pub database: String,
    /// RFC 3339.
    pub created_at: String,
    pub ledger: String,
    pub revision: u64,
    pub digest: String,
    /// Versions of the migrations of the database.
    pub schema: Vec<i64>,
    /// Fingerprint of the master key, if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    #[serde(flatten)]
    pub head: Head,
    pub rows: BTreeMap<String, u64>,
    /// Number of values that are encrypted with the master key.
    pub sealed: u64,
    /// SHA-256 of the lines.
    pub sha256: String,
}

impl Summary {
    /// Compares the fingerprint, if the file has one.
    pub fn opens_with(&self, key: &MasterKey) -> Result<(), BackupError> {
        match &self.head.master_key {
            Some(sealed_with) if key.fingerprint() != sealed_with => {
                let why = format!(" (its fingerprint is {}, expected {sealed_with})", key.fingerprint());
                Err(BackupError::MasterKey(why))
            }
            _ => Ok(()),
        }
    }

    pub fn count(&self, table: &str) -> u64 {
        self.rows.get(table).copied().unwrap_or_default()
    }
}

/// Called with a table and the number of its rows so far.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64);

/// The ledger is unchanged after any of these errors.
#[derive(Debug, Error)]
pub enum BackupError {
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the file is truncated: it was cut off while it was written or copied")]
    Truncated,
    #[error("the file is damaged: {0}")]
    Damaged(String),
    #[error("the file is not a backup of a ledger: {0}")]
    Foreign(String),
    #[error("the file was written by portcullis {program}, which is newer than this one: {why}")]
    Newer { program: String, why: String },
    #[error(
        "the database holds the ledger {ledger} at revision {revision}, with {tenants} tenants and {audited} audit rows; \
         nothing was changed. To replace it with the backup, set `--replace {ledger}`"
    )]
    NotEmpty { ledger: String, revision: u64, tenants: i64, audited: i64 },
    #[error("--replace names the ledger {requested}, but the database holds {found}; nothing was changed")]
    OtherLedger { requested: String, found: String },
    #[error("--master-key-file is not the key that encrypted the secrets of this ledger{0}")]
    MasterKey(String),
    #[error("the rows of the file are inconsistent: {0}")]
    Rows(String),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Rows between two progress reports.
const PROGRESS_ROWS: u64 = 1000;

impl Ledger {
    /// Writes the ledger while it is in use. With a master key every encrypted value is checked, and the fingerprint is stored.
    pub async fn backup<W: Write>(
        &self,
        out: W,
        key: Option<&MasterKey>,
        progress: Progress<'_>,
    ) -> Result<(Summary, W), BackupError> {
        if !self.pending().await?.is_empty() {
            return Err(StoreError::unmigrated().into());
        }
        let mut session = self.database().begin(&RowAccess::Admin, Mode::Read).await?;
        if self.kind() == Kind::Postgres {
            let bounds = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
            sqlx::raw_sql(bounds).execute(session.connection()).await?;
        }
        let now = revision::head(session.connection()).await?;
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
            write_table(&mut session, self.kind(), table, &mut writer, progress).await?;
        }
        let sealed = count_encrypted(&mut session, key).await?;
        session.rollback().await?;
        writer.finish(head, sealed)
    }
}

async fn write_table<W: Write>(
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
        if count % PROGRESS_ROWS == 0 {
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

/// In the order of the table.
async fn columns(
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
                    "`{table}.{name}` has the type `{kind}`, which this program does not support"
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

/// With the key, each value must decrypt.
async fn count_encrypted(session: &mut Session, key: Option<&MasterKey>) -> Result<u64, BackupError> {
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
