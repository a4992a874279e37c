//! The usual controllers, as docs/operations.md tells operators to name them: what each does passes, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_admission::kinds;
use portcullis_admission::{Endpoint, Outcome, PreparedSnapshot};
use portcullis_policy::PolicySet;
use portcullis_tenancy::resource::Pattern;
use portcullis_tenancy::snapshot::Snapshot;
use serde::Deserialize;
use serde_json::{Value, json};

use super::judge;
use crate::support::{law, root};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Does {
    writes: Vec<String>,
    not: Vec<String>,
    events: Events,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    yes: Vec<String>,
    no: Vec<String>,
}

/// A row of the table: the controller, its username, its `writes`.
struct Row {
    name: String,
    username: String,
    writes: Vec<String>,
}

fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).map(|text| text.trim_matches('"'))
}

fn table() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| controller | username |")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [name, username, writes] = cells.try_into().unwrap();
            let username = code(username).find(|text| text.starts_with("system:")).unwrap();
            // What stands behind a semicolon is for some installations.
            let writes = writes.split(';').next().unwrap();
            Row {
                name: name.to_owned(),
                username: username.replace("NAMESPACE", "csi-system"),
                writes: code(writes)
                    .filter(|text| Pattern::parse(text).is_ok() && !is_prose(text))
                    .map(str::to_owned)
                    .collect(),
            }
        })
        .collect()
}

/// Names of settings that read as resources.
fn is_prose(text: &str) -> bool {
    ["writers", "velero"].contains(&text)
}

/// The example tenancy, with all of them.
fn tenancy(rows: &[Row]) -> PreparedSnapshot {
    let text = std::fs::read_to_string(root().join("tests/cases/example-tenancy.yaml")).unwrap();
    let mut document: Value = serde_saphyr::from_str(&text).unwrap();
    let identities = document["settings"]["identities"].as_array_mut().unwrap();
    identities.retain(|identity| identity["class"] != "controller");
    identities.extend(rows.iter().enumerate().map(|(at, row)| {
        let mut identity =
            json!({"name": format!("c{at}"), "class": "controller", "username": row.username, "writes": row.writes});
        if let Some(namespace) = namespace_of(&row.username) {
            identity["group"] = format!("system:serviceaccounts:{namespace}").into();
        }
        identity
    }));
    PreparedSnapshot::new(Arc::new(Snapshot::of("the example tenancy", document).unwrap()))
}

/// The namespace of a service account.
fn namespace_of(username: &str) -> Option<&str> {
    username.strip_prefix("system:serviceaccount:")?.split_once(':').map(|(namespace, _)| namespace)
}

fn groups_of(username: &str) -> Vec<String> {
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some(namespace) = namespace_of(username) {
        groups.extend(["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]);
    }
    groups
}

/// What a controller asks about an object; `kind` in the form `Deployment.apps`.
struct Ask<'a> {
    username: &'a str,
    namespace: &'a str,
    operation: &'a str,
    resource: &'a str,
    object: Value,
    /// What an UPDATE or a DELETE finds.
    before: Value,
}

impl Ask<'_> {
    fn passes(&self, law: &PolicySet, world: &PreparedSnapshot) -> bool {
        let (whole, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let (resource, group) = whole.split_once('.').unwrap_or((whole, ""));
        let (api_version, kind) =
            (self.object["apiVersion"].as_str().unwrap(), self.object["kind"].as_str().unwrap());
        let (of_kind, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let sent = |wanted: bool, object: &Value| if wanted { object.clone() } else { Value::Null };
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"group": of_kind, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": resource}, "subResource": subresource,
            "namespace": self.namespace, "name": self.object["metadata"]["name"], "operation": self.operation,
            "userInfo": {"username": self.username, "groups": groups_of(self.username)},
            "object": sent(self.operation != "DELETE", &self.object),
            "oldObject": sent(self.operation != "CREATE", &self.before)}});
        let verdict = judge(law, world, Endpoint::Validate, body.to_string().as_bytes()).unwrap();
        assert!(verdict.failures.is_empty(), "{}: {:?}", self.resource, verdict.failures);
        verdict.outcome() == Outcome::Allow
    }
}

fn object(api_version: &str, kind: &str, namespace: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": namespace}})
}

/// The apiVersion and the kind of what is sent to a resource.
fn kind_of(notation: &str) -> (String, &'static str) {
    let resource = kinds::parse(notation);
    let own = kinds::kind_of(&resource.group, &resource.resource).unwrap_or("Thing");
    let (group, kind) =
        kinds::options(&resource).map_or((resource.group.as_str(), own), |(group, kind, _)| (group, kind));
    (if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") }, kind)
}

/// An Event of either API about a kind.
fn event(about: &str, namespace: &str, new: bool) -> (&'static str, Value) {
    let (kind, group) = about.split_once('.').unwrap_or((about, ""));
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    let of = json!({"apiVersion": version, "kind": kind, "name": "x", "namespace": namespace});
    let (resource, version, field) = if new {
        ("events.events.k8s.io", "events.k8s.io/v1", "regarding")
    } else {
        ("events", "v1", "involvedObject")
    };
    let mut event = object(version, "Event", namespace);
    event[field] = of;
    (resource, event)
}

#[test]
fn each_usual_controller_writes_what_it_has_to_and_nothing_else() {
    let (law, rows) = (law(), table());
    let world = tenancy(&rows);
    let text = std::fs::read_to_string(root().join("tests/it/laws/controllers.yaml")).unwrap();
    let does: BTreeMap<String, Does> = serde_saphyr::from_str(&text).unwrap();
    let named: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert!(named.len() >= 15 && named.len() == does.len(), "{named:?}");
    let mut wrong = Vec::new();
    for row in &rows {
        let does = does.get(&row.name).unwrap_or_else(|| panic!("controllers.yaml lacks {}", row.name));
        for namespace in ["tn-acme-shop-app-frontend", "tn-acme-shop-sbx-001"] {
            let mut check = |operation: &str, resource: &str, object: Value, right: bool, about: &str| {
                let before = object.clone();
                let ask = Ask { username: &row.username, namespace, operation, resource, object, before };
                if ask.passes(&law, &world) != right {
                    wrong.push(format!(
                        "{} {operation} {resource} {about} in {namespace}: right is {right}",
                        row.name
                    ));
                }
            };
            for (resources, right) in [(&does.writes, true), (&does.not, false)] {
                for resource in resources.iter().filter(|resource| *resource != "events") {
                    let (version, kind) = kind_of(resource);
                    let operation = match resource.split_once('/') {
                        None => "DELETE",
                        Some((_, "exec")) => "CONNECT",
                        Some((_, "eviction")) => "CREATE",
                        Some(_) => "UPDATE",
                    };
                    check(operation, resource, object(&version, kind, namespace), right, "");
                }
            }
            for (kinds, right) in [(&does.events.yes, true), (&does.events.no, false)] {
                for kind in kinds {
                    // One that names `events` names one of the two APIs.
                    let apis: &[bool] = if does.writes.iter().any(|known| known == "events") {
                        &[false]
                    } else {
                        &[false, true]
                    };
                    for new in apis {
                        let (resource, event) = event(kind, namespace, *new);
                        check("CREATE", resource, event, right, kind);
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn allocator_of_openshift_annotates_tenant_namespaces_and_labels_none() {
    let (law, rows) = (law(), table());
    let world = tenancy(&rows);
    let row = rows.iter().find(|row| row.name == "OpenShift's SCC allocator").unwrap();
    let name = "tn-acme-shop-sbx-001";
    for (part, key, right) in [
        ("annotations", "openshift.io/sa.scc.uid-range", true),
        ("labels", "pod-security.kubernetes.io/enforce", false),
        ("labels", "kubenova.io/tenant-id", false),
    ] {
        let old = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let mut new = old.clone();
        new["metadata"][part] = json!({ key: "x" });
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Namespace"},
            "resource": {"group": "", "version": "v1", "resource": "namespaces"}, "namespace": name, "name": name,
            "operation": "UPDATE", "userInfo": {"username": row.username, "groups": groups_of(&row.username)},
            "object": new, "oldObject": old}});
        let verdict = judge(&law, &world, Endpoint::Validate, body.to_string().as_bytes()).unwrap();
        assert_eq!(verdict.outcome() == Outcome::Allow, right, "{key}: {:?}", verdict.denials);
    }
}

/// Whether one of the usual controllers may write an object into a sandbox, by CREATE where it was not there before.
fn may(controller: &str, resource: &str, object: &Value, before: Value) -> bool {
    let rows = table();
    let row = rows.iter().find(|row| row.name == controller).unwrap();
    let operation = if before.is_null() { "CREATE" } else { "UPDATE" };
    let (username, namespace) = (row.username.as_str(), "tn-acme-shop-sbx-001");
    let ask = Ask { username, namespace, operation, resource, object: object.clone(), before };
    ask.passes(&law(), &tenancy(&rows))
}

#[test]
fn a_controller_of_everything_does_not_name_controller_revisions() {
    let revision = object("apps/v1", "ControllerRevision", "tn-acme-shop-sbx-001");
    let deployment = object("apps/v1", "Deployment", "tn-acme-shop-sbx-001");
    assert!(!may("Velero", "controllerrevisions.apps", &revision, Value::Null));
    assert!(!may("Velero", "controllerrevisions.apps", &revision, revision.clone()));
    assert!(may("Velero", "deployments.apps", &deployment, Value::Null));
    assert!(may("Velero", "deployments.apps/status", &deployment, deployment.clone()));
    assert!(!may("Velero", "deployments.apps/scale", &object("autoscaling/v1", "Scale", ""), json!({})));
}

#[test]
fn istio_cni_says_on_a_pod_that_it_redirects_it() {
    let plain = object("v1", "Pod", "tn-acme-shop-sbx-001");
    let with = |part: &str, key: &str, value: &str| {
        let mut pod = plain.clone();
        pod["metadata"][part] = json!({key: value});
        pod
    };
    let enabled = with("annotations", "ambient.istio.io/redirection", "enabled");
    let pending = with("annotations", "ambient.istio.io/redirection", "pending");
    let broken = with("labels", "cni.istio.io/uninitialized", "true");
    for (now, before) in [(&pending, &plain), (&enabled, &pending), (&plain, &enabled), (&broken, &plain)] {
        assert!(may("Istio CNI", "pods/status", now, before.clone()), "{now} {before}");
    }
    let reserved = with("annotations", "sidecar.istio.io/proxyImage", "evil.io/x");
    assert!(!may("Istio CNI", "pods/status", &reserved, plain.clone()));
    assert!(!may("Istio CNI", "pods", &enabled, plain.clone()));
}

#[test]
fn istiod_makes_the_deployment_of_a_gateway_or_waypoint() {
    let deployment = |image: &str, inject: &str| {
        let mut deployment = object("apps/v1", "Deployment", "tn-acme-shop-sbx-001");
        deployment["spec"] = json!({"template": {
            "metadata": {"labels": {
                "sidecar.istio.io/inject": inject, "istio.io/dataplane-mode": "none",
                "gateway.networking.k8s.io/gateway-name": "waypoint", "gateway.istio.io/managed": "istio.io-mesh-controller",
            }, "annotations": {"istio.io/rev": "default"}},
            "spec": {"containers": [{"name": "istio-proxy", "image": image}]}}});
        deployment
    };
    assert!(may(
        "Istio",
        "deployments.apps",
        &deployment("docker.io/istio/proxyv2:1.29.0", "false"),
        Value::Null
    ));
    assert!(!may(
        "Istio",
        "deployments.apps",
        &deployment("docker.io/library/proxyv2:1", "false"),
        Value::Null
    ));
    assert!(!may(
        "Istio",
        "deployments.apps",
        &deployment("docker.io/istio/proxyv2:1.29.0", "true"),
        Value::Null
    ));
}
