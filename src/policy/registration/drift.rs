//! Differences between existing webhook configurations or admission policies and the rendered ones. Spelling, order and the
//! API server's defaults are no difference.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::webhooks::{Configuration, NAME};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Configuration, webhook and field, separated by spaces.
    pub path: String,
    /// `None` where it is missing.
    pub found: Option<String>,
    /// `None` where it should not exist.
    pub expected: Option<String>,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        let mut lines = |sign: char, text: &Option<String>| {
            text.iter().flat_map(|text| text.lines()).try_for_each(|line| write!(f, "\n  {sign} {line}"))
        };
        lines('-', &self.found)?;
        lines('+', &self.expected)
    }
}

/// The API server's defaults.
const WEBHOOK_DEFAULTS: &[(&str, &str)] = &[
    ("failurePolicy", "\"Fail\""),
    ("matchPolicy", "\"Equivalent\""),
    ("namespaceSelector", "{}"),
    ("objectSelector", "{}"),
    ("reinvocationPolicy", "\"Never\""),
    ("timeoutSeconds", "10"),
];

/// Compares documents (of a file, or of `kubectl get -o yaml` with Lists) with configurations; other objects are skipped.
/// `caBundle` is ignored where the configuration has none, because cert-manager or similar writes it.
pub fn drift(expected: &[Configuration], documents: &[Value]) -> Vec<Drift> {
    let mut objects = Vec::new();
    for document in documents {
        flatten(document, &mut objects);
    }
    let mut drifts = Vec::new();
    for configuration in expected {
        let path = format!("{}/{NAME}", configuration.kind());
        let is_it = |object: &&&Value| {
            text(object, "/kind") == configuration.kind() && text(object, "/metadata/name") == NAME
        };
        let expected = serde_json::to_value(configuration).unwrap_or_default();
        match objects.iter().find(is_it) {
            Some(found) => compare(&path, found, &expected, &mut drifts),
            None => {
                drifts.push(Drift {
                    path,
                    found: None,
                    expected: Some("the whole configuration".to_owned()),
                });
            }
        }
    }
    drifts
}

fn flatten<'a>(document: &'a Value, objects: &mut Vec<&'a Value>) {
    match document.get("items").and_then(Value::as_array) {
        Some(items) => items.iter().for_each(|item| flatten(item, objects)),
        None => objects.push(document),
    }
}

fn compare(path: &str, found: &Value, expected: &Value, drifts: &mut Vec<Drift>) {
    let (found, expected) = (by_name(found.get("webhooks")), by_name(expected.get("webhooks")));
    for name in found.keys().chain(expected.keys().filter(|name| !found.contains_key(*name))) {
        let path = format!("{path} {name}");
        match (found.get(name), expected.get(name)) {
            (Some(found), Some(expected)) => compare_webhook(&path, found, expected, drifts),
            (Some(_), None) => {
                drifts.push(Drift { path, found: Some("an unexpected webhook".into()), expected: None });
            }
            _ => drifts.push(Drift { path, found: None, expected: Some("this webhook".into()) }),
        }
    }
}

fn compare_webhook(path: &str, found: &Value, expected: &Value, drifts: &mut Vec<Drift>) {
    let (mut found, mut expected) = (normalized(found), normalized(expected));
    let conditions = |webhook: &mut Map<String, Value>| by_name(webhook.remove("matchConditions").as_ref());
    let (found_conditions, expected_conditions) = (conditions(&mut found), conditions(&mut expected));
    if expected.get("clientConfig").is_some_and(|client| client.get("caBundle").is_none()) {
        let _ = found
            .get_mut("clientConfig")
            .and_then(Value::as_object_mut)
            .map(|client| client.remove("caBundle"));
    }
    let mut differ = |path: String, found: Option<&Value>, expected: Option<&Value>| {
        if found != expected {
            drifts.push(Drift { path, found: found.map(shown), expected: expected.map(shown) });
        }
    };
    for field in union(found.keys(), expected.keys()) {
        differ(format!("{path} {field}"), found.get(field), expected.get(field));
    }
    for name in union(found_conditions.keys(), expected_conditions.keys()) {
        let expression = |conditions: &BTreeMap<String, Value>| {
            let written = conditions.get(name)?.get("expression")?.as_str()?;
            Some(Value::from(written.split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        let (found, expected) = (expression(&found_conditions), expression(&expected_conditions));
        differ(format!("{path} matchConditions {name}"), found.as_ref(), expected.as_ref());
    }
}

/// A webhook with every default filled in and unordered lists sorted.
fn normalized(webhook: &Value) -> Map<String, Value> {
    let mut webhook = webhook.as_object().cloned().unwrap_or_default();
    for (field, default) in WEBHOOK_DEFAULTS {
        let default = serde_json::from_str(default).unwrap_or_default();
        webhook.entry(*field).or_insert(default);
    }
    for rule in webhook.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(rule) = rule.as_object_mut() else { continue };
        rule.entry("scope").or_insert(json!("*"));
        rule.values_mut()
            .filter_map(Value::as_array_mut)
            .for_each(|words| words.sort_by_key(Value::to_string));
    }
    if let Some(rules) = webhook.get_mut("rules").and_then(Value::as_array_mut) {
        rules.sort_by_key(Value::to_string);
    }
    if let Some(service) = webhook.get_mut("clientConfig").and_then(|client| client.get_mut("service")) {
        let _ = service.as_object_mut().map(|service| service.entry("port").or_insert(json!(443)));
    }
    webhook
}

fn by_name(list: Option<&Value>) -> BTreeMap<String, Value> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.map(|item| (text(item, "/name").to_owned(), item.clone())).collect()
}

fn union<'a>(
    found: impl Iterator<Item = &'a String>,
    expected: impl Iterator<Item = &'a String>,
) -> Vec<&'a String> {
    let mut all: Vec<&String> = found.chain(expected).collect();
    all.sort();
    all.dedup();
    all
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The API server's defaults.
const FIELD_DEFAULTS: &[(&str, &str)] =
    &[("failurePolicy", "Fail"), ("matchPolicy", "Equivalent"), ("scope", "*")];

/// Compares documents with expected objects by kind and name, field by field; other objects are skipped.
pub fn drift_of_objects(expected: &[Value], documents: &[Value]) -> Vec<Drift> {
    let mut objects = Vec::new();
    for document in documents {
        flatten(document, &mut objects);
    }
    let mut drifts = Vec::new();
    for expected in expected {
        let (kind, name) = (text(expected, "/kind"), text(expected, "/metadata/name"));
        let path = format!("{kind}/{name}");
        let is_it =
            |object: &&&Value| text(object, "/kind") == kind && text(object, "/metadata/name") == name;
        match objects.iter().find(is_it) {
            Some(found) => compare_fields(&path, found.get("spec"), expected.get("spec"), &mut drifts),
            None => drifts.push(Drift { path, found: None, expected: Some("the whole object".to_owned()) }),
        }
    }
    drifts
}

fn compare_fields(path: &str, found: Option<&Value>, expected: Option<&Value>, drifts: &mut Vec<Drift>) {
    let none = Map::new();
    match (found, expected) {
        (Some(Value::Object(found)), expected @ (Some(Value::Object(_)) | None)) => {
            let expected = expected.and_then(Value::as_object).unwrap_or(&none);
            for key in union(found.keys(), expected.keys()) {
                let filled =
                    expected.get(key).is_none() && found.get(key).is_some_and(|value| is_default(key, value));
                if !filled {
                    compare_fields(&format!("{path} {key}"), found.get(key), expected.get(key), drifts);
                }
            }
        }
        (Some(Value::Array(found)), Some(Value::Array(expected))) if found.len() == expected.len() => {
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                let name = expected
                    .get("name")
                    .and_then(Value::as_str)
                    .map_or_else(|| at.to_string(), str::to_owned);
                compare_fields(&format!("{path} {name}"), Some(found), Some(expected), drifts);
            }
        }
        (found, expected) if found.map(unwrapped) != expected.map(unwrapped) => {
            drifts.push(Drift {
                path: path.to_owned(),
                found: found.map(shown),
                expected: expected.map(shown),
            });
        }
        _ => {}
    }
}

/// Whitespace in an expression has no meaning.
fn unwrapped(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        other => other.clone(),
    }
}

fn is_default(key: &str, value: &Value) -> bool {
    let empty = match value {
        Value::Object(fields) => fields.iter().all(|(key, value)| is_default(key, value)),
        Value::Array(items) => items.is_empty(),
        other => other.is_null(),
    };
    empty || FIELD_DEFAULTS.iter().any(|(known, usual)| *known == key && value == usual)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_no_drift_and_edits_are() {
        let expected = json!({"kind": "P", "metadata": {"name": "a"}, "spec": {
            "failurePolicy": "Fail", "validations": [{"expression": "a &&\n  b"}], "actions": ["Deny"]}});
        let filled = json!({"kind": "P", "metadata": {"name": "a", "uid": "1"}, "spec": {
            "failurePolicy": "Fail", "validations": [{"expression": "a && b"}], "actions": ["Deny"],
            "matchConstraints": {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}}});
        let expected = [expected];
        assert_eq!(drift_of_objects(&expected, &[json!({"items": [filled]})]), []);
        for (pointer, other, path) in [
            ("/spec/failurePolicy", json!("Ignore"), "P/a failurePolicy"),
            ("/spec/validations/0/expression", json!("true"), "P/a validations 0 expression"),
            ("/spec/actions", json!(["Deny", "Audit"]), "P/a actions"),
            ("/spec/actions", json!(["Audit"]), "P/a actions 0"),
            (
                "/spec/matchConstraints/objectSelector",
                json!({"x": 1}),
                "P/a matchConstraints objectSelector x",
            ),
        ] {
            let mut found = filled.clone();
            *found.pointer_mut(pointer).unwrap() = other;
            let drifts = drift_of_objects(&expected, &[found]);
            let paths: Vec<&str> = drifts.iter().map(|drift| drift.path.as_str()).collect();
            assert_eq!(paths.len(), 1, "{drifts:?}");
            assert!(paths[0].starts_with(path), "{drifts:?}");
        }
        assert_eq!(drift_of_objects(&expected, &[])[0].path, "P/a");
    }
}
