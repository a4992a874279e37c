//! The ledger: tenants, projects, apps, sandboxes, the catalog and the audit log; and the feed of snapshots for gates.
//!
//! A transaction belongs to a [`Scope`](portcullis_access::Scope), which only `access::authorize` creates. It writes its own
//! audit entries and marks the parts of the snapshot that it changes:
//!
//! ```no_run
//! use portcullis_access::{Action, Identity, authorize};
//! use portcullis_store::{Entry, Ledger, Options, Part, StoreError, new_id};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let ledger = Ledger::open("sqlite:ledger.db", &Options::default()).await?;
//! let scope = authorize(&Identity::process("seed"), Action::ProjectsCreate, Some("acme"), "request-1")?;
//!
//! let mut tx = ledger.write(&scope).await?;
//! let (id, now, own) = (new_id(), tx.now(), tx.tenant());
//! // Every statement on a table of tenants carries the scope's tenant: SQLite has no row-level security.
//! let tenant: Option<String> =
//!     sqlx::query_scalar("SELECT id FROM tenants WHERE slug = $1 AND ($2 IS NULL OR id = $2)")
//!         .bind("acme")
//!         .bind(own)
//!         .fetch_optional(tx.sql())
//!         .await
//!         .map_err(StoreError::from)?;
//! let tenant = tenant.ok_or(StoreError::NotFound("tenant"))?;
//! sqlx::query("INSERT INTO projects (id, created_at, updated_at, tenant_id, slug) VALUES ($1, $2, $2, $3, $4)")
//!     .bind(&id)
//!     .bind(now)
//!     .bind(&tenant)
//!     .bind("shop")
//!     .execute(tx.sql())
//!     .await
//!     .map_err(StoreError::from)?; // `StoreError::Conflict` if the name is taken
//! tx.audit(Entry::new("project.create", "project").of(&id, "shop").tenant(&tenant).after(json!({"slug": "shop"})));
//! tx.mark_changed(Part::Project("acme".into(), "shop".into()));
//! let committed = tx.commit().await?; // row, audit row and revision together
//! assert!(committed.revision.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! Ids are [`new_id`]s, times Unix milliseconds, documents JSON text, flags 0 and 1. See `docs/ledger.md` for the data model.

pub mod apps;
pub mod audit;
pub mod backup;
pub mod breakglass;
pub mod bundles;
pub mod catalog;
pub mod change_buffer;
pub mod clusters;
mod db;
pub mod envelope;
mod error;
pub mod exceptions;
pub mod feed;
pub mod idempotency;
pub mod identities;
pub mod key_rotation;
mod ledger;
pub mod members;
pub mod migrate;
pub mod namespaces;
pub mod plans;
pub mod policysets;
pub mod projects;
pub mod reaper;
pub mod released;
pub mod revision;
pub mod sandboxes;
pub mod scans;
mod select;
pub mod settings;
pub mod snapshot;
pub mod tenants;
mod time;
pub mod tokens;
mod tx;
mod validator;

pub use audit::Entry;
pub use db::{Kind, Options, default_dir, default_url};
pub use error::StoreError;
pub use ledger::{Ledger, SchemaState};
pub use revision::Part;
pub use time::Time;
pub use tx::{Committed, Tx};

pub(crate) fn document<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Document { what: what.to_owned(), source })
}

/// Ids are UUIDs, slugs are shorter. A condition on both columns would read the whole table.
pub(crate) fn is_id(reference: &str) -> bool {
    portcullis_tenancy::is_uuid(reference)
}

/// A UUID that sorts by time (version 7), lower case, with hyphens.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
