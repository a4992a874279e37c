//! Rego means what OPA says it means: OPA itself, built from its pinned Go module, beside both engines.

mod conformance;
mod differential;
mod generator;

use std::path::PathBuf;

use crate::support::root;

/// The program that asks OPA; `None` where there is no Go, which is a failure where `CI` is true.
fn tool() -> Option<PathBuf> {
    crate::manifests::tools::tool("opa", ".")
}

/// The documents name the version that the tests build.
#[test]
fn the_documents_name_the_version_of_opa() {
    let pinned = std::fs::read_to_string(root().join("tests/controlplane/opa/go.mod")).unwrap();
    let version =
        pinned.split("open-policy-agent/opa v").nth(1).and_then(|rest| rest.split_whitespace().next());
    let version = format!("OPA {}", version.unwrap());
    for document in ["CONTRIBUTING.md", "docs/policies.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&version), "{document} does not say `{version}`");
    }
}
