use super::*;
use crate::Endpoint;
use crate::tests::review;
use serde_json::{Value as Json, json};

/// Where each resource has its pod template.
const PLACES: [(&str, &str); 13] = [
    ("pods", ""),
    ("pods/ephemeralcontainers", ""),
    ("pods/resize", ""),
    ("pods/status", ""),
    ("podtemplates", "template"),
    ("replicationcontrollers", "spec.template"),
    ("deployments.apps", "spec.template"),
    ("replicasets.apps", "spec.template"),
    ("statefulsets.apps", "spec.template"),
    ("daemonsets.apps", "spec.template"),
    ("deployments.extensions", "spec.template"),
    ("jobs.batch", "spec.template"),
    ("cronjobs.batch", "spec.jobTemplate.spec.template"),
];

/// An object whose pod template stands at `place`.
fn object(place: &str, template: &Json) -> Json {
    place
        .rsplit('.')
        .filter(|part| !part.is_empty())
        .fold(template.clone(), |below, part| json!({part: below}))
}

fn found(resource: &str, object: &Json) -> Result<Option<Vec<ContainerImage>>, ShapeError> {
    let header = review(Endpoint::Validate, "CREATE", resource, &json!({}), &Json::Null).header;
    let object = Value::from(object.clone());
    let Some((path, template)) = find_template(&header, &object)? else { return Ok(None) };
    images(&path, template).map(Some)
}

/// That a pod spec of the wrong shape is refused in every resource, at its path below the spec.
fn check(spec: &Json, path: &str, found_: &str, wanted: &str) {
    for (resource, place) in PLACES {
        let error = found(resource, &object(place, &json!({"spec": spec}))).unwrap_err();
        let prefix = if place.is_empty() { String::new() } else { format!("{place}.") };
        assert_eq!(error.to_string(), format!("`{prefix}{path}` is {found_}, not {wanted}"), "{resource}");
    }
}

#[test]
fn every_list_of_every_kind_has_its_path() {
    let spec = json!({
        "containers": [{"name": "a", "image": "x/a"}, {"name": "b", "image": "x/b"}],
        "initContainers": [{"name": "i", "image": "x/i"}],
        "ephemeralContainers": [{"name": "e", "image": "x/e"}],
        "volumes": [{"name": "none"}, {"name": "v", "image": {"reference": "x/v", "pullPolicy": "Always"}}],
    });
    for (resource, place) in PLACES {
        let prefix = if place.is_empty() { String::new() } else { format!("{place}.") };
        let images = found(resource, &object(place, &json!({"spec": spec}))).unwrap().expect(resource);
        let seen: Vec<(String, &str, &str, &str)> = images
            .iter()
            .map(|image| (image.path.clone(), image.list, image.container.as_str(), image.image.raw.as_str()))
            .collect();
        let at = |path: &str| format!("{prefix}spec.{path}");
        assert_eq!(
            seen,
            [
                (at("initContainers[0].image"), "initContainers", "i", "x/i"),
                (at("containers[0].image"), "containers", "a", "x/a"),
                (at("containers[1].image"), "containers", "b", "x/b"),
                (at("ephemeralContainers[0].image"), "ephemeralContainers", "e", "x/e"),
                (at("volumes[1].image.reference"), "volumes", "v", "x/v"),
            ],
            "{resource}"
        );
    }
}

#[test]
fn what_holds_no_pod_is_not_looked_into() {
    let everywhere = json!({"spec": {"containers": 1, "template": 1}, "template": 1});
    for resource in [
        "pods/exec",
        "pods/binding",
        "pods/eviction",
        "deployments.apps/scale",
        "configmaps",
        "pods.x.io",
        "deployments",
        "jobs.apps",
        "cronjobs",
        "applications.core.oam.dev",
        "Pods",
    ] {
        assert!(found(resource, &everywhere).unwrap().is_none(), "{resource}");
    }
}

#[test]
fn absent_and_null_have_no_images() {
    for (resource, place) in PLACES {
        for template in [
            json!({}),
            json!({"spec": null}),
            json!({"spec": {}}),
            json!({"spec": {"containers": null, "volumes": []}}),
            json!({"spec": {"containers": [{}]}}),
            json!({"spec": {"volumes": [{"image": {}}, {"image": null}]}}),
        ] {
            let images = found(resource, &object(place, &template)).unwrap().unwrap_or_default();
            assert!(images.is_empty(), "{resource} {template}");
        }
        assert!(found(resource, &json!({})).unwrap().unwrap_or_default().is_empty(), "{resource}");
    }
    let nameless = found("pods", &json!({"spec": {"containers": [{"image": ""}]}})).unwrap().unwrap();
    assert_eq!((nameless[0].container.as_str(), nameless[0].image.ok), ("", false));
}

#[test]
fn wrong_shapes_are_refused_at_their_path() {
    check(&json!("x"), "spec", "a string", "an object");
    check(&json!([]), "spec", "a list", "an object");
    for list in ["containers", "initContainers", "ephemeralContainers", "volumes"] {
        check(&json!({list: {}}), &format!("spec.{list}"), "an object", "a list");
        check(&json!({list: "x"}), &format!("spec.{list}"), "a string", "a list");
        check(&json!({list: [{}, 7]}), &format!("spec.{list}[1]"), "a number", "an object");
        check(&json!({list: [null]}), &format!("spec.{list}[0]"), "missing", "an object");
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        check(&json!({list: [{"image": 1}]}), &format!("spec.{list}[0].image"), "a number", "a string");
        check(&json!({list: [{"image": ["x"]}]}), &format!("spec.{list}[0].image"), "a list", "a string");
        check(
            &json!({list: [{"image": "x", "name": true}]}),
            &format!("spec.{list}[0].name"),
            "a boolean",
            "a string",
        );
    }
    check(&json!({"volumes": [{"image": "x"}]}), "spec.volumes[0].image", "a string", "an object");
    check(
        &json!({"volumes": [{"image": {"reference": {}}}]}),
        "spec.volumes[0].image.reference",
        "an object",
        "a string",
    );
}

#[test]
fn wrong_shapes_on_the_way_to_the_template_are_refused() {
    for (resource, object, path) in [
        ("deployments.apps", json!({"spec": "x"}), "spec"),
        ("deployments.apps", json!({"spec": {"template": []}}), "spec.template"),
        ("cronjobs.batch", json!({"spec": {"jobTemplate": {"spec": 1}}}), "spec.jobTemplate.spec"),
        ("podtemplates", json!({"template": "x"}), "template"),
    ] {
        assert_eq!(found(resource, &object).unwrap_err().path, path, "{resource}");
    }
}

#[test]
fn only_read_fields_are_projected() {
    let of = |resource: &str, paths: &[&str]| {
        let mut input = Reads::nothing();
        for path in paths {
            let steps: Vec<Step> = path.split('.').map(|part| Step::Name(part.to_owned())).collect();
            input.add(&steps);
        }
        reads(&review(Endpoint::Validate, "CREATE", resource, &json!({}), &Json::Null).header, &input)
    };
    let images = of("deployments.apps", &["images"]);
    for path in [
        "spec.template.spec.containers.x.image",
        "spec.template.spec.volumes.x.image.reference",
        "spec.template.spec.initContainers.x.name",
    ] {
        assert!(images.touches(&path.split('.').collect::<Vec<_>>()), "{path}");
    }
    assert!(!images.touches(&["spec", "template", "spec", "containers", "x", "env"]));
    assert!(!images.touches(&["spec", "template", "metadata"]));
    let labels = of("jobs.batch", &["workload.metadata.labels"]);
    assert!(
        labels.touches(&["spec", "template", "metadata", "labels"])
            && !labels.touches(&["spec", "template", "spec"])
    );
    assert!(of("pods", &["workload"]).touches(&["spec", "nodeName"]));
    assert!(of("configmaps", &["images", "workload"]).is_nothing());
    assert!(of("pods", &["request"]).is_nothing());
}
