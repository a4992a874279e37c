use serde_json::{Value as Json, json};

use super::*;
use crate::Endpoint;
use crate::input::json as as_json;
use crate::tests::review;

fn templates_of(resource: &str, object: &Json, old: &Json) -> Vec<(String, Json, Json)> {
    let review = review(Endpoint::Validate, "UPDATE", resource, object, old);
    let Json::Array(found) = as_json(&value(&review).unwrap()) else { panic!() };
    let text = |entry: &Json| entry["field"].as_str().unwrap().to_owned();
    found.iter().map(|entry| (text(entry), entry["entries"].clone(), entry["old"].clone())).collect()
}

#[test]
fn maps_are_found_wherever_they_stand_in_a_custom_resource() {
    let object = json!({
        "metadata": {"labels": {"x.io/own": "1"}},
        "spec": {
            "template": {"metadata": {"labels": {"x.io/a": "1"}}},
            "secretTemplate": {"Annotations": {"x.io/b": "1"}},
            "solvers": [{"http01": {"podTemplate": {"metadata": {"annotations": {"x.io/c": "1"}}}}}],
            "selector": {"labels": {"x.io/selected": "1"}},
            "workloadSelector": {"labels": {"x.io/selected": "1"}},
            "labels": ["a list"],
        },
    });
    let fields: Vec<String> = templates_of("rollouts.argoproj.io", &object, &json!({}))
        .into_iter()
        .map(|(field, ..)| field)
        .collect();
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
        templates_of(kind, &with(json!({"x.io/a": "2"})), &with(json!({"x.io/a": "1"}))),
        [(field.clone(), json!({"x.io/a": "2"}), json!({"x.io/a": "1"}))]
    );
    assert_eq!(
        templates_of(kind, &json!({}), &with(json!({"x.io/a": "1"}))),
        [(field, json!({}), json!({"x.io/a": "1"}))]
    );
}

#[test]
fn the_kinds_of_kubernetes_are_not_searched() {
    let object = json!({"spec": {"template": {"metadata": {"labels": {"x.io/a": "1"}}}}});
    for kind in ["configmaps", "deployments.apps", "networkpolicies.networking.k8s.io"] {
        assert_eq!(templates_of(kind, &object, &json!({})), []);
    }
    assert_eq!(templates_of("gateways.gateway.networking.k8s.io", &object, &json!({})).len(), 1);
}

#[test]
fn too_many_maps_are_an_error() {
    let many: Vec<Json> = (0..2000).map(|_| json!({"labels": {"x.io/a": "1"}})).collect();
    let review =
        review(Endpoint::Validate, "CREATE", "rollouts.argoproj.io", &json!({"spec": many}), &Json::Null);
    let said = value(&review).unwrap_err().to_string();
    assert!(said.ends_with("is one more map of labels or annotations, not among the first 1000"), "{said}");
}

#[test]
fn a_map_is_found_however_deep_and_holds_texts_alone() {
    let mut object = json!({"labels": {"x.io/a": "1", "b": {"labels": {"x.io/c": "2"}}, "d": 3}});
    for _ in 0..300 {
        object = json!({"x": object});
    }
    let found = templates_of("widgets.example.com", &json!({"spec": object}), &json!({}));
    let entries: Vec<&Json> = found.iter().map(|(_, entries, _)| entries).collect();
    assert_eq!(entries, [&json!({"x.io/a": "1"}), &json!({"x.io/c": "2"})]);
}

#[test]
fn a_path_has_a_bound() {
    let review = review(
        Endpoint::Validate,
        "CREATE",
        "widgets.example.com",
        &json!({"spec": {"k".repeat(5000): {"labels": {"x.io/a": "1"}}}}),
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
    let fields = templates_of(kind, &object, &json!({}));
    let at = |name: &str| format!("spec.secretTemplate.metadata.{name}");
    assert_eq!(
        fields,
        [
            (at("finalizers"), json!({"kubenova.io/hold": "", "example.com/mine": ""}), json!({})),
            (
                at("ownerReferences"),
                json!({"core.oam.dev/v1beta1 Application a": "", "core.oam.dev/v1beta1 Application b 7": "", " Pod": "", "x": ""}),
                json!({})
            ),
        ]
    );
}

#[test]
fn a_map_is_found_by_the_end_of_its_name() {
    let labels = json!({"x.io/a": "1"});
    let object = json!({"spec": {
        "podLabels": labels, "podAnnotations": labels, "podMetadata": {"labels": labels}, "pod_labels": labels,
        "inheritedMetadata": {"annotations": labels}, "jobTargetRef": {"template": {"metadata": {"labels": labels}}},
        "fromEndpoints": [{"matchLabels": labels}], "podSelector": {"matchLabels": labels}, "podLabelSelectors": labels,
        "pod": {"extraLabels": [{"name": "x.io/a", "value": "1"}, {"key": "b", "value": "2"}, {"name": "c"}, "d"], "labelſ": labels},
    }});
    let found = templates_of("clusters.example.com", &object, &json!({}));
    assert_eq!(
        found.iter().find(|(field, ..)| field.ends_with("extraLabels")).unwrap().1,
        json!({"x.io/a": "1", "b": "2", "c": ""})
    );
    let fields: Vec<&str> = found.iter().map(|(field, ..)| field.as_str()).collect();
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
    let labels = json!({"x.io/a": "1"});
    let object = json!({
        "metadata": {"labels": labels}, "Metadata": {"labels": labels}, "podLabels": labels, "finalizers": ["x.io/a"],
        "podSelector": {"labels": labels},
    });
    let found = templates_of("widgets.example.com", &object, &json!({}));
    let fields: Vec<&str> = found.iter().map(|(field, ..)| field.as_str()).collect();
    assert_eq!(fields, ["Metadata.labels", "finalizers", "podLabels"]);
}

#[test]
fn an_object_as_deep_as_kubernetes_reads_is_searched() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(9_900), "}".repeat(9_900));
    let body = format!(
        r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u",
        "resource": {{"group": "example.com", "version": "v1", "resource": "things"}}, "operation": "CREATE",
        "object": {{"podLabels": {{"x.io/a": "1"}}, "spec": {deep}}}}}}}"#
    );
    let nothing = |_: &Header| std::sync::Arc::default();
    let review =
        super::super::review::decode(body.into_bytes().into(), Endpoint::Validate, &nothing).unwrap();
    assert_eq!(as_json(&value(&review).unwrap())[0]["field"], "podLabels");
}

/// The fields and entries of a custom resource.
fn entries(object: &Json) -> Vec<(String, Json)> {
    templates_of("widgets.example.com", object, &json!({}))
        .into_iter()
        .map(|(field, new, _)| (field, new))
        .collect()
}

#[test]
fn no_two_places_have_one_path() {
    let (bad, good) = (json!({"x.io/bad": "1"}), json!({"x.io/good": "1"}));
    for object in [
        json!({"spec": {"podTemplate": {"metadata": {"annotations": bad}, "metadata.annotations": good}}}),
        json!({"podTemplate": {"metadata": {"labels": bad}}, "podTemplate.metadata": {"labels": good}}),
        json!({"t": [{"labels": bad}], "t[0]": {"labels": good}}),
        json!({"spec": {"t": {"labels": bad}}, "spec.t": {"labels": good}}),
        json!({"": {"labels": bad}, "labels": good}),
        json!({"t": {"": {"labels": bad}, "labels": good}}),
        json!({"t": {"\"": {"labels": bad}, "[\"\\\"\"]": {"labels": good}}}),
        json!({"t": {"labels": [{"name": "x.io/bad", "value": "0"}, {"name": "x.io/bad", "value": "1"}], "labels (2)": good}}),
    ] {
        let found = entries(&object);
        assert!(found.iter().any(|(_, entries)| *entries == bad), "{object} {found:?}");
        assert!(found.iter().any(|(_, entries)| *entries == good), "{object} {found:?}");
    }
    let real = json!({"t": {"metadata": {"labels": bad}}});
    for other in [json!({"t.metadata.labels": bad}), json!({"t.metadata": {"labels": bad}})] {
        let found = templates_of("widgets.example.com", &real, &other);
        let (_, _, old) = found.iter().find(|(field, ..)| field == "t.metadata.labels").unwrap();
        assert_eq!(old, &json!({}), "{other}");
    }
}

#[test]
fn labels_are_read_in_every_shape() {
    let key = "x.io/a";
    for (name, value, expected) in [
        ("podLabel", json!({key: "1"}), vec!["1"]),
        ("annotation", json!({key: "1"}), vec!["1"]),
        ("labelsToApply", json!({key: "1"}), vec!["1"]),
        ("labelsTemplate", json!({key: "1"}), vec!["1"]),
        ("labelMap", json!({key: "1"}), vec!["1"]),
        ("ANNOTATIONSToAdd", json!({key: "1"}), vec!["1"]),
        ("labels", json!({key: 5}), vec!["5"]),
        ("labels", json!({key: {"value": "1"}}), vec![r#"{"value":"1"}"#]),
        ("labels", json!({key: null}), vec![""]),
        ("labels", json!([{"key": key}]), vec![""]),
        ("labels", json!([{"key": key, "value": true}]), vec!["true"]),
        ("labels", json!([{"name": "other", "key": key, "value": "1"}]), vec!["1"]),
        ("labels", json!([{"key": key, "value": "1"}, {"key": key, "value": "2"}]), vec!["1", "2"]),
        ("labels", json!([{"key": key, "Key": "b", "value": "1", "Value": "2"}]), vec!["1", "2"]),
        ("labels", json!([{"Key": key, "VALUE": "1"}]), vec!["1"]),
        ("labels", json!([{"label": key, "value": "1"}]), vec!["1"]),
        ("labels", json!([{key: "1"}]), vec!["1"]),
        ("labels", json!([[key, "1"]]), vec![""]),
        ("labels", json!([format!("{key}=1"), format!("{key}: 2")]), vec!["1", "2"]),
        ("labels", json!(format!("b=1,{key}=1")), vec!["1"]),
        ("labels", json!(format!("b=1 {key}=1")), vec!["1"]),
        ("labelsTemplate", json!(format!("{{{{ if x }}}}{key}: \"1\"\n{{{{ end }}}}")), vec!["1"]),
        ("labels", json!(format!("{{\"{key}\": \"1\"}}")), vec!["1"]),
    ] {
        let found = entries(&json!({"spec": {name: value}}));
        let values: Vec<&str> = found.iter().filter_map(|(_, entries)| entries[key].as_str()).collect();
        assert_eq!(values, expected, "{name} {value} {found:?}");
    }
    // Names of labels that a controller looks at set no label.
    assert_eq!(
        entries(
            &json!({"spec": {"podTargetLabels": [key], "labelSelectors": [{"matchLabels": {key: "1"}}]}})
        ),
        []
    );
}

#[test]
fn finalizers_and_owners_are_read_in_every_shape() {
    let (name, owner) = ("x.io/hold", "x.io/v1 App a 7");
    for value in [
        json!(name),
        json!([name]),
        json!({name: true}),
        json!({"a": name}),
        json!([{"name": name}]),
        json!([[name]]),
    ] {
        for field in ["finalizer", "finalizers", "Finalizers"] {
            let found = entries(&json!({"spec": {field: value}}));
            assert_eq!(found[0].1[name], "", "{field} {value} {found:?}");
        }
    }
    let fields = json!({"apiVersion": "x.io/v1", "kind": "App", "name": "a", "uid": "7"});
    let odd = json!({"APIVersion": "x.io/v1", "Kind": "App", "Name": "a", "UID": "7"});
    for value in
        [json!([fields]), fields.clone(), odd.clone(), json!([odd]), json!({"a": fields}), json!(owner)]
    {
        for field in ["ownerReferences", "ownerReference", "OwnerReferences", "ownerRef"] {
            let found = entries(&json!({"spec": {field: value}}));
            assert_eq!(found[0].1[owner], "", "{field} {value} {found:?}");
        }
    }
}

#[test]
fn maps_without_a_key_that_could_be_reserved_are_not_counted() {
    let rule =
        json!({"alert": "a", "labels": {"severity": "page"}, "annotations": {"summary": "https://a/b"}});
    let mut rules = vec![rule; 2000];
    rules.push(json!({"labels": {"kubenova.app": "a"}}));
    let found = entries(&json!({"spec": {"groups": [{"rules": rules}]}}));
    assert_eq!(found, [("spec.groups[0].rules[2000].labels".to_owned(), json!({"kubenova.app": "a"}))]);
}

#[test]
fn selectors_of_istio_are_free() {
    let labels = json!({"x.io/a": "1"});
    let object = json!({"spec": {
        "subsets": [{"name": "v1", "labels": labels}], "http": [{"match": [{"sourceLabels": labels}]}],
    }});
    assert_eq!(templates_of("destinationrules.networking.istio.io", &object, &json!({})), []);
    assert_eq!(templates_of("destinationrules.example.com", &object, &json!({})).len(), 2);
}

#[test]
fn nested_labels_are_bounded() {
    let mut nested = json!({"text": "x".repeat(5000)});
    for _ in 0..300 {
        nested = json!({"labels": {"x.io/a": nested}});
    }
    for spec in [nested, json!({"labels": "x.io/a:".repeat(300_000)})] {
        let review =
            review(Endpoint::Validate, "CREATE", "widgets.example.com", &json!({"spec": spec}), &Json::Null);
        let said = value(&review).unwrap_err().to_string();
        assert!(said.ends_with("not within 1 MiB of them"), "{said}");
    }
    let twice = json!({"labels": (0..2000).map(|at| format!("x.io/a={at}")).collect::<Vec<_>>()});
    let review = review(Endpoint::Validate, "CREATE", "widgets.example.com", &twice, &Json::Null);
    assert!(value(&review).unwrap_err().to_string().ends_with("not among the first 1000"));
}
