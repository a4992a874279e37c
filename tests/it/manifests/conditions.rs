//! The match conditions, compiled and evaluated by kube-apiserver's own code: who is called for what, and that whatever
//! they skip the law would have allowed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use portcullis_admission::Endpoint;
use portcullis_admission::cases::{Answer, Word};
use serde::Deserialize;
use serde_json::{Value, json};

use super::tools::tool;
use crate::support::{answer, cases, law, people, root, world};

#[derive(Debug, Deserialize)]
pub struct Said {
    called: Vec<String>,
    pub denied: Vec<String>,
    pub errors: std::collections::BTreeMap<String, String>,
}

/// What kube-apiserver would make of each review by what this file registers; `None` where there is no Go.
pub fn asked(file: &Path, reviews: &[Vec<u8>]) -> Option<Vec<Said>> {
    static TOOL: LazyLock<Option<PathBuf>> = LazyLock::new(|| tool("conditions", "."));
    let mut command = Command::new(TOOL.as_ref()?);
    command.arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: Vec<u8> = reviews.iter().flat_map(|review| [&review[..], b"\n"].concat()).collect();
    let writer = std::thread::spawn(move || stdin.write_all(&lines));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let said: Vec<Said> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), reviews.len());
    Some(said)
}

/// What kube-apiserver would call for each review; `None` where there is no Go.
fn called(reviews: &[Vec<u8>]) -> Option<Vec<Vec<String>>> {
    let said = asked(&root().join("deploy/webhook.yaml"), reviews)?;
    let short = |name: &String| name.strip_suffix(".portcullis.kubenova.io").unwrap().to_owned();
    let one = |said: &Said| {
        assert!(said.errors.is_empty(), "{:?}", said.errors);
        said.called.iter().map(short).collect()
    };
    Some(said.iter().map(one).collect())
}

/// A review as kube-apiserver sends it; what is empty is absent, as there.
fn review(
    who: &str,
    operation: &str,
    resource: &str,
    namespace: &str,
    object: &Value,
    old: &Value,
) -> Vec<u8> {
    let (whole, sub) = resource.split_once('/').unwrap_or((resource, ""));
    let (plural, group) = whole.split_once('.').unwrap_or((whole, ""));
    let mut user = json!({});
    if let Some(person) = people().get(who) {
        user = json!({"username": person.username});
        if !person.groups.is_empty() {
            user["groups"] = json!(person.groups);
        }
    }
    // The one thing kube-apiserver tells by the kind: what no webhook is shown.
    // And what the gate knows of the kinds that are written without end.
    let kind = match plural {
        "mutatingadmissionpolicies" => "MutatingAdmissionPolicy",
        "endpoints" => "Endpoints",
        "endpointslices" => "EndpointSlice",
        "events" => "Event",
        "leases" => "Lease",
        "pods" => "Pod",
        "deployments" => "Deployment",
        "jobs" => "Job",
        "services" => "Service",
        _ => "Any",
    };
    let mut object = object.clone();
    if operation != "CONNECT"
        && let Some(fields) = object.as_object_mut()
    {
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        fields.insert("apiVersion".to_owned(), version.into());
        fields.insert("kind".to_owned(), kind.into());
    }
    let mut request = json!({
        "uid": "0", "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": plural},
        "operation": operation, "userInfo": user, "object": object, "oldObject": old, "options": null,
    });
    for (field, value) in [("subResource", sub), ("namespace", namespace)] {
        if !value.is_empty() {
            request[field] = value.into();
        }
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        .to_string()
        .into_bytes()
}

fn named(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Any", "metadata": {"name": name}})
}

const SANDBOX: &str = "tn-acme-shop-sbx-001";

/// Who, what, where, and what is called.
#[rustfmt::skip] // a table is read down its columns
const ROWS: &[(&str, &str, &str, &str, &str)] = &[
    // Cluster administration never depends on the gate, with or without groups.
    ("root", "CREATE", "clusterrolebindings.rbac.authorization.k8s.io", "", ""),
    ("no-groups", "CREATE", "clusterrolebindings.rbac.authorization.k8s.io", "", ""),
    ("", "CREATE", "clusterrolebindings.rbac.authorization.k8s.io", "", ""),
    ("root", "CREATE", "nodes", "", ""),
    ("node/n1", "UPDATE", "nodes/status", "", ""),
    ("root", "CREATE", "deployments.apps", "kube-system", ""),
    ("node/n1", "UPDATE", "leases.coordination.k8s.io", "kube-node-lease", ""),
    ("root", "CREATE", "pods", "portcullis-system", ""),
    ("acme-dev", "UPDATE", "mutatingadmissionpolicies.admissionregistration.k8s.io", "", ""),
    // Cluster-scoped writes by tenants and by Vela.
    ("acme-dev", "CREATE", "clusterrolebindings.rbac.authorization.k8s.io", "", "cluster-writes"),
    ("acme-sa", "CREATE", "persistentvolumes", "", "cluster-writes"),
    ("acme-dev", "CONNECT", "nodes/proxy", "", "cluster-writes"),
    ("vela", "CREATE", "persistentvolumes", "", "cluster-writes"),
    ("vela-sibling", "CREATE", "persistentvolumes", "", ""),
    ("vela", "CREATE", "resourcetrackers.core.oam.dev", "", ""),
    ("vela", "UPDATE", "resourcetrackers.core.oam.dev/status", "", ""),
    ("acme-dev", "CREATE", "resourcetrackers.core.oam.dev", "", "cluster-writes"),
    // Reviews of access persist nothing; a token does.
    ("acme-dev", "CREATE", "selfsubjectaccessreviews.authorization.k8s.io", "", ""),
    ("acme-sa", "CREATE", "tokenreviews.authentication.k8s.io", "", ""),
    ("acme-dev", "CREATE", "localsubjectaccessreviews.authorization.k8s.io", SANDBOX, ""),
    ("acme-dev", "CREATE", "serviceaccounts/token", SANDBOX, "tenant-writes"),
    ("acme-dev", "CREATE", "rolebindings.rbac.authorization.k8s.io", SANDBOX, "defaults tenant-writes"),
    // Tenant namespaces: every operation, every subresource, whoever asks.
    ("acme-dev", "CREATE", "pods", SANDBOX, "defaults tenant-writes"),
    ("acme-dev", "DELETE", "pods", SANDBOX, "tenant-writes"),
    ("acme-dev", "CONNECT", "pods/exec", SANDBOX, "tenant-writes"),
    ("acme-dev", "UPDATE", "deployments.apps/scale", SANDBOX, "tenant-writes"),
    ("root", "UPDATE", "widgets.example.com", SANDBOX, "defaults tenant-writes"),
    ("no-groups", "CREATE", "pods", "tn-not-in-the-ledger", "defaults tenant-writes"),
    ("root", "CREATE", "pods", "tnx", ""),
    // What the cluster reports about what runs there is not held up; what it makes is judged.
    ("kcm/endpointslice-controller", "CREATE", "endpointslices.discovery.k8s.io", SANDBOX, ""),
    ("kcm/shared", "UPDATE", "endpoints", SANDBOX, ""),
    ("kcm/deployment-controller", "UPDATE", "deployments.apps/status", SANDBOX, ""),
    ("kcm/replicaset-controller", "CREATE", "events", SANDBOX, ""),
    ("node/n1", "UPDATE", "pods/status", SANDBOX, ""),
    ("node/n1", "CREATE", "events.events.k8s.io", SANDBOX, ""),
    ("kcm/replicaset-controller", "CREATE", "pods", SANDBOX, "defaults tenant-writes"),
    ("kcm/namespace-controller", "DELETE", "pods", SANDBOX, "tenant-writes"),
    ("kcm/deployment-controller", "UPDATE", "applications.core.oam.dev/status", SANDBOX, "tenant-writes"),
    ("kcm-without-group", "UPDATE", "pods/status", SANDBOX, "tenant-writes"),
    ("kube-system-group-only", "UPDATE", "pods/status", SANDBOX, "tenant-writes"),
    ("node-without-group", "UPDATE", "pods/status", SANDBOX, "tenant-writes"),
    ("nodes-group-only", "UPDATE", "pods/status", SANDBOX, "tenant-writes"),
    ("acme-dev", "UPDATE", "pods/status", SANDBOX, "tenant-writes"),
    ("sched", "CREATE", "pods/binding", SANDBOX, "tenant-writes"),
];

#[test]
fn who_is_called_for_what() {
    let reviews: Vec<Vec<u8>> = ROWS
        .iter()
        .map(|(who, operation, resource, namespace, _)| {
            let (mut object, mut old) = (named("x"), Value::Null);
            match *operation {
                "DELETE" => (object, old) = (Value::Null, object),
                "UPDATE" => old = object.clone(),
                "CONNECT" => object = json!({"kind": "PodExecOptions", "apiVersion": "v1"}),
                _ => {}
            }
            review(who, operation, resource, namespace, &object, &old)
        })
        .collect();
    let Some(called) = called(&reviews) else { return };
    for (row, called) in ROWS.iter().zip(called) {
        assert_eq!(called.join(" "), row.4, "{row:?}");
    }
}

/// What KubeVela makes for a tenant's App is seen wherever it lies, whoever writes it; what has no such label never is.
#[test]
fn what_vela_makes_elsewhere_is_seen() {
    let labelled = |labels: Value| json!({"metadata": {"name": "x", "labels": labels}});
    let ours = labelled(json!({"app.oam.dev/namespace": "tn-acme-shop-app-frontend"}));
    let nothing = Value::Null;
    #[rustfmt::skip] // a table is read down its columns
    let rows: Vec<(&str, &str, &str, &str, Value, Value, &str)> = vec![
        ("root", "CREATE", "rolebindings.rbac.authorization.k8s.io", "kube-system", ours.clone(), nothing.clone(), "vela-elsewhere"),
        ("no-groups", "UPDATE", "configmaps", "default", ours.clone(), ours.clone(), "vela-elsewhere"),
        ("vela", "CREATE", "configmaps", "vela-system", ours.clone(), nothing.clone(), "vela-elsewhere"),
        ("root", "CREATE", "clusterroles.rbac.authorization.k8s.io", "", ours.clone(), nothing.clone(), "vela-elsewhere"),
        ("vela", "CREATE", "clusterroles.rbac.authorization.k8s.io", "", ours.clone(), nothing.clone(), "cluster-writes vela-elsewhere"),
        ("vela", "CREATE", "configmaps", SANDBOX, ours.clone(), nothing.clone(), "defaults tenant-writes"),
        ("vela", "UPDATE", "configmaps", "vela-system", named("x"), ours.clone(), ""),
        ("vela", "DELETE", "configmaps", "vela-system", nothing.clone(), ours.clone(), ""),
        ("vela", "CREATE", "resourcetrackers.core.oam.dev", "", ours.clone(), nothing.clone(), ""),
        ("root", "CREATE", "configmaps", "default", labelled(json!({"app.oam.dev/namespace": "default"})), nothing.clone(), ""),
        ("root", "CREATE", "configmaps", "default", labelled(json!({"app": "x"})), nothing.clone(), ""),
        ("root", "CREATE", "configmaps", "default", json!({"metadata": {}}), nothing.clone(), ""),
        ("root", "CREATE", "configmaps", "default", json!({}), nothing.clone(), ""),
        ("root", "CREATE", "configmaps", "default", nothing.clone(), nothing, ""),
    ];
    let reviews: Vec<Vec<u8>> =
        rows.iter().map(|row| review(row.0, row.1, row.2, row.3, &row.4, &row.5)).collect();
    let Some(called) = called(&reviews) else { return };
    for (row, called) in rows.iter().zip(called) {
        assert_eq!(called.join(" "), row.6, "{row:?}");
    }
}

/// A Namespace is found by whatever the request has of its name.
#[test]
fn a_namespace_cannot_hide_its_name() {
    let generated = |prefix: &str| json!({"metadata": {"generateName": prefix}});
    let nothing = Value::Null;
    #[rustfmt::skip] // a table is read down its columns
    let rows: Vec<(&str, &str, &str, &str, Value, Value, &str)> = vec![
        ("root", "CREATE", "namespaces", "", generated("tn-acme-"), nothing.clone(), "namespaces"),
        ("root", "CREATE", "namespaces", "tn-x", named("tn-x"), nothing.clone(), "namespaces"),
        ("root", "UPDATE", "namespaces/status", "tn-x", named("tn-x"), named("tn-x"), "namespaces"),
        ("kcm/namespace-controller", "UPDATE", "namespaces/finalize", "tn-x", named("tn-x"), named("tn-x"), "namespaces"),
        ("root", "DELETE", "namespaces", "tn-x", nothing.clone(), named("tn-x"), "namespaces"),
        ("root", "DELETE", "namespaces", "", nothing.clone(), named("tn-x"), "namespaces"),
        ("root", "CREATE", "namespaces", "", generated("team-"), nothing.clone(), ""),
        ("root", "CREATE", "namespaces", "team", named("team"), nothing.clone(), ""),
        ("root", "DELETE", "namespaces", "team", nothing.clone(), named("team"), ""),
        ("no-groups", "CREATE", "namespaces", "team", json!({}), nothing.clone(), ""),
        ("acme-dev", "CREATE", "namespaces", "", generated("team-"), nothing.clone(), "namespaces cluster-writes"),
        ("acme-dev", "UPDATE", "namespaces", "default", named("default"), named("default"), "namespaces cluster-writes"),
        ("acme-sa", "UPDATE", "namespaces", "default", named("default"), named("default"), "namespaces cluster-writes"),
        ("acme-root", "UPDATE", "namespaces", "default", named("default"), named("default"), "cluster-writes"),
    ];
    let reviews: Vec<Vec<u8>> =
        rows.iter().map(|row| review(row.0, row.1, row.2, row.3, &row.4, &row.5)).collect();
    let Some(called) = called(&reviews) else { return };
    for (row, called) in rows.iter().zip(called) {
        assert_eq!(called.join(" "), row.6, "{row:?}");
    }
}

/// Skipping equals allowing, for each pair of who and what that a condition leaves out.
#[test]
fn what_is_skipped_the_law_allows() {
    let people = people();
    let cast: Vec<&str> = people
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("kcm/") || name.starts_with("node/"))
        .collect();
    let upkeep = [
        "endpoints",
        "endpointslices.discovery.k8s.io",
        "events",
        "events.events.k8s.io",
        "leases.coordination.k8s.io",
        "pods/status",
        "deployments.apps/status",
        "jobs.batch/status",
        "services/status",
        "widgets.example.com/status",
    ];
    let mut reviews = Vec::new();
    for who in &cast {
        for resource in upkeep {
            for namespace in
                ["tn-acme-shop-app-frontend", SANDBOX, "tn-hooli-search-sbx-001", "tn-not-in-the-ledger"]
            {
                let object = json!({"apiVersion": "v1", "kind": "Any", "metadata": {"name": "x", "namespace": namespace}});
                reviews.push(review(who, "CREATE", resource, namespace, &object, &Value::Null));
                reviews.push(review(who, "UPDATE", resource, namespace, &object, &object));
                reviews.push(review(who, "DELETE", resource, namespace, &Value::Null, &object));
            }
        }
    }
    let (law, world) = (law(), world());
    for review in &reviews {
        let verdict = Answer::read(&answer(&law, &world, Endpoint::Validate, review)).unwrap();
        assert_eq!(
            verdict.verdict(),
            Word::Allow,
            "{}: {}",
            String::from_utf8_lossy(review),
            verdict.message()
        );
    }
    let Some(called) = called(&reviews) else { return };
    for (review, called) in reviews.iter().zip(called) {
        assert!(called.is_empty(), "{called:?} for {}", String::from_utf8_lossy(review));
    }
}

/// Whatever a law denies in any case is sent to the gate in the first place, but for what no webhook is shown.
#[test]
fn every_denial_is_asked_for() {
    let (law, world) = (law(), world());
    let mut all = cases(&root().join("tests/cases"));
    all.extend(cases(&root().join("policies")));
    all.retain(|case| {
        !String::from_utf8_lossy(&case.body).contains(r#""group":"admissionregistration.k8s.io""#)
    });
    let denied: Vec<_> = all
        .into_iter()
        .filter(|case| case.endpoint == Endpoint::Validate && case.expect.verdict == Word::Deny)
        .filter(|case| {
            Answer::read(&answer(&law, &world, case.endpoint, &case.body))
                .is_ok_and(|said| said.verdict() == Word::Deny)
        })
        .collect();
    assert!(denied.len() > 100);
    let reviews: Vec<Vec<u8>> = denied.iter().map(|case| case.body.clone()).collect();
    let Some(called) = called(&reviews) else { return };
    let missed: Vec<&str> = denied
        .iter()
        .zip(called)
        .filter(|(_, called)| !called.iter().any(|name| name != "defaults"))
        .map(|(case, _)| case.id.as_str())
        .collect();
    assert!(missed.is_empty(), "denied, and never sent: {missed:?}");
}
