//! Errors of the ledger, and how errors of the two databases map to them.

use sqlx::error::{DatabaseError, ErrorKind};
use thiserror::Error;

/// The transaction that failed has no effect.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Also for objects of other tenants, so that their existence is not revealed.
    #[error("{0} not found")]
    NotFound(&'static str),
    #[error("{detail}")]
    Conflict {
        /// A constraint of the database, such as `tenants_slug`, or a name that the caller chose.
        constraint: String,
        detail: String,
    },
    #[error("the {what} still has {children}")]
    Dependents { what: &'static str, children: String },
    #[error("the object has changed since it was read; read it again")]
    Stale,
    #[error("no {what} is available")]
    Exhausted { what: String },
    #[error("a referenced object does not exist, or the object is still referenced")]
    Reference {
        constraint: Option<String>,
        #[source]
        source: sqlx::Error,
    },
    /// The caller should have validated the value.
    #[error("the ledger rejects a value (constraint {constraint})")]
    Refused {
        constraint: String,
        #[source]
        source: sqlx::Error,
    },
    /// The caller should have rejected the change with a more specific error.
    #[error("gates would reject the resulting snapshot: {}", problems.first().map_or("", String::as_str))]
    Unreadable { problems: Vec<String> },
    /// The database is down, locked or full; the request may succeed later.
    #[error("the database of the ledger is unavailable: {reason}")]
    Unavailable {
        /// Without addresses and credentials.
        reason: String,
        #[source]
        source: Option<sqlx::Error>,
    },
    #[error("the schema of the ledger is being migrated; try again later")]
    Migrating,
    /// The database lacks revisions that this process has seen.
    #[error(
        "the database was rolled back: it is at revision {found}, but this process has seen revision {seen}. Restore a newer \
         backup with `portcullis restore`, or accept the state with `portcullis restore --renew`"
    )]
    RolledBack { seen: u64, found: u64 },
    #[error("`{url}` is not a valid ledger address: {problem}")]
    Address {
        /// Without the password.
        url: String,
        problem: String,
    },
    /// The schema is older or newer than this program, or was changed by hand.
    #[error("{0}")]
    Schema(String),
    #[error("{problem}; a database administrator must run:\n{sql}")]
    Roles { problem: String, sql: String },
    #[error("the ledger holds an invalid document: {what}")]
    Document {
        what: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{path}: {source}")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("a read-only transaction cannot change the ledger")]
    ReadOnly,
    /// A defect of this program, or of the schema.
    #[error("the database of the ledger rejected a statement")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    pub fn conflict(constraint: &str, detail: impl Into<String>) -> Self {
        Self::Conflict { constraint: constraint.to_owned(), detail: detail.into() }
    }

    /// Whether a later attempt may succeed.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Migrating)
    }

    pub fn unmigrated() -> Self {
        Self::Schema(
            "the schema of the ledger is older than this program; run `portcullis migrate`".to_owned(),
        )
    }

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), source: None }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        classify(error)
    }
}

/// Constraint of PostgreSQL, columns that SQLite names instead, and the message.
const UNIQUE: &[(&str, &str, &str)] = &[
    ("clusters_name", "clusters.name", "a cluster of this name already exists"),
    ("plans_name", "plans.name", "a plan of this name already exists"),
    ("tenants_slug", "tenants.slug", "a tenant of this name already exists"),
    (
        "tenant_clusters_pkey",
        "tenant_clusters.tenant_id, tenant_clusters.cluster_id",
        "the tenant is already on this cluster",
    ),
    (
        "tenant_clusters_primary",
        "tenant_clusters.tenant_id",
        "the tenant already has another primary cluster",
    ),
    ("projects_slug", "projects.tenant_id, projects.slug", "the tenant already has a project of this name"),
    ("apps_slug", "apps.project_id, apps.slug", "the project already has an app of this name"),
    (
        "app_revisions_revision",
        "app_revisions.app_id, app_revisions.revision",
        "the app was changed meanwhile",
    ),
    ("sandboxes_ordinal", "sandboxes.project_id, sandboxes.ordinal", "the sandbox number is taken"),
    ("namespaces_name", "namespaces.cluster_id, namespaces.name", "the namespace is taken"),
    ("namespaces_app", "namespaces.app_id", "the app already has a namespace"),
    ("namespaces_sandbox", "namespaces.sandbox_id", "the sandbox already has a namespace"),
    (
        "catalog_items_slug_own",
        "catalog_items.tenant_id, catalog_items.slug",
        "the tenant already has a catalog item of this name",
    ),
    ("catalog_items_slug_global", "catalog_items.slug", "a global catalog item of this name already exists"),
    (
        "catalog_item_versions_version",
        "catalog_item_versions.item_id, catalog_item_versions.version",
        "the item already has this version, and versions cannot be changed",
    ),
    (
        "policysets_name",
        "policysets.tenant_id, policysets.name",
        "the tenant already has a policy set of this name",
    ),
    ("memberships_subject", "memberships.tenant_id, memberships.subject", "the subject is already a member"),
    (
        "idempotency_keys_pkey",
        "idempotency_keys.key, idempotency_keys.subject",
        "a request with this idempotency key is in progress",
    ),
    ("settings_key_own", "settings.tenant_id, settings.key", "the setting already exists"),
    ("settings_key_global", "settings.key", "the setting already exists"),
];

/// SQLSTATE classes of transient errors (connection, resources, operator intervention, system) and single codes (locks,
/// deadlocks, serialization failures, a database that accepts no connections).
const TRANSIENT_CLASSES: [&str; 4] = ["08", "53", "57", "58"];
const TRANSIENT_CODES: [&str; 4] = ["40001", "40P01", "55P03", "55000"];

/// SQLite: busy, locked, no memory, read-only, I/O, full, cannot open, protocol.
const TRANSIENT_SQLITE: [i64; 8] = [5, 6, 7, 8, 10, 13, 14, 15];

fn classify(error: sqlx::Error) -> StoreError {
    let reason = match &error {
        sqlx::Error::Database(db_error) if transient(&**db_error) => db_error.message().to_owned(),
        sqlx::Error::Database(db_error) => {
            return match Violation::of(&**db_error) {
                Some(violation) => violation.into_error(error),
                None => StoreError::Database(error),
            };
        }
        sqlx::Error::Io(cause) => cause.kind().to_string(),
        sqlx::Error::Tls(_) => "the TLS handshake failed".to_owned(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
            "the connection is closed".to_owned()
        }
        sqlx::Error::Protocol(_) => "the connection was interrupted".to_owned(),
        _ => return StoreError::Database(error),
    };
    StoreError::Unavailable { reason, source: Some(error) }
}

/// Whether the connection must not be used any more.
pub(crate) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(db_error) => db_error
            .code()
            .is_some_and(|code| code.len() == 5 && (code.starts_with("08") || code.starts_with("57P"))),
        _ => false,
    }
}

pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i64 = 5;
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<i64>().ok()).is_some_and(|code| code & 0xff == BUSY)
}

fn transient(db_error: &dyn DatabaseError) -> bool {
    let Some(code) = db_error.code() else { return false };
    if code.len() == 5 {
        return TRANSIENT_CLASSES.iter().any(|class| code.starts_with(class))
            || TRANSIENT_CODES.contains(&&*code);
    }
    code.parse::<i64>().is_ok_and(|code| TRANSIENT_SQLITE.contains(&(code & 0xff)))
}

struct Violation {
    kind: ErrorKind,
    name: String,
}

impl Violation {
    fn of(db_error: &dyn DatabaseError) -> Option<Self> {
        let kind = db_error.kind();
        if matches!(kind, ErrorKind::Other) {
            return None;
        }
        // SQLite puts the name after a colon: `UNIQUE constraint failed: tenants.slug`.
        let after_colon = |message: &str| message.rsplit_once(": ").map_or("", |(_, name)| name).to_owned();
        let name = db_error.constraint().map_or_else(|| after_colon(db_error.message()), str::to_owned);
        Some(Self { kind, name })
    }

    fn into_error(self, source: sqlx::Error) -> StoreError {
        let Self { kind, name } = self;
        match kind {
            ErrorKind::UniqueViolation => {
                let known =
                    UNIQUE.iter().find(|(constraint, columns, _)| *constraint == name || *columns == name);
                let (constraint, detail) =
                    known.map_or((name.as_str(), "it already exists"), |(name, _, detail)| (*name, *detail));
                StoreError::conflict(constraint, detail)
            }
            ErrorKind::ForeignKeyViolation => {
                StoreError::Reference { constraint: Some(name).filter(|name| !name.is_empty()), source }
            }
            _ => StoreError::Refused { constraint: name, source },
        }
    }
}
