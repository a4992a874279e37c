//! The usual controllers, as docs/operations.md tells operators to name them: what each does passes, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis::admission::{Endpoint, Outcome, World};
use portcullis::policy::PolicySet;
use portcullis::tenancy::resource::Pattern;
use portcullis::tenancy::snapshot::Snapshot;
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
fn tenancy(rows: &[Row]) -> World {
    let text = std::fs::read_to_string(root().join("tests/cases/world.yaml")).unwrap();
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
    World::new(Arc::new(Snapshot::of("the example tenancy", document).unwrap()))
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
}

impl Ask<'_> {
    fn passes(&self, law: &PolicySet, world: &World) -> bool {
        let (whole, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let (resource, group) = whole.split_once('.').unwrap_or((whole, ""));
        let (api_version, kind) =
            (self.object["apiVersion"].as_str().unwrap(), self.object["kind"].as_str().unwrap());
        let (of_kind, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let sent = |wanted: bool| if wanted { self.object.clone() } else { Value::Null };
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"group": of_kind, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": resource}, "subResource": subresource,
            "namespace": self.namespace, "name": self.object["metadata"]["name"], "operation": self.operation,
            "userInfo": {"username": self.username, "groups": groups_of(self.username)},
            "object": sent(self.operation != "DELETE"), "oldObject": sent(self.operation != "CREATE")}});
        let verdict = judge(law, world, Endpoint::Validate, body.to_string().as_bytes()).unwrap();
        assert!(verdict.failures.is_empty(), "{}: {:?}", self.resource, verdict.failures);
        verdict.outcome() == Outcome::Allow
    }
}

fn object(api_version: &str, kind: &str, namespace: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": namespace}})
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
                let ask = Ask { username: &row.username, namespace, operation, resource, object };
                if ask.passes(&law, &world) != right {
                    wrong.push(format!(
                        "{} {operation} {resource} {about} in {namespace}: right is {right}",
                        row.name
                    ));
                }
            };
            for (resources, right) in [(&does.writes, true), (&does.not, false)] {
                for resource in resources.iter().filter(|resource| *resource != "events") {
                    let group =
                        resource.split('/').next().unwrap().split_once('.').map_or("", |(_, group)| group);
                    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
                    let operation = match resource.split_once('/') {
                        None => "DELETE",
                        Some((_, "exec")) => "CONNECT",
                        Some((_, "eviction")) => "CREATE",
                        Some(_) => "UPDATE",
                    };
                    check(operation, resource, object(&version, "Thing", namespace), right, "");
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
