//! Law out of labelled ConfigMaps: in force within the second, refused without harm, and told on the object itself.

use serde_json::{Value, json};

use super::super::plane::Plane;
use super::{HOME, account, bare, gate, told, until};
use crate::support::wire::{Ask, SANDBOX};
use crate::support::{Gate, wait};

use std::time::{Duration, Instant};

const LABEL: &str = "portcullis.kubenova.io/policies=true";

/// A policy that denies ConfigMaps with this sentence.
fn policy(id: &str, says: &str) -> String {
    let package = id.replace('-', "_");
    format!(
        "# METADATA\n# title: T\n# description: D.\n# custom:\n#   id: {id}\n#   severity: low\n#   mode: enforce\n#   match:\n\
         #     - operations: [CREATE]\n#       resources: [configmaps]\n#       namespaces: [sandbox]\n\
         package portcullis.{package}\n\ndeny contains {says}\n"
    )
}

fn rules() -> Value {
    json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ])
}

fn apply(plane: &Plane, name: &str, data: &Value) {
    let (label, value) = LABEL.split_once('=').unwrap();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": name, "namespace": HOME, "labels": {label: value}}});
    let done = plane.shell("root", "kubectl apply -f -", Some(&map.to_string()));
    assert!(done.ok, "{}", done.err);
}

fn delete(plane: &Plane, name: &str) {
    let done = plane.kubectl("root", &["-n", HOME, "delete", "configmap", name, "--ignore-not-found"]);
    assert!(done.ok, "{}", done.err);
}

/// Waits for an Event on a ConfigMap that says this; its type.
fn event(plane: &Plane, name: &str, says: &str) -> Value {
    let selector = format!("involvedObject.name={name}");
    wait(Duration::from_secs(20), || {
        let done = plane
            .kubectl("root", &["-n", HOME, "get", "events", "-o", "json", "--field-selector", &selector]);
        let list: Value = serde_json::from_str(&done.out).ok()?;
        let found =
            list["items"].as_array()?.iter().find(|event| event["message"].as_str().unwrap().contains(says));
        found.cloned()
    })
}

fn condition(gate: &Gate, name: &str) -> Value {
    let page: Value = serde_json::from_str(&gate.get("/readyz").1).unwrap();
    page["conditions"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap().clone()
}

#[test]
fn a_policy_of_a_configmap_is_in_force_broken_mended_and_gone() {
    let plane = bare();
    let kubeconfig = account(plane, "lawgiver", &rules());
    apply(plane, "law-a", &json!({"a.rego": policy("law-a", "\"by law a\"")}));
    let state = tempfile::tempdir().unwrap();
    let flags = ["--policy-configmaps", LABEL, "--state", state.path().to_str().unwrap()];
    let first = gate(&kubeconfig, None, &flags);
    // Ready means that it is in force: no replica begins with less law than the others.
    assert!(first.ask("validate", &ask().body()).message().contains("by law a"));
    let said = event(plane, "law-a", "in force as part of policies");
    assert_eq!((&said["type"], &said["reason"]), (&json!("Normal"), &json!("PolicyInForce")));

    let begun = Instant::now();
    apply(
        plane,
        "law-b",
        &json!({"b.rego": policy("law-b", "sprintf(\"by %s\", [data.params[\"law-b\"].name])"),
        "params.law-b.yaml": "name: law b"}),
    );
    until(&first, &ask(), Some("by law b"));
    assert!(begun.elapsed() < Duration::from_secs(3), "in force after {:?}", begun.elapsed());

    apply(plane, "law-b", &json!({"b.rego": policy("law-b", "\"b\" if data.nowhere.x")}));
    let said = event(plane, "law-b", "configmaps/law-b/b.rego:14");
    assert_eq!((&said["type"], &said["reason"]), (&json!("Warning"), &json!("PolicyRefused")));
    assert!(
        first.ask("validate", &ask().body()).message().contains("by law b"),
        "the last good policies stay"
    );
    let ready = condition(&first, "configmaps");
    assert_eq!(ready["ready"], true, "{ready}");
    assert!(ready["reason"].as_str().unwrap().contains("configmaps/law-b/b.rego:14"), "{ready}");
    assert_eq!(first.metric("portcullis_policy_configmaps", &["refused"]), 1);
    assert_eq!(first.metric("portcullis_policy_configmaps", &["in_force"]), 1);

    // A second that is good has to wait for the first, and says so.
    apply(plane, "law-a", &json!({"a.rego": policy("law-a", "\"by another law a\"")}));
    assert_eq!(event(plane, "law-a", "because of a problem elsewhere")["reason"], "PolicyWaits");
    apply(plane, "law-b", &json!({"b.rego": policy("law-b", "\"by law b, mended\"")}));
    until(&first, &ask(), Some("by law b, mended"));
    until(&first, &ask(), Some("by another law a"));
    delete(plane, "law-a");
    delete(plane, "law-b");
    until(&first, &ask(), None);
    assert_eq!(condition(&first, "configmaps"), json!({"name": "configmaps", "ready": true}));
}

#[test]
fn what_was_in_force_is_kept_for_a_start_without_the_api_server() {
    let mut plane = Plane::start();
    let kubeconfig = account(&plane, "lawgiver", &rules());
    apply(&plane, "kept", &json!({"a.rego": policy("kept", "\"by the law that was kept\"")}));
    let state = tempfile::tempdir().unwrap();
    let flags = ["--policy-configmaps", LABEL, "--state", state.path().to_str().unwrap()];
    let before = gate(&kubeconfig, None, &flags);
    until(&before, &ask(), Some("kept"));
    drop(before);
    plane.without_server(|| {
        let again = gate(&kubeconfig, None, &flags);
        assert!(again.ask("validate", &ask().body()).message().contains("by the law that was kept"));
        // Without anything kept nobody knows the law, and such a gate is not ready.
        let kubeconfig = kubeconfig.display().to_string();
        let words = ["--kubeconfig", &kubeconfig, "--policy-configmaps", LABEL];
        let options = crate::support::Options { extra: &words, wait_ready: false, ..Default::default() };
        let new = Gate::start(&options);
        told(&new, &["the API server does not answer"]);
        let ready = condition(&new, "configmaps");
        assert_eq!(ready, json!({"name": "configmaps", "ready": false, "reason": "not listed yet"}));
    });
}

#[test]
fn permissions_that_configmaps_need_are_named() {
    let kubeconfig = account(bare(), "lawless", &json!([]));
    let kubeconfig = kubeconfig.display().to_string();
    let words = ["--kubeconfig", &kubeconfig, "--policy-configmaps", "x=y"];
    let gate =
        Gate::start(&crate::support::Options { extra: &words, wait_ready: false, ..Default::default() });
    let line = told(&gate, &["permissions are missing", "create events"]);
    for need in ["list configmaps", "watch configmaps", "create events"] {
        assert!(line.contains(&format!("{need} in namespace `{HOME}`")), "{line}");
    }
}

fn ask() -> Ask {
    Ask::configmap(SANDBOX, "")
}
