//! The example tenancy with fictional tenants, for the demo, reviews without a ledger, and tests.

use crate::snapshot::{Snapshot, SnapshotError};

pub const NAME: &str = "example-tenancy.yaml";

/// The document, in the format of `--tenancy`.
pub const DOCUMENT: &str = include_str!("../../tests/cases/example-tenancy.yaml");

pub fn snapshot() -> Result<Snapshot, SnapshotError> {
    Snapshot::parse(NAME, DOCUMENT.as_bytes())
}
