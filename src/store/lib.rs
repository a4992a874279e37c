//! The ledger: tenants, projects, apps, sandboxes, catalog, and what was done to them; and the gate's end of it, `feed`.
//!
//! A transaction belongs to a [`Scope`](portcullis_access::Scope), which only `access::authorize` makes. What is done in it
//! is audited in it, and what it changes of the snapshot is named, so that every gate hears of it:
//!
//! ```no_run
//! use portcullis::access::{Action, Identity, authorize};
//! use portcullis::store::{Entry, Ledger, Options, Part, StoreError, new_id};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let ledger = Ledger::open("sqlite:ledger.db", &Options::default()).await?;
//! let scope = authorize(&Identity::process("seed"), Action::ProjectsCreate, Some("acme"), "request-1")?;
//!
//! let mut tx = ledger.write(&scope).await?;
//! let (id, now, own) = (new_id(), tx.now(), tx.tenant());
//! // Every statement on a table of tenants carries the scope's tenant: on SQLite there is no other wall.
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
//!     .map_err(StoreError::from)?; // a name that is taken is `StoreError::Conflict`
//! tx.audit(Entry::new("project.create", "project").of(&id, "shop").tenant(&tenant).after(json!({"slug": "shop"})));
//! tx.touch(Part::Project("acme".into(), "shop".into()));
//! let committed = tx.commit().await?; // row, audit row and revision, or nothing of it
//! assert!(committed.revision.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! `?` turns an `sqlx::Error` into a [`StoreError`] by itself where the function returns one. Ids are [`new_id`]s, times
//! unix milliseconds, documents JSON text, flags 0 and 1. `docs/ledger.md` says what is stored, and what proves what.

pub mod ledger;

pub mod tx;

pub mod part;

pub mod revision;

pub mod snapshot;

pub mod audit;

pub mod backup;

pub mod breakglass;

pub mod bundles;

pub mod exceptions;

pub mod policysets;

pub mod scans;

pub mod settings;

pub mod plans;

pub mod tenants;

pub mod members;

pub mod projects;

pub mod migrate;

pub mod identities;

pub mod idempotency;

pub mod clusters;

pub mod apps;

pub mod sandboxes;

pub mod namespaces;

pub mod released;

pub mod rekey;

pub mod catalog;

pub mod quota;

pub mod seal;

pub mod time;

pub mod tokens;

mod db;

mod error;

mod reader;

mod select;

pub mod feed;

pub mod mirror;

pub mod reaper;

pub use audit::Entry;
pub use db::{Kind, Options, default_dir, default_url};
pub use error::StoreError;
pub use ledger::{Ledger, Stage};
pub use part::Part;
pub use time::Time;
pub use tx::{Committed, Tx};

/// A stored document as a value of its type.
pub(crate) fn document<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Document { what: what.to_owned(), source })
}

/// Whether a reference is an id, a UUID, and not a slug, which is shorter. A condition on both columns reads a whole table.
pub(crate) fn is_id(reference: &str) -> bool {
    portcullis_tenancy::is_uuid(reference)
}

/// A new id: a UUID that sorts by time (version 7), lower case, with hyphens.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
