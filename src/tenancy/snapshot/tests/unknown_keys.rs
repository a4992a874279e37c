//! Keys that this build does not know.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::read::{KEY_CHARS_MAX, NAMED_MAX, drop_unknown_keys};
use crate::Snapshot;
use crate::example;

fn document() -> Value {
    serde_json::to_value(example::snapshot().unwrap()).unwrap()
}

#[test]
fn only_unknown_keys_are_dropped() {
    let mut document = document();
    let before = document.clone();
    assert_eq!(drop_unknown_keys(&mut document), BTreeSet::new());
    assert_eq!(document, before);
    document["novelty"] = json!({"a": 1});
    document["settings"]["novelty"] = json!([]);
    document["settings"]["connect"]["novelty"] = json!(true);
    for section in ["tenants", "projects", "apps", "namespaces"] {
        for entry in document[section].as_object_mut().unwrap().values_mut() {
            entry["novelty"] = json!("x");
        }
    }
    let places = drop_unknown_keys(&mut document);
    assert_eq!(document, before);
    let expected = [
        "apps.*.novelty",
        "namespaces.*.novelty",
        "novelty",
        "projects.*.novelty",
        "settings.connect.novelty",
        "settings.novelty",
        "tenants.*.novelty",
    ];
    assert_eq!(places.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn unknown_keys_of_a_patch_are_dropped() {
    let mut patch = json!({
        "revision": 9, "novelty": null,
        "tenants": {"acme": {"status": "suspended", "novelty": 1}, "gone": null},
    });
    assert_eq!(drop_unknown_keys(&mut patch).len(), 2);
    assert_eq!(patch, json!({"revision": 9, "tenants": {"acme": {"status": "suspended"}, "gone": null}}));
}

/// What a policy is given is free in its keys, and an exemption is never widened.
#[test]
fn parameters_and_exemptions_are_left_alone() {
    let entry = json!({"policy": "some-policy", "condition": "only on Sundays"});
    let mut document = json!({
        "tenants": {"acme": {"policySets": [{"rules": [{"policy": "p", "params": {"novelty": {"deep": 1}}}]}]}},
        "exceptions": {"e1": entry.clone()}, "breakglass": {"b1": {"novelty": 1}},
    });
    let before = document.clone();
    assert_eq!(drop_unknown_keys(&mut document), BTreeSet::new());
    assert_eq!(document, before);
}

#[test]
fn reported_keys_are_bounded_and_an_unknown_version_is_refused() {
    let mut document = document();
    for n in 0..1000 {
        document[format!("novelty{n}\n{}", "x".repeat(1000))] = json!(n);
    }
    let places = drop_unknown_keys(&mut document);
    assert_eq!(places.len(), NAMED_MAX);
    assert!(places.iter().all(|place| place.len() <= KEY_CHARS_MAX && !place.contains('\n')));
    document["version"] = json!(2);
    assert!(Snapshot::or_last_good("test", document, None).is_err());
}

#[test]
fn document_of_the_ledger_may_have_unknown_keys() {
    let mut document = document();
    document["novelty"] = json!(1);
    document["tenants"]["acme"]["novelty"] = json!(1);
    assert!(Snapshot::of("a file that a person wrote", document.clone()).is_err());
    let (snapshot, held) = Snapshot::or_last_good("the ledger", document, None).unwrap();
    assert!(held.is_empty());
    assert_eq!(held.unknown.len(), 2);
    assert_eq!(snapshot, example::snapshot().unwrap());
}
