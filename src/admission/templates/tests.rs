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
