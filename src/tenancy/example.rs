//! The example tenancy, with fictional tenants: for the demo, for reviews without a ledger, and for tests.

use crate::snapshot::{Snapshot, SnapshotError};

/// The name under which problems of it are reported.
pub const NAME: &str = "world.yaml";

/// Its document, as `--tenancy` reads one.
pub const DOCUMENT: &str = include_str!("../../tests/cases/world.yaml");

/// Its snapshot.
///
/// # Errors
/// None that a test has not seen.
pub fn snapshot() -> Result<Snapshot, SnapshotError> {
    Snapshot::parse(NAME, DOCUMENT.as_bytes())
}
