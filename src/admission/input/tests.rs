use super::*;
use serde_json::{Value as Json, json};

const HUNTER2: &str = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn check(object: &Json, expected: &Json) {
    let masked = mask_secret(&Value::from(object.clone()));
    assert_eq!(serde_json::to_value(&masked).unwrap(), *expected, "{object}");
}

fn hidden(text: &str) -> Json {
    json!({"sha256": hex::encode(Sha256::digest(text.as_bytes())), "length": text.len()})
}

#[test]
fn a_value_is_its_digest_and_length_and_keys_stay() {
    check(
        &json!({"kind": "Secret", "type": "Opaque", "data": {"p": "hunter2", "q": ""}, "stringData": {"t": "ü"}, "immutable": true}),
        &json!({"kind": "Secret", "type": "Opaque", "immutable": true,
            "data": {"p": {"sha256": HUNTER2, "length": 7}, "q": hidden("")}, "stringData": {"t": {"sha256": hidden("ü")["sha256"], "length": 2}}}),
    );
}

#[test]
fn equal_values_stay_equal_and_different_ones_different() {
    let masked =
        |value: &str| serde_json::to_value(mask_secret(&Value::from(json!({"data": {"a": value}})))).unwrap();
    assert_eq!(masked("x"), masked("x"));
    assert_ne!(masked("x"), masked("y"));
}

#[test]
fn a_shape_we_do_not_know_is_hidden_whole() {
    check(&json!({"data": "all"}), &json!({"data": hidden("all")}));
    check(&json!({"data": ["a", 1]}), &json!({"data": hidden(r#"["a",1]"#)}));
    check(&json!({"data": {"a": {"b": "c"}}}), &json!({"data": {"a": hidden(r#"{"b":"c"}"#)}}));
    check(
        &json!({"data": null, "stringData": {"a": null}}),
        &json!({"data": null, "stringData": {"a": hidden("null")}}),
    );
}

#[test]
fn the_copy_that_kubectl_keeps_is_hidden_and_other_metadata_is_not() {
    check(
        &json!({"metadata": {"name": "x", "labels": {"a": "b"}, "annotations": {LAST: "{\"data\":{}}", "note": "kept"}}, "data": {}}),
        &json!({"metadata": {"name": "x", "labels": {"a": "b"}, "annotations": {LAST: hidden("{\"data\":{}}"), "note": "kept"}}, "data": {}}),
    );
    check(&json!({"metadata": {"annotations": null}}), &json!({"metadata": {"annotations": null}}));
    check(&json!({"metadata": "x"}), &json!({"metadata": "x"}));
    check(&json!({}), &json!({}));
}

#[test]
fn no_byte_of_a_value_is_left() {
    let object = json!({"data": {"a": "s3cr3t"}, "stringData": {"b": ["s3cr3t"]}, "metadata": {"annotations": {LAST: "s3cr3t"}}});
    assert!(!mask_secret(&Value::from(object)).to_string().contains("s3cr3t"));
}
