use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::tests::{NAMESPACE, law};
use crate::{Endpoint, Facts, Outcome, World, decide, review};
use portcullis_policy::Budget;
use portcullis_policy::select::Wanted;
use portcullis_tenancy::example;

const ID: &str = "018f2b7c-0000-7000-8000-0000000000e1";

/// Whether an exemption for Alice lifts what is found of an object that a controller writes.
fn lifted(objects: &Json, who: &str, resource: &str, metadata: &Json) -> bool {
    let exception = json!({"policy": "never", "subjects": ["alice@acme.io"], "objects": [objects], "expires": "2031-01-01T00:00:00Z"});
    let (snapshot, _) =
        example::snapshot().unwrap().apply(&json!({"exceptions": {ID: exception}}), 43).unwrap();
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let accounts = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];
    let (user, groups) = if who.contains('@') {
        (who.to_owned(), json!(["acme-devs", "system:authenticated"]))
    } else if who.starts_with("system:") {
        (who.to_owned(), json!(["system:authenticated"]))
    } else {
        (format!("system:serviceaccount:kube-system:{who}"), json!(accounts))
    };
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "resource": {"group": group, "version": "v1", "resource": resource}, "namespace": NAMESPACE,
        "operation": "CREATE", "userInfo": {"username": user, "groups": groups},
        "object": {"metadata": metadata}}});
    let body = serde_json::to_vec(&body).unwrap().into();
    let review = review::decode(body, Endpoint::Validate, &|_| Wanted::everything()).unwrap();
    let facts = Facts::gather(
        &World::new(Arc::new(snapshot)),
        &review,
        "d-1".to_owned(),
        "2030-01-01T00:00:00Z".to_owned(),
    );
    let law = law(&[("never", "deny contains \"never\" if input.request.operation == \"CREATE\"")]);
    decide(&law, &facts.unwrap(), &review, Budget::default()).outcome() == Outcome::Allow
}

fn owned(api_version: &str, kind: &str, name: &str) -> Json {
    json!({"name": "x", "labels": {"pod-template-hash": "5d9c"},
        "ownerReferences": [{"apiVersion": api_version, "kind": kind, "name": name, "uid": "1", "controller": true}]})
}

#[test]
fn what_the_controllers_make_is_exempt_with_what_they_make_it_of() {
    let here = json!({"namespace": NAMESPACE});
    let deployment = json!({"namespace": NAMESPACE, "resource": "deployments.apps", "name": "web"});
    let replica_set = owned("apps/v1", "ReplicaSet", "web-5d9c");
    for (objects, who, resource, metadata, expected) in [
        (&here, "deployment-controller", "replicasets.apps", owned("apps/v1", "Deployment", "web"), true),
        (&here, "replicaset-controller", "pods", replica_set.clone(), true),
        (&here, "replicaset-controller", "pods", json!({"name": "x"}), true),
        (
            &deployment,
            "deployment-controller",
            "replicasets.apps",
            owned("apps/v1", "Deployment", "web"),
            true,
        ),
        (
            &deployment,
            "deployment-controller",
            "replicasets.apps",
            owned("apps/v1", "Deployment", "other"),
            false,
        ),
        (&deployment, "replicaset-controller", "pods", replica_set.clone(), true),
        (
            &deployment,
            "replicaset-controller",
            "pods",
            owned("apps/v1", "ReplicaSet", "web-other-5d9c"),
            false,
        ),
        (&deployment, "replicaset-controller", "pods", owned("apps/v1", "ReplicaSet", "web-1234"), false),
        (&deployment, "replicaset-controller", "pods", json!({"name": "x"}), false),
        // Others in kube-system make what nobody judged under a person's name.
        (&here, "clusterrole-aggregation-controller", "pods", replica_set.clone(), false),
        (&here, "replicaset-controller", "configmaps", replica_set.clone(), false),
        (&json!({"namespace": "tn-acme-shop-sbx-002"}), "replicaset-controller", "pods", replica_set, false),
    ] {
        assert_eq!(
            lifted(objects, who, resource, &metadata),
            expected,
            "{objects} {who} {resource} {metadata}"
        );
    }
}

#[test]
fn a_person_does_not_use_the_exemption_of_another_by_an_owner() {
    let here = json!({"namespace": NAMESPACE});
    let deployment = json!({"namespace": NAMESPACE, "resource": "deployments.apps", "name": "web"});
    let set = owned("apps/v1", "Deployment", "web");
    let mut pod = owned("apps/v1", "ReplicaSet", "web-5d9c");
    for who in [
        "bob@acme.io",
        "system:serviceaccount:tn-acme-shop-sbx-001:replicaset-controller",
        "system:serviceaccount:tn-acme-shop-sbx-001:deployment-controller",
    ] {
        for objects in [&here, &deployment] {
            assert!(!lifted(objects, who, "replicasets.apps", &set), "{who} {objects}");
            assert!(!lifted(objects, who, "pods", &pod), "{who} {objects}");
        }
    }
    // Its author is exempt for the Deployment, and not for what its author makes below it.
    assert!(!lifted(&deployment, "alice@acme.io", "replicasets.apps", &set));
    assert!(!lifted(&deployment, "alice@acme.io", "pods", &pod));
    assert!(lifted(&deployment, "replicaset-controller", "pods", &pod));
    pod["labels"] = json!({});
    assert!(!lifted(&deployment, "replicaset-controller", "pods", &pod), "without the hash");
    pod["labels"] = json!({"pod-template-hash": "5d9c"});
    pod["ownerReferences"][0]["controller"] = json!(false);
    assert!(!lifted(&deployment, "replicaset-controller", "pods", &pod), "an owner that does not control");
}

#[test]
fn a_pod_of_a_cron_job_leads_to_it() {
    let cron = json!({"resource": "cronjobs.batch", "name": "nightly"});
    assert!(lifted(&cron, "job-controller", "pods", &owned("batch/v1", "Job", "nightly-29123456")));
    assert!(lifted(&cron, "cronjob-controller", "jobs.batch", &owned("batch/v1", "CronJob", "nightly")));
    assert!(!lifted(&cron, "job-controller", "pods", &owned("batch/v1", "Job", "nightly-x")));
    assert!(!lifted(&cron, "job-controller", "pods", &owned("example.com/v1", "Job", "nightly-1")));
    let job = json!({"resource": "jobs.batch", "name": "nightly-fix"});
    assert!(lifted(&job, "job-controller", "pods", &owned("batch/v1", "Job", "nightly-fix")));
    assert!(!lifted(&job, "job-controller", "pods", &owned("batch/v1", "Job", "nightly-29123456")));
}

#[test]
fn the_name_that_all_controllers_share_is_followed_by_the_owner() {
    let here = json!({"namespace": NAMESPACE});
    let deployment = json!({"namespace": NAMESPACE, "resource": "deployments.apps", "name": "web"});
    let replica_set = owned("apps/v1", "ReplicaSet", "web-5d9c");
    let set = owned("apps/v1", "Deployment", "web");
    let shared = "system:kube-controller-manager";
    for (objects, who, resource, metadata, expected) in [
        (&deployment, shared, "replicasets.apps", &set, true),
        (&deployment, shared, "pods", &replica_set, true),
        (&here, shared, "pods", &replica_set, true),
        (&deployment, shared, "pods", &owned("apps/v1", "ReplicaSet", "other-5d9c"), false),
        // No controller makes these of such an owner.
        (&here, shared, "pods", &set, false),
        (&here, shared, "replicasets.apps", &replica_set, false),
        (&here, shared, "jobs.batch", &set, false),
        (&here, shared, "pods", &json!({"name": "x"}), false),
        (&here, shared, "pods", &owned("evil.io/v1", "ReplicaSet", "web-5d9c"), false),
        (&here, shared, "configmaps", &set, false),
        (&here, "system:kube-scheduler", "pods", &replica_set, false),
        (&here, "system:apiserver", "pods", &replica_set, false),
    ] {
        let found = lifted(objects, who, resource, metadata);
        assert_eq!(found, expected, "{objects} {who} {resource} {metadata}");
    }
}

#[test]
fn names_that_no_controller_writes_lead_nowhere() {
    let deployment = json!({"resource": "deployments.apps", "name": "web"});
    let cron = json!({"resource": "cronjobs.batch", "name": "nightly"});
    let pod_of = |hash: &str| {
        let mut metadata = owned("apps/v1", "ReplicaSet", &format!("web-{hash}"));
        metadata["labels"]["pod-template-hash"] = json!(hash);
        lifted(&deployment, "replicaset-controller", "pods", &metadata)
    };
    assert!(pod_of("6b7f4d8c9"));
    for hash in ["abc", "", "b-c", "bbbbbbbbbbb", "B4"] {
        assert!(!pod_of(hash), "{hash}");
    }
    for name in ["nightly-1", "nightly-291234567", "nightly-2912345x", "-29123456"] {
        assert!(!lifted(&cron, "job-controller", "pods", &owned("batch/v1", "Job", name)), "{name}");
    }
}

#[test]
fn two_owners_in_control_lead_nowhere() {
    let deployment = json!({"namespace": NAMESPACE, "resource": "deployments.apps", "name": "web"});
    let mut both = owned("apps/v1", "Deployment", "other");
    let second = owned("apps/v1", "Deployment", "web")["ownerReferences"][0].clone();
    both["ownerReferences"].as_array_mut().unwrap().push(second.clone());
    for who in ["deployment-controller", "system:kube-controller-manager"] {
        assert!(!lifted(&deployment, who, "replicasets.apps", &both), "{who}");
    }
    both["ownerReferences"][0]["controller"] = json!(false);
    assert!(lifted(&deployment, "deployment-controller", "replicasets.apps", &both));
}
