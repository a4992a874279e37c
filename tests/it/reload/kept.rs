//! The last good policies outlive the process: a start with a broken one goes on with it.

use crate::support::{Gate, Options};

use super::law;

#[test]
fn a_start_with_a_broken_law_takes_the_last_good_one() {
    let state = tempfile::tempdir().unwrap();
    let dir = crate::broken_laws::directory(&[("law.rego", &law(1))]);
    let extra = ["--state", state.path().to_str().unwrap()];
    let options = Options { policies: Some(dir.path()), extra: &extra, ..Options::default() };
    let revision = |gate: &Gate| {
        let version: serde_json::Value = serde_json::from_str(&gate.get("/version").1).unwrap();
        version["policies"].as_str().unwrap().to_owned()
    };
    let first = Gate::start(&options);
    let good = revision(&first);
    assert!(first.end(15).success());

    std::fs::write(dir.path().join("law.rego"), "package x\n\ndeny contains").unwrap();
    let second = Gate::start(&options);
    assert_eq!(revision(&second), good);
    let ready = second.get("/readyz");
    assert!(ready.0 == 200 && ready.1.contains("the last good policies are in force"), "{ready:?}");

    // Without the state there is nothing to fall back on, and the broken law answers by its on_error.
    let bare = Gate::start(&Options { policies: Some(dir.path()), ..Options::default() });
    assert_ne!(revision(&bare), good);
}
