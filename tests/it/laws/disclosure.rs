//! What a person of another tenant reads when a write is refused.

use portcullis_admission::{Endpoint, PreparedSnapshot};
use portcullis_policy::PolicySet;
use serde_json::{Value as Json, json};

use crate::support::{answer, cases, law, root, world};

/// The ids of the example tenancy begin so.
const ID: &str = "018f2b7c-0000-7000-8000-";

const ACME_TENANT: &str = "018f2b7c-0000-7000-8000-000000000001";

/// Denials to people of a tenant that owns nothing there, of whatever the cases write into the tenants' namespaces.
#[test]
fn foreign_tenant_reads_no_id() {
    let (law, world) = (law(), world());
    let (mut told, mut denied) = (Vec::new(), 0);
    let all = cases(&root().join("tests/cases"));
    for case in &all {
        let Ok(mut body) = serde_json::from_slice::<Json>(&case.body) else { continue };
        let request = &body["request"];
        let text = |key: &str| request[key].as_str().unwrap_or_default();
        let namespace = if request["resource"]["resource"] == "namespaces" && !text("name").is_empty() {
            text("name")
        } else {
            text("namespace")
        };
        if !["tn-acme-", "tn-globex-"].iter().any(|start| namespace.starts_with(start)) {
            continue;
        }
        body["request"]["userInfo"] =
            json!({"username": "carol@initech.io", "groups": ["initech-devs", "system:authenticated"]});
        let answer = answer(&law, &world, case.endpoint, &serde_json::to_vec(&body).unwrap());
        let mut answer: Json = serde_json::from_slice(&answer).unwrap();
        answer["response"]["uid"] = Json::Null;
        if answer["response"]["status"]["code"] == 403 {
            denied += 1;
        }
        if answer.to_string().contains(ID) {
            told.push(format!("{}: {}", case.id, answer["response"]["status"]["message"]));
        }
    }
    assert!(denied > 500, "only {denied} denials");
    assert!(told.is_empty(), "{} of {denied}:\n{}", told.len(), told.join("\n"));
}

fn namespace_write(
    gate: &(PolicySet, PreparedSnapshot),
    who: &str,
    name: &str,
    old: Option<&Json>,
) -> String {
    let object = |labels: &Json| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    let group = who.split('-').next().unwrap_or_default();
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Namespace"},
        "resource": {"group": "", "version": "v1", "resource": "namespaces"},
        "name": name, "namespace": name, "operation": if old.is_some() { "UPDATE" } else { "CREATE" },
        "userInfo": {"username": format!("{who}@example.com"), "groups": [format!("{group}-devs")]},
        "object": object(&json!({"kubenova.io/tenant-id": "x"})), "oldObject": old.map(object),
    }});
    let answer = answer(&gate.0, &gate.1, Endpoint::Validate, body.to_string().as_bytes());
    let answer: Json = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["response"]["status"]["code"], 403, "{answer}");
    answer["response"]["status"].to_string()
}

#[test]
fn refusal_of_a_namespace_tells_its_own_tenant_alone_what_it_is() {
    let gate = (law(), world());
    let old = json!({"kubenova.io/project-id": "old-project"});
    for (name, old, secret) in [
        ("tn-acme-shop-app-frontend", None, ACME_TENANT),
        ("tn-acme-shop-app-frontend", Some(&old), "old-project"),
        ("tn-acme-shop-sbx-777", Some(&old), "old-project"),
    ] {
        let own = namespace_write(&gate, "acme-dev", name, old);
        assert!(own.contains(secret) && own.contains("platform alone"), "{own}");
        for who in ["globex-dev", "nobody-dev"] {
            let foreign = namespace_write(&gate, who, name, old);
            assert!(!foreign.contains(secret) && foreign.contains("platform alone"), "{foreign}");
        }
    }
}
