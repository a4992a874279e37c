use serde_json::{Value as Json, json};

use super::*;
use crate::admission::Endpoint;
use crate::admission::input::json as as_json;
use crate::admission::tests::review;

fn told(resource: &str, object: &Json, old: &Json) -> Vec<(String, Json, Json)> {
    let review = review(Endpoint::Validate, "UPDATE", resource, object, old);
    let Json::Array(told) = as_json(&value(&review).unwrap()) else { panic!() };
    let text = |entry: &Json| entry["field"].as_str().unwrap().to_owned();
    told.iter().map(|entry| (text(entry), entry["entries"].clone(), entry["old"].clone())).collect()
}

#[test]
fn maps_are_found_wherever_they_stand_in_a_custom_resource() {
    let object = json!({
        "metadata": {"labels": {"own": "1"}},
        "spec": {
            "template": {"metadata": {"labels": {"a": "1"}}},
            "secretTemplate": {"Annotations": {"b": "1"}},
            "solvers": [{"http01": {"podTemplate": {"metadata": {"annotations": {"c": "1"}}}}}],
            "selector": {"labels": {"selected": "1"}},
            "workloadSelector": {"labels": {"selected": "1"}},
            "labels": ["a list"],
        },
    });
    let fields: Vec<String> =
        told("rollouts.argoproj.io", &object, &json!({})).into_iter().map(|(field, ..)| field).collect();
    assert_eq!(
        fields,
        [
            "spec.secretTemplate.Annotations",
            "spec.solvers[0].http01.podTemplate.metadata.annotations",
            "spec.template.metadata.labels"
        ]
    );
}

#[test]
fn what_was_there_before_stands_beside_it() {
    let with = |labels: Json| json!({"spec": {"metadata": {"labels": labels}}});
    let kind = "resourceclaimtemplates.resource.k8s.io";
    let field = "spec.metadata.labels".to_owned();
    assert_eq!(
        told(kind, &with(json!({"a": "2"})), &with(json!({"a": "1"}))),
        [(field.clone(), json!({"a": "2"}), json!({"a": "1"}))]
    );
    assert_eq!(told(kind, &json!({}), &with(json!({"a": "1"}))), [(field, json!({}), json!({"a": "1"}))]);
}

#[test]
fn the_kinds_of_kubernetes_are_not_searched() {
    let object = json!({"spec": {"template": {"metadata": {"labels": {"a": "1"}}}}});
    for kind in ["configmaps", "deployments.apps", "networkpolicies.networking.k8s.io"] {
        assert_eq!(told(kind, &object, &json!({})), []);
    }
    assert_eq!(told("gateways.gateway.networking.k8s.io", &object, &json!({})).len(), 1);
}

#[test]
fn more_maps_than_can_be_told_are_an_error() {
    let many: Vec<Json> = (0..2000).map(|_| json!({"labels": {"a": "1"}})).collect();
    let review =
        review(Endpoint::Validate, "CREATE", "rollouts.argoproj.io", &json!({"spec": many}), &Json::Null);
    let said = value(&review).unwrap_err().to_string();
    assert!(said.ends_with("is one more map of labels or annotations, not among the first 1000"), "{said}");
}

#[test]
fn a_map_is_found_however_deep_and_holds_texts_alone() {
    let mut object = json!({"labels": {"a": "1", "b": {"labels": {"c": "2"}}, "d": 3}});
    for _ in 0..300 {
        object = json!({"x": object});
    }
    let told = told("widgets.example.com", &json!({"spec": object}), &json!({}));
    let entries: Vec<&Json> = told.iter().map(|(_, entries, _)| entries).collect();
    assert_eq!(entries, [&json!({"a": "1"}), &json!({"c": "2"})]);
}

#[test]
fn a_path_has_a_bound() {
    let review = review(
        Endpoint::Validate,
        "CREATE",
        "widgets.example.com",
        &json!({"spec": {"k".repeat(5000): {"labels": {"a": "1"}}}}),
        &Json::Null,
    );
    assert!(value(&review).unwrap_err().to_string().ends_with("not within a path of 4096 bytes"));
}

#[test]
fn finalizers_and_owners_of_a_template_are_maps_too() {
    let kind = "certificates.cert-manager.io";
    let object = json!({"spec": {"secretTemplate": {"metadata": {
        "finalizers": ["kubenova.io/hold", 7, "example.com/mine"],
        "ownerReferences": [
            {"apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "name": "b", "uid": "7"},
            {"apiVersion": "core.oam.dev/v1beta1", "kind": "Application", "name": "a"},
            {"kind": "Pod"}, "x",
        ],
    }}, "finalizers": {"a": "b"}, "ownerReferences": "x"}});
    let fields = told(kind, &object, &json!({}));
    let at = |name: &str| format!("spec.secretTemplate.metadata.{name}");
    assert_eq!(
        fields,
        [
            (at("finalizers"), json!({"kubenova.io/hold": "", "example.com/mine": ""}), json!({})),
            (
                at("ownerReferences"),
                json!({"core.oam.dev/v1beta1 Application a": "", "core.oam.dev/v1beta1 Application b 7": "", " Pod": "", "": ""}),
                json!({})
            ),
        ]
    );
}

#[test]
fn a_map_is_found_by_the_end_of_its_name() {
    let labels = json!({"a": "1"});
    let object = json!({"spec": {
        "podLabels": labels, "podAnnotations": labels, "podMetadata": {"labels": labels}, "pod_labels": labels,
        "inheritedMetadata": {"annotations": labels}, "jobTargetRef": {"template": {"metadata": {"labels": labels}}},
        "fromEndpoints": [{"matchLabels": labels}], "podSelector": {"matchLabels": labels}, "labelsText": labels,
        "pod": {"extraLabels": [{"name": "a", "value": "1"}, {"key": "b", "value": "2"}, {"name": "c"}, "d"], "labelſ": labels},
    }});
    let told = told("clusters.example.com", &object, &json!({}));
    assert_eq!(
        told.iter().find(|(field, ..)| field.ends_with("extraLabels")).unwrap().1,
        json!({"a": "1", "b": "2"})
    );
    let fields: Vec<&str> = told.iter().map(|(field, ..)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.inheritedMetadata.annotations",
            "spec.jobTargetRef.template.metadata.labels",
            "spec.pod.extraLabels",
            "spec.pod.labelſ",
            "spec.podAnnotations",
            "spec.podLabels",
            "spec.podMetadata.labels",
            "spec.pod_labels",
        ]
    );
}

#[test]
fn a_map_at_the_top_is_found() {
    let labels = json!({"a": "1"});
    let object = json!({
        "metadata": {"labels": labels}, "Metadata": {"labels": labels}, "podLabels": labels, "finalizers": ["a"],
        "podSelector": {"labels": labels},
    });
    let told = told("widgets.example.com", &object, &json!({}));
    let fields: Vec<&str> = told.iter().map(|(field, ..)| field.as_str()).collect();
    assert_eq!(fields, ["Metadata.labels", "finalizers", "podLabels"]);
}

#[test]
fn an_object_as_deep_as_kubernetes_reads_is_searched() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(9_900), "}".repeat(9_900));
    let body = format!(
        r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u",
        "resource": {{"group": "example.com", "version": "v1", "resource": "things"}}, "operation": "CREATE",
        "object": {{"podLabels": {{"a": "1"}}, "spec": {deep}}}}}}}"#
    );
    let nothing = |_: &Header| std::sync::Arc::default();
    let review =
        super::super::review::decode(body.into_bytes().into(), Endpoint::Validate, &nothing).unwrap();
    assert_eq!(as_json(&value(&review).unwrap())[0]["field"], "podLabels");
}
