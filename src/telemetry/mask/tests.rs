use serde_json::{Value, json};

use super::{digest, mask_object, mask_observed};

fn hidden(text: &str) -> Value {
    digest(text.as_bytes())
}

fn check(group: &str, kind: &str, object: Value, expect: &Value) {
    let mut masked = object;
    mask_object(group, kind, &mut masked);
    assert_eq!(&masked, expect, "{kind}");
}

#[test]
fn masked_value_has_length_and_twelve_hex_digits() {
    assert_eq!(hidden("hunter2"), json!({"sha256": "f52fbd32b2b3", "length": 7}));
}

#[test]
fn secret_keeps_its_keys_and_no_value() {
    check(
        "",
        "Secret",
        json!({"kind": "Secret", "metadata": {"name": "db", "labels": {"data": "x"}, "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "readable"}},
            "data": {"password": "aHVudGVyMg==", "env": "eA=="}, "stringData": {"token": "t"}, "type": "Opaque"}),
        &json!({"kind": "Secret", "metadata": {"name": "db", "labels": {"data": hidden("x")}, "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": hidden("{}"), "note": "readable"}},
            "data": {"password": hidden("aHVudGVyMg=="), "env": hidden("eA==")}, "stringData": {"token": hidden("t")},
            "type": "Opaque"}),
    );
}

#[test]
fn secret_with_an_invalid_schema_is_masked() {
    check("", "Secret", json!({"data": "all"}), &json!({"data": hidden("all")}));
    check("", "Secret", json!({"data": ["a", 1]}), &json!({"data": hidden(r#"["a",1]"#)}));
    check(
        "",
        "Secret",
        json!({"data": {"a": {"b": 1}, "c": 7, "d": null}}),
        &json!({"data": {"a": hidden(r#"{"b":1}"#), "c": hidden("7"), "d": null}}),
    );
    check(
        "",
        "Secret",
        json!({"kind": "ConfigMap", "data": {"a": "b"}}),
        &json!({"kind": "ConfigMap", "data": {"a": hidden("b")}}),
    );
    check("", "Secret", json!("text"), &hidden("text"));
    check("", "Secret", Value::Null, &Value::Null);
    check(
        "",
        "ConfigMap",
        json!({"kind": "secret", "data": {"a": "b"}}),
        &json!({"kind": "secret", "data": {"a": hidden("b")}}),
    );
}

#[test]
fn masking_twice_is_masking_once() {
    let once = json!({"kind": "Secret", "data": {"p": hidden("hunter2")}, "env": [{"name": "A", "value": hidden("x")}]});
    check("", "Secret", once.clone(), &once);
    let masked_text = mask_observed("Secret", "data.p", "hunter2");
    assert_eq!(mask_observed("Secret", "data.p", &masked_text), masked_text);
    let almost = r#"{"length":7,"sha256":"f52fbd32b2b3","more":1}"#;
    assert_ne!(mask_observed("Secret", "data.p", almost), almost);
}

#[test]
fn config_map_stays_readable() {
    let object = json!({"kind": "ConfigMap", "data": {"password": "not a secret"}});
    check("", "ConfigMap", object.clone(), &object);
}

#[test]
fn secrets_in_lists_and_vela_components_are_masked() {
    let secret = json!({"kind": "Secret", "data": {"a": "b"}});
    let masked = json!({"kind": "Secret", "data": {"a": hidden("b")}});
    let map = json!({"kind": "ConfigMap", "data": {"a": "b"}});
    check("", "List", json!({"items": [secret, map]}), &json!({"items": [masked, map]}));
    check(
        "",
        "SecretList",
        json!({"items": [{"data": {"a": "b"}}]}),
        &json!({"items": [{"data": {"a": hidden("b")}}]}),
    );
    check(
        "core.oam.dev",
        "Application",
        json!({"spec": {"components": [{"type": "k8s-objects", "properties": {"objects": [secret]}}]}}),
        &json!({"spec": {"components": [{"type": "k8s-objects", "properties": {"objects": [masked]}}]}}),
    );
}

#[test]
fn environment_variables_are_masked_in_every_pod_template() {
    let env = json!([{"name": "A", "value": "secret"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}]);
    let masked = json!([{"name": "A", "value": hidden("secret")}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}]);
    let pod = |env: &Value| {
        json!({"containers": [{"name": "c", "image": "i", "env": env}], "initContainers": [{"env": env}],
            "ephemeralContainers": [{"env": env}]})
    };
    for (group, kind, wrap) in [
        ("", "Pod", (|spec| json!({"spec": spec})) as fn(Value) -> Value),
        ("apps", "Deployment", |spec| json!({"spec": {"template": {"spec": spec}}})),
        ("batch", "CronJob", |spec| json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}})),
        ("", "PodTemplate", |spec| json!({"template": {"spec": spec}})),
        ("apps", "ControllerRevision", |spec| json!({"data": {"spec": {"template": {"spec": spec}}}})),
        ("core.oam.dev", "Application", |spec| json!({"spec": {"components": [{"properties": spec}]}})),
        ("", "List", |spec| json!({"items": [{"kind": "Pod", "spec": spec}]})),
    ] {
        check(group, kind, wrap(pod(&env)), &wrap(pod(&masked)));
    }
}

#[test]
fn environment_variables_with_an_invalid_schema_are_masked() {
    check("", "Pod", json!({"env": ["A=b", null, 3]}), &json!({"env": [hidden("A=b"), null, hidden("3")]}));
    check(
        "",
        "Pod",
        json!({"env": {"A": "b", "C": ["d"]}}),
        &json!({"env": {"A": hidden("b"), "C": hidden(r#"["d"]"#)}}),
    );
    check("", "Pod", json!({"env": "A=b"}), &json!({"env": hidden("A=b")}));
    check(
        "",
        "Pod",
        json!({"env": [{"name": ["x"], "value": {"a": 1}, "secret": "s", "valueFrom": "v"}]}),
        &json!({"env": [{"name": hidden(r#"["x"]"#), "value": hidden(r#"{"a":1}"#), "secret": hidden("s"), "valueFrom": hidden("v")}]}),
    );
}

#[test]
fn label_named_env_stays_readable() {
    let object = json!({"metadata": {"labels": {"env": "prod"}, "annotations": {"env": "x"}},
        "spec": {"selector": {"matchLabels": {"env": "prod"}}, "nodeSelector": {"env": "prod"}}});
    check("apps", "Deployment", object.clone(), &object);
}

#[test]
fn tokens_are_masked() {
    check(
        "authentication.k8s.io",
        "TokenRequest",
        json!({"spec": {"audiences": ["a"]}, "status": {"token": "jwt", "expirationTimestamp": "t"}}),
        &json!({"spec": {"audiences": ["a"]}, "status": {"token": hidden("jwt"), "expirationTimestamp": "t"}}),
    );
    check(
        "authentication.k8s.io",
        "TokenRequest",
        json!({"status": "jwt"}),
        &json!({"status": hidden("jwt")}),
    );
    check("", "Pod", json!({"spec": {"token": "plain"}}), &json!({"spec": {"token": "plain"}}));
}

#[test]
fn last_applied_is_masked_in_every_kind() {
    for key in ["kubectl.kubernetes.io/last-applied-configuration", "app.oam.dev/last-applied-configuration"]
    {
        check(
            "apps",
            "Deployment",
            json!({"metadata": {"annotations": {key: "{…}"}}}),
            &json!({"metadata": {"annotations": {key: hidden("{…}")}}}),
        );
    }
}

#[test]
fn deeply_nested_values_are_masked_whole() {
    let mut object = json!({"env": [{"name": "A", "value": "secret"}]});
    for _ in 0..300 {
        object = json!({"spec": object});
    }
    mask_object("", "Pod", &mut object);
    assert!(!object.to_string().contains("secret"));
}

#[test]
fn observed_value_is_masked_by_its_field() {
    for (kind, field, masked) in [
        ("Pod", "spec.containers[0].env[1].value", true),
        ("Pod", "/spec/containers/0/env/1/value", true),
        ("Pod", "spec.containers[0].env[1]", true),
        ("Pod", "spec.containers[0].env", true),
        ("Pod", "spec.containers[0].env[1].name", false),
        ("Pod", "spec.containers[0].env[?(@.name==\"A\")].value", true),
        ("Pod", "spec.containers[0].env[1].valueFrom.secretKeyRef.name", false),
        ("Deployment", "spec.template.spec.initContainers[0].env[0].value", true),
        ("Application", "spec.components[0].traits[0].properties.env.PASSWORD", true),
        ("Application", "spec.components[0].properties.objects[0].stringData.a", true),
        ("Application", "spec.components[0].properties.objects[0].data.a", true),
        ("Pod", "metadata.labels.env", false),
        ("Pod", "metadata.labels[\"env\"]", false),
        ("Pod", "spec.containers[0].image", false),
        ("Pod", "", false),
        ("ConfigMap", "data.key", false),
        ("Secret", "data.password", true),
        ("Secret", "stringData[\"a.b\"]", true),
        ("Secret", "", true),
        ("Secret", "value", true),
        ("Secret", "type", false),
        ("Secret", "metadata.name", false),
        ("Secret", "metadata.annotations[\"kubectl.kubernetes.io/last-applied-configuration\"]", true),
        ("Secret", "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration", true),
        ("Secret", "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration", true),
        ("TokenRequest", "status.token", true),
        ("TokenRequest", "status", true),
        ("TokenRequest", "spec.audiences[0]", false),
    ] {
        let masked_text = mask_observed(kind, field, "hunter2");
        assert_eq!(masked_text != "hunter2", masked, "{kind} {field}");
    }
}

#[test]
fn secrets_within_observed_json_are_masked() {
    let container = r#"{"image":"i","env":[{"name":"A","value":"secret"}]}"#;
    let masked_text = mask_observed("Pod", "spec.containers[0]", container);
    assert!(masked_text.contains("\"image\":\"i\"") && !masked_text.contains("secret"), "{masked_text}");
    let cut = mask_observed("Pod", "spec.containers[0]", container.get(..40).unwrap());
    assert!(cut.starts_with("{\"length\":40"), "{cut}");
    assert_eq!(mask_observed("Pod", "spec", r#"{"a": 1}"#), r#"{"a": 1}"#);
    assert_eq!(mask_observed("Pod", "spec", "{not json"), "{not json");
    assert!(
        !mask_observed("Secret", "metadata", r#"{"annotations":{"x/last-applied-configuration":"s3"}}"#)
            .contains("s3")
    );
}

proptest::proptest! {
    #[test]
    fn any_field_and_any_text_is_accepted(kind in "\\PC{0,8}", field in "[\\PC\\[\\]\"'./~]{0,40}", observed in "\\PC{0,40}") {
        let _ = mask_observed(&kind, &field, &observed);
        let _ = mask_observed("Secret", &field, &observed);
    }
}
