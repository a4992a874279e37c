//! Feeds of the snapshot: where it comes from, whether it is applied, and how fresh it is.
//!
//! ```text
//!   file      a document, followed                        ┐
//!   database  the ledger: LISTEN, or writes to the file   ├─► snapshot_applier ─► gate, change buffer of the API
//!   remote    the API of another process, by long poll    ┘        │
//!                                                                  ├─► last_good: the newest snapshot on disk
//!                                                                  └─► health: readiness, age
//! ```
//!
//! The snapshot in force stays in force whatever fails here. Failures are reported and tried again.

mod backoff;
pub mod database;
pub mod file;
pub mod health;
pub mod last_good;
pub mod listen;
pub mod remote;
pub mod snapshot_applier;
pub mod token_expiry;

pub use backoff::Backoff;
pub use health::{Health, TroubleKind};
pub use last_good::LastGood;
pub use snapshot_applier::{ApplyError, Comparison, OnSnapshot, SnapshotApplier};
