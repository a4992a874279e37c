//! The ledger as one file that restores on either database.
//!
//! The file is gzipped lines of JSON: a head; for each table its columns and then its rows, each a list; an end that counts
//! the rows and has the SHA-256 of all lines before it. Text is stored as it is in the database, so the audit log's hashes
//! stay those of its rows, and what is sealed stays sealed. `changes` is left out: a restored ledger begins a new history.

mod format;
mod load;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use format::check;
pub use load::{Restore, Restored};

use super::error::StoreError;
use super::seal::MasterKey;

/// The version of the file that this program writes and reads.
pub const FORMAT: u32 = 1;

/// Bytes of one line, at most: a row is far below, and no file makes a reader take more memory.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Every table but `changes`, the ledger's own row and the list of migrations, owners before what they own.
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

/// Above it a revision is refused: a ledger counts on from it, and readers of JSON must be able to count as far.
const REVISION_MAX: u64 = 1 << 53;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Version of the file.
    pub portcullis_backup: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// `SQLite` or `PostgreSQL`; it restores on either.
    pub database: String,
    /// When, RFC 3339.
    pub created_at: String,
    /// Id of the ledger.
    pub ledger: String,
    /// Its revision.
    pub revision: u64,
    /// The digest of that revision.
    pub digest: String,
    /// Versions of the migrations that the database had.
    pub schema: Vec<i64>,
    /// Fingerprint of the master key that sealed what is sealed, where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_key: Option<String>,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its first line.
    #[serde(flatten)]
    pub head: Head,
    /// How many rows of each table.
    pub rows: BTreeMap<String, u64>,
    /// How many values are sealed with the master key.
    pub sealed: u64,
    /// SHA-256 of its lines.
    pub sha256: String,
}

impl Summary {
    /// Whether its sealed values open with this master key, as far as the file says which one that is.
    ///
    /// # Errors
    /// `MasterKey` where it is another.
    pub fn opens_with(&self, key: &MasterKey) -> Result<(), BackupError> {
        match &self.head.master_key {
            Some(sealed_with) if key.fingerprint() != sealed_with => {
                let why = format!(" (its fingerprint is {}, that one's is {sealed_with})", key.fingerprint());
                Err(BackupError::MasterKey(why))
            }
            _ => Ok(()),
        }
    }

    /// Rows of a table.
    pub fn count(&self, table: &str) -> u64 {
        self.rows.get(table).copied().unwrap_or_default()
    }
}

/// How far it is: a table, and rows of it.
pub type Progress<'a> = &'a mut dyn FnMut(&str, u64);

/// Why a backup is not written, or not restored. Nothing of the ledger was changed.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The file system refuses.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It ends too early.
    #[error("the file ends in the middle: it was cut off while it was written or copied")]
    Truncated,
    /// What is in it is not what was written.
    #[error("the file is not what was written: {0}")]
    Damaged(String),
    /// It is another kind of file.
    #[error("the file is no backup of a ledger: {0}")]
    Foreign(String),
    /// A newer program wrote it.
    #[error("the file was written by portcullis {program}, which is newer than this one: {why}")]
    Newer {
        /// Which.
        program: String,
        /// What this one does not know.
        why: String,
    },
    /// The database holds a ledger.
    #[error(
        "the database holds the ledger {ledger} at revision {revision}, with {tenants} tenants and {audited} audit rows; \
         nothing was changed. To replace it with the backup, add `--replace {ledger}`"
    )]
    NotEmpty {
        /// Its id.
        ledger: String,
        /// Its revision.
        revision: u64,
        /// How many tenants.
        tenants: i64,
        /// How many audit rows.
        audited: i64,
    },
    /// It is not the ledger that was to be replaced.
    #[error("--replace names the ledger {asked}, and the database holds {found}; nothing was changed")]
    OtherLedger {
        /// The one on the command line.
        asked: String,
        /// The one in the database.
        found: String,
    },
    /// The master key that was given does not open what is sealed.
    #[error("--master-key-file is not the key that sealed the secrets of this ledger{0}")]
    MasterKey(String),
    /// The rows contradict each other.
    #[error("the rows of the file contradict each other: {0}")]
    Rows(String),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
