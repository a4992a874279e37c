use super::*;
use serde_json::json;

/// Path, component and reference of every image, of an Application with this spec.
fn check(spec: &serde_json::Value, expected: &[(&str, &str, &str)]) {
    let object = Value::from(json!({"spec": spec}));
    let found = application_images(&object);
    let seen: Vec<(&str, &str, &str)> = found
        .iter()
        .map(|image| (image.path.as_str(), image.container.as_str(), image.image.raw.as_str()))
        .collect();
    assert_eq!(seen, expected);
    assert!(found.iter().all(|image| image.list == "components"));
}

#[test]
fn components_and_their_traits_name_images() {
    check(
        &json!({"components": [
            {"name": "web", "type": "webservice", "properties": {"image": "x/web"}, "traits": [
                {"type": "scaler", "properties": {"replicas": 2}},
                {"type": "sidecar", "properties": {"name": "log", "image": "x/log"}},
                {"type": "container-image", "properties": {"containers": [{"containerName": "a", "image": "x/a"}]}},
            ]},
            {"name": "job", "type": "task", "properties": {"image": "x/job"}},
        ]}),
        &[
            ("spec.components[0].properties.image", "web", "x/web"),
            ("spec.components[0].traits[1].properties.image", "web/traits/1", "x/log"),
            (
                "spec.components[0].traits[2].properties.containers[0].image",
                "web/traits/2/containers/0",
                "x/a",
            ),
            ("spec.components[1].properties.image", "job", "x/job"),
        ],
    );
}

#[test]
fn a_policy_that_overrides_components_names_images() {
    let overrides = json!({"components": [{"name": "web", "properties": {"image": "x/other"}}]});
    check(
        &json!({"components": [], "policies": [{"type": "topology"}, {"type": "override", "properties": overrides}]}),
        &[("spec.policies[1].properties.components[0].properties.image", "web", "x/other")],
    );
}

#[test]
fn objects_are_searched_by_their_kind() {
    let pod = json!({"containers": [{"name": "a", "image": "x/a"}]});
    check(
        &json!({"components": [{"name": "one", "type": "raw", "properties": {"apiVersion": "v1", "kind": "Pod", "spec": pod}}]}),
        &[("spec.components[0].properties.spec.containers[0].image", "one/containers/a", "x/a")],
    );
    let objects = json!([
        {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": pod}}},
        {"apiVersion": "v1", "kind": "Pod", "spec": pod},
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"image": "x/no"}},
        {"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}},
    ]);
    let objects =
        json!({"components": [{"name": "raw", "type": "k8s-objects", "properties": {"objects": objects}}]});
    check(
        &objects,
        &[
            (
                "spec.components[0].properties.objects[0].spec.template.spec.containers[0].image",
                "raw/objects/0/containers/a",
                "x/a",
            ),
            (
                "spec.components[0].properties.objects[1].spec.containers[0].image",
                "raw/objects/1/containers/a",
                "x/a",
            ),
            (
                "spec.components[0].properties.objects[3].spec.jobTemplate.spec.template.spec.containers[0].image",
                "raw/objects/3/containers/a",
                "x/a",
            ),
        ],
    );
}

#[test]
fn unknown_fields_are_skipped() {
    for spec in [
        json!(null),
        json!("text"),
        json!({"components": {"web": {}}}),
        json!({"components": [null, 1, {"properties": "text"}, {"properties": {"image": {"repository": "x"}}}]}),
        json!({"components": [{"properties": {"objects": [{"kind": "Pod", "spec": {"containers": 1}}]}}]}),
        json!({"policies": [{"properties": []}]}),
    ] {
        check(&spec, &[]);
    }
}
