//! The backstop against the law, case by case, by kube-apiserver's own evaluation of CEL.

use std::collections::BTreeMap;

use portcullis_admission::Endpoint;
use portcullis_admission::cases::{Answer, Word};

use serde_json::Value;

use super::conditions::asked;
use super::{printed, scratch};
use crate::support::{answer, cases, law, root, world};

/// Of these each has a case that both deny: what stays when somebody has removed the webhooks.
const BOTH: &[(&str, &str)] = &[
    ("NS-03", "namespaces"),
    ("NS-06", "namespaces"),
    ("NS-20", "namespaces"),
    ("NS-30", "namespaces"),
    ("NS-33", "namespaces"),
    ("namespace-generate-name", "namespaces"),
    ("VELA-01", "sandboxes-without-vela"),
    ("RO-03", "app-namespaces"),
    ("RO-04", "app-namespaces"),
    ("RO-05", "app-namespaces"),
    ("RO-08", "app-namespaces"),
    ("RO-12", "app-namespaces"),
    ("RO-17", "app-namespaces"),
    ("RO-27", "app-namespaces"),
    ("RO-28", "app-namespaces"),
    ("RO-32", "app-namespaces"),
    ("RO-56", "app-namespaces"),
    ("IM-11", "registries"),
    ("IM-13", "registries"),
];

#[test]
fn where_the_backstop_denies_the_law_denies_too() {
    let tenancy = root().join("tests/cases/example-tenancy.yaml");
    let text = printed(&["--backstop", "--tenancy", tenancy.to_str().unwrap()]);
    let (_dir, file) = scratch("backstop.yaml", &text);
    let mut all = cases(&root().join("tests/cases"));
    all.extend(cases(&root().join("policies")));
    let (law, world) = (law(), world());
    let verdict =
        |body: &[u8]| Answer::read(&answer(&law, &world, Endpoint::Validate, body)).unwrap().verdict();
    let all: Vec<(String, Vec<u8>, Word)> = all
        .into_iter()
        .filter(|case| case.endpoint == Endpoint::Validate)
        .filter_map(|case| sent(&case.body).map(|review| (case.id, review, verdict(&case.body))))
        .collect();
    let reviews: Vec<Vec<u8>> = all.iter().map(|(_, review, _)| review.clone()).collect();
    let Some(said) = asked(&file, &reviews) else { return };
    let mut denied: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut alone = Vec::new();
    for ((id, _, word), said) in all.iter().zip(said) {
        // Under failurePolicy Fail an expression that errors denies too.
        let by: Vec<String> = said.denied.into_iter().chain(said.errors.into_keys()).collect();
        if !by.is_empty() && *word == Word::Allow {
            alone.push(format!("{id} by {by:?}"));
        }
        denied.entry(id.split('/').next().unwrap().to_owned()).or_default().extend(by);
    }
    assert!(alone.is_empty(), "denied by the backstop alone: {alone:#?}");
    for (id, policy) in BOTH {
        let by = denied.get(*id).unwrap_or_else(|| panic!("no case {id}"));
        assert!(by.iter().any(|name| name.starts_with(&format!("{policy}."))), "{id} by {policy}: {by:?}");
    }
}

/// The review on one line, if kube-apiserver could send it: it has no objects that are none.
fn sent(body: &[u8]) -> Option<Vec<u8>> {
    let review: Value = serde_json::from_slice(body).ok()?;
    let object = |key: &str| review["request"][key].is_object() || review["request"][key].is_null();
    (review["request"].is_object() && object("object") && object("oldObject"))
        .then(|| review.to_string().into_bytes())
}

#[test]
fn what_the_backstop_is_made_from_is_asked_for() {
    let (code, _, err) = super::run(&["manifests", "--backstop"]);
    assert_eq!((code, err.contains("--tenancy")), (2, true), "{err}");
    let (code, _, err) = super::run(&["manifests", "--backstop", "--tenancy", "no/such/file"]);
    assert_eq!((code, err.contains("`no/such/file`, the file of --tenancy")), (2, true), "{err}");
}
