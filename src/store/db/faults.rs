//! What the two databases say when they refuse, as one vocabulary.

use sqlx::error::{DatabaseError, ErrorKind};

use crate::error::StoreError;

/// What is unique, by PostgreSQL's name of it and by the columns that SQLite names instead, with a sentence.
const UNIQUE: &[(&str, &str, &str)] = &[
    ("clusters_name", "clusters.name", "a cluster of this name exists already"),
    ("plans_name", "plans.name", "a plan of this name exists already"),
    ("tenants_slug", "tenants.slug", "a tenant of this name exists already"),
    (
        "tenant_clusters_pkey",
        "tenant_clusters.tenant_id, tenant_clusters.cluster_id",
        "the tenant is on this cluster already",
    ),
    (
        "tenant_clusters_primary",
        "tenant_clusters.tenant_id",
        "the tenant has another primary cluster already",
    ),
    ("projects_slug", "projects.tenant_id, projects.slug", "the tenant has a project of this name already"),
    ("apps_slug", "apps.project_id, apps.slug", "the project has an app of this name already"),
    (
        "app_revisions_revision",
        "app_revisions.app_id, app_revisions.revision",
        "the app has moved on meanwhile",
    ),
    ("sandboxes_ordinal", "sandboxes.project_id, sandboxes.ordinal", "the sandbox number is taken"),
    ("namespaces_name", "namespaces.cluster_id, namespaces.name", "the namespace is taken"),
    ("namespaces_app", "namespaces.app_id", "the app has its namespace already"),
    ("namespaces_sandbox", "namespaces.sandbox_id", "the sandbox has its namespace already"),
    (
        "catalog_items_slug_own",
        "catalog_items.tenant_id, catalog_items.slug",
        "the tenant has a catalog item of this name already",
    ),
    ("catalog_items_slug_global", "catalog_items.slug", "a global catalog item of this name exists already"),
    (
        "catalog_item_versions_version",
        "catalog_item_versions.item_id, catalog_item_versions.version",
        "the item has this version already, and versions do not change",
    ),
    (
        "policysets_name",
        "policysets.tenant_id, policysets.name",
        "the tenant has a policy set of this name already",
    ),
    ("memberships_subject", "memberships.tenant_id, memberships.subject", "the subject is a member already"),
    (
        "idempotency_keys_pkey",
        "idempotency_keys.key, idempotency_keys.subject",
        "a request with this key is being served",
    ),
    ("settings_key_own", "settings.tenant_id, settings.key", "the setting exists already"),
    ("settings_key_global", "settings.key", "the setting exists already"),
];

/// SQLSTATE classes and codes that pass by themselves: connection, resources, the operator's doing, the system; locks,
/// deadlocks and a lost serialisation; a database that takes no connections just now.
const PASSING: [&str; 4] = ["08", "53", "57", "58"];
const PASSING_CODES: [&str; 4] = ["40001", "40P01", "55P03", "55000"];

/// SQLite's primary codes that pass: busy, locked, no memory, read-only just now, I/O, full, cannot open, protocol.
const PASSING_SQLITE: [i64; 8] = [5, 6, 7, 8, 10, 13, 14, 15];

/// Sorts a driver's error into ours.
pub(crate) fn read(error: sqlx::Error) -> StoreError {
    let reason = match &error {
        sqlx::Error::Database(refusal) if passes(&**refusal) => refusal.message().to_owned(),
        sqlx::Error::Database(refusal) => {
            return match Broken::of(&**refusal) {
                Some(broken) => broken.told(error),
                None => StoreError::Database(error),
            };
        }
        sqlx::Error::Io(cause) => cause.kind().to_string(),
        sqlx::Error::Tls(_) => "no TLS with it".to_owned(),
        sqlx::Error::PoolTimedOut => "no connection within the time there is for one".to_owned(),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
            "the connection is closed".to_owned()
        }
        sqlx::Error::Protocol(_) => "the connection broke off".to_owned(),
        _ => return StoreError::Database(error),
    };
    StoreError::Unavailable { reason, source: Some(error) }
}

/// Whether a connection that said this is of no more use.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(refusal) => refusal
            .code()
            .is_some_and(|code| code.len() == 5 && (code.starts_with("08") || code.starts_with("57P"))),
        _ => false,
    }
}

/// Whether SQLite's file is somebody else's just now.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i64 = 5;
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<i64>().ok()).is_some_and(|code| code & 0xff == BUSY)
}

fn passes(refusal: &dyn DatabaseError) -> bool {
    let Some(code) = refusal.code() else { return false };
    if code.len() == 5 {
        return PASSING.iter().any(|class| code.starts_with(class)) || PASSING_CODES.contains(&&*code);
    }
    code.parse::<i64>().is_ok_and(|code| PASSING_SQLITE.contains(&(code & 0xff)))
}

/// A constraint that a statement would have broken.
struct Broken {
    kind: ErrorKind,
    name: String,
}

impl Broken {
    fn of(refusal: &dyn DatabaseError) -> Option<Self> {
        let kind = refusal.kind();
        if matches!(kind, ErrorKind::Other) {
            return None;
        }
        // SQLite puts the name behind a colon: `UNIQUE constraint failed: tenants.slug`.
        let behind = |message: &str| message.rsplit_once(": ").map_or("", |(_, name)| name).to_owned();
        let name = refusal.constraint().map_or_else(|| behind(refusal.message()), str::to_owned);
        Some(Self { kind, name })
    }

    fn told(self, source: sqlx::Error) -> StoreError {
        let Self { kind, name } = self;
        match kind {
            ErrorKind::UniqueViolation => {
                let known =
                    UNIQUE.iter().find(|(constraint, columns, _)| *constraint == name || *columns == name);
                let (constraint, detail) =
                    known.map_or((name.as_str(), "it exists already"), |(name, _, detail)| (*name, *detail));
                StoreError::conflict(constraint, detail)
            }
            ErrorKind::ForeignKeyViolation => {
                StoreError::Reference { constraint: Some(name).filter(|name| !name.is_empty()), source }
            }
            _ => StoreError::Refused { constraint: name, source },
        }
    }
}
