//! The gate's end of the ledger: where the snapshot comes from, what becomes of it, and how fresh it is.
//!
//! ```text
//!   file      a document, followed                        ┐
//!   database  the ledger itself: LISTEN, or the file      ├─► intake ─► the gate's world, the API's mirror
//!   remote    the API of another process, by long poll    ┘      │
//!                                                                ├─► keeper: the last good one on disk
//!                                                                └─► health: readiness, age
//! ```
//!
//! Whatever fails here, the snapshot in force stays in force. It is told, tried again, and never a reason to stop deciding.

pub mod database;

pub mod file;

pub mod health;

pub mod intake;

pub mod kept;

pub mod keeper;

pub mod measure;

mod pace;

pub mod remote;

pub mod token_end;

pub use health::{Health, TroubleKind};
pub use intake::{Enter, Intake, Offer, Refused};
pub use kept::Kept;
pub use pace::Pace;
