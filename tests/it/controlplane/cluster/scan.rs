//! `portcullis scan --cluster`: what was written before there was a gate.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::{account, bare};
use crate::support::{portcullis, root};

/// Of the world of the cases, and of nobody.
const SANDBOX: &str = "tn-acme-shop-sbx-001";
const STRANGER: &str = "tn-scan-x-sbx-001";

fn scan(kubeconfig: &Path, more: &[&str]) -> Output {
    let mut command = portcullis();
    command.args(["scan", "--cluster", "--kubeconfig"]).arg(kubeconfig).arg("--tenancy");
    command.arg(root().join("tests/cases/world.yaml")).args(more).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn what_was_written_before_the_gate_is_found() {
    let plane = bare();
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let deployment = |n: usize, namespace: &str| {
        let image = if n % 2 == 0 { "evil.io/x:1" } else { "registry.example.com/tenants/acme/web:1" };
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": format!("web-{n}"), "namespace": namespace},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}}},
        })
    };
    let mut items = vec![namespace(SANDBOX), namespace(STRANGER), namespace("scan-elsewhere")];
    items.extend((0..20).map(|n| deployment(n, SANDBOX)));
    items.extend([deployment(0, STRANGER), deployment(0, "scan-elsewhere")]);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let done = plane.shell("root", "kubectl apply -f -", Some(&list.to_string()));
    assert!(done.ok, "{}", done.err);

    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]}]);
    let all = account(plane, "scan-all", &everything);
    let output = scan(&all, &["--output", "ndjson", "--page", "3"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = self::lines(&output);
    let found = |namespace: &str, policy: &str| {
        let mut names: Vec<String> = lines
            .iter()
            .map(|line| &line["finding"])
            .filter(|one| {
                one["object"]["namespace"] == namespace && one["policy"] == policy && one["level"] == "deny"
            })
            .map(|one| {
                format!(
                    "{} {}",
                    one["object"]["resource"].as_str().unwrap(),
                    one["object"]["name"].as_str().unwrap()
                )
            })
            .collect();
        names.sort();
        names
    };
    let mut expected: Vec<String> = (0..20).step_by(2).map(|n| format!("deployments.apps web-{n}")).collect();
    expected.sort();
    assert_eq!(found(SANDBOX, "registry-allowlist"), expected);
    assert_eq!(found(STRANGER, "registry-allowlist"), ["deployments.apps web-0"]);
    assert_eq!(found(STRANGER, "namespace-naming"), [format!("namespaces {STRANGER}")]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("scan-elsewhere"));
    // Whatever the cluster's own controllers put into a namespace is no finding.
    let denied = |one: &&Value| one["object"]["namespace"] == SANDBOX && one["level"] == "deny";
    let others = lines.iter().map(|line| &line["finding"]).filter(denied);
    let others: Vec<_> = others
        .filter(|one| {
            one["object"]["resource"] == "configmaps" || one["object"]["resource"] == "serviceaccounts"
        })
        .collect();
    assert!(others.is_empty(), "{others:?}");

    // What may not be listed is named, and the rest is judged.
    let some =
        json!([{"apiGroups": ["apps", ""], "resources": ["deployments", "namespaces"], "verbs": ["list"]}]);
    let output = scan(&account(plane, "scan-some", &some), &["--output", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reasons: Vec<&str> =
        report["unjudged"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"secrets: RBAC forbids what is needed; grant: list secrets"), "{reasons:?}");
    assert!(!reasons.iter().any(|reason| reason.starts_with("deployments.apps")), "{reasons:?}");
    assert_eq!(
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["object"]["namespace"] == SANDBOX)
            .count(),
        10
    );

    let words = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let nowhere = portcullis().args(["scan", "--cluster"]).output().unwrap();
    assert!(
        nowhere.status.code() == Some(2) && words(&nowhere).contains("--tenancy or --ledger"),
        "{}",
        words(&nowhere)
    );
}
