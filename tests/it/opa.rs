//! Rego means what OPA says it means: OPA itself, built from its pinned Go module, beside both engines.

mod conformance;
mod differential;
mod generator;

use std::path::PathBuf;

/// The program that asks OPA; `None` where there is no Go, which is a failure where `CI` is true.
fn tool() -> Option<PathBuf> {
    crate::manifests::tools::tool("opa", ".")
}
