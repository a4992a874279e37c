//! The audit log: who did what, in the transaction that did it, in chains that show when the past was changed.
//!
//! # Chains
//!
//! Each tenant has a chain, named by its id, and what belongs to none goes into `system`. A row holds the hash of the row
//! before it, and its own hash covers that and everything else in it:
//!
//! ```text
//! hash = sha256( "portcullis-audit-1\n" ‖ field ‖ field ‖ … )
//! field = 0x00                                      for null
//!       = 0x01 ‖ length in bytes, 8 bytes, big endian ‖ bytes     for text
//! ```
//!
//! The fields are, in this order: `prev_hash chain seq at request_id actor minted_by actor_roles tenant_id action
//! resource_type resource_id resource_name result attempts first_at before after reason`. Numbers are decimal text,
//! documents exactly the text that is stored, hashes lower-case hex. The first row of a chain has 64 zeros before it.
//!
//! The newest sequence number and hash of each chain stand in `audit_heads`; that row is locked shortly before the commit,
//! so a chain has one order, and a chain that lost its newest rows is shorter than its head says.

mod chain;
mod denied;
mod entry;
mod keep;
mod list;
mod redact;
mod verify;

pub use denied::Denial;
pub use entry::{Entry, Outcome};
pub use list::{Filter, Record, list};
pub use redact::{REDACTED, is_credential};
pub use verify::{Chain, PROVES, Report, verify};

pub(super) use chain::append;
pub(super) use denied::Denials;

/// The chain of what belongs to no tenant.
pub const SYSTEM: &str = "system";
