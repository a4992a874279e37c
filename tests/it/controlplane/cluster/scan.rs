//! `portcullis scan --cluster`: what was written before there was a gate.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::plane::Plane;
use super::{account, bare, gate};
use crate::support::{Gate, portcullis, root, wait};

/// Of the world of the cases, and of nobody.
const SANDBOX: &str = "tn-acme-shop-sbx-001";
const STRANGER: &str = "tn-scan-x-sbx-001";

fn scan(kubeconfig: &Path, more: &[&str]) -> Output {
    let mut command = portcullis();
    command.args(["scan", "--cluster", "--kubeconfig"]).arg(kubeconfig).arg("--tenancy");
    command.arg(root().join("tests/cases/example-tenancy.yaml")).args(more).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Deployments of which every second is denied, in a sandbox of the world and beside it.
fn written(plane: &Plane) {
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let deployment = |n: usize, namespace: &str| {
        let image =
            if n.is_multiple_of(2) { "evil.io/x:1" } else { "registry.example.com/tenants/acme/web:1" };
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
}

#[test]
fn what_was_written_before_the_gate_is_found() {
    let plane = bare();
    written(plane);
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
                    // What the controllers made of it is found, too.
                    && one["object"]["resource"] != "replicasets.apps"
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
    what_may_not_be_listed_is_named(plane);
}

/// And the rest is judged.
fn what_may_not_be_listed_is_named(plane: &Plane) {
    let some =
        json!([{"apiGroups": ["apps", ""], "resources": ["deployments", "namespaces"], "verbs": ["list"]}]);
    let output = scan(&account(plane, "scan-some", &some), &["--output", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reasons: Vec<&str> =
        report["unjudged"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert!(
        reasons.contains(&"secrets: permissions are missing in RBAC; grant: list secrets"),
        "{reasons:?}"
    );
    assert!(!reasons.iter().any(|reason| reason.starts_with("deployments.apps")), "{reasons:?}");
    assert_eq!(
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["object"]["namespace"] == SANDBOX && one["object"]["kind"] == "Deployment")
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

/// What the ledger of a server keeps of the object.
fn kept(server: &Gate) -> String {
    let url = format!("sqlite://{}", server.path("ledger.db").display());
    wait(Duration::from_secs(30), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            sqlx::any::install_default_drivers();
            let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await.ok()?;
            let statement = "SELECT message FROM scan_findings WHERE object = 'tn-scan-y-sbx-001/podtemplates/old' AND policy = 'registry-allowlist' LIMIT 1";
            let row = sqlx::query(statement).fetch_optional(&mut connection).await.ok()??;
            sqlx::Row::try_get::<String, _>(&row, 0).ok()
        })
    })
}

/// A kind of which no controller makes anything.
fn in_a_sandbox(plane: &Plane) {
    let place = "tn-scan-y-sbx-001";
    let pod_template = json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "old", "namespace": place},
        "template": {"metadata": {"labels": {"app": "old"}}, "spec": {"containers": [{"name": "old", "image": "evil.io/old:1"}]}},
    });
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [namespace, pod_template]});
    let done = plane.shell("root", "kubectl apply -f -", Some(&list.to_string()));
    assert!(done.ok, "{}", done.err);
}

#[test]
fn a_server_scans_on_a_schedule_one_at_a_time() {
    let plane = bare();
    in_a_sandbox(plane);
    let may = json!([
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    ]);
    let kubeconfig = account(plane, "scanner", &may);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let database = format!("sqlite:{}", path("ledger.db"));
    let keys = path("keys");
    let kubeconfig = kubeconfig.display().to_string();
    let words = [
        "--database",
        &database,
        "--token-keys",
        &keys,
        "--api",
        "127.0.0.1:0",
        "--kubeconfig",
        &kubeconfig,
        "--scan-every",
        "1s",
    ];
    let server = Gate::serve(dir, &words.map(str::to_owned), true);
    let sample = |gate: &Gate, name: &str| {
        let page = gate.get("/metrics").1;
        page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
    };
    let images = r#"portcullis_scan_findings{policy="registry-allowlist"}"#;
    wait(Duration::from_mins(1), || sample(&server, images).filter(|found| *found >= 1.0));
    assert!(sample(&server, "portcullis_scan_objects").unwrap() >= 2.0);
    assert!(sample(&server, "portcullis_scan_last_timestamp_seconds").unwrap() > 1.7e9);
    assert_eq!(sample(&server, "portcullis_scan_failures_total"), Some(0.0), "{:?}", server.told());
    let kept = kept(&server);
    assert!(kept.contains("evil.io/old:1"), "{kept}");
    // Another replica finds that it is not its turn: the first one began less than an hour ago.
    let other = gate(kubeconfig.as_ref(), None, &["--scan-every", "1h"]);
    wait(Duration::from_secs(20), || {
        let page = other.get("/metrics").1;
        assert!(!page.lines().any(|line| line.starts_with("portcullis_scan_objects")), "{page}");
        let lease = plane.kubectl(
            "root",
            &[
                "-n",
                super::HOME,
                "get",
                "lease",
                "portcullis-scan",
                "-o",
                "jsonpath={.spec.leaseDurationSeconds}",
            ],
        );
        (lease.out == "1").then_some(())
    });
    assert_eq!(sample(&other, "portcullis_scan_failures_total"), Some(0.0), "{:?}", other.told());
    // Whoever may not take the turn says so, and goes on serving.
    let weak = account(plane, "no-scanner", &json!([]));
    let weak = gate(&weak, None, &["--scan-every", "1s"]);
    wait(Duration::from_secs(30), || {
        sample(&weak, "portcullis_scan_failures_total").filter(|failed| *failed >= 1.0)
    });
    super::told(&weak, &["the scan failed", "get leases.coordination.k8s.io"]);
}
