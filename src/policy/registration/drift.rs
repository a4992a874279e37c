//! Where a configuration that somebody has differs from what the table says, by meaning and not by spelling.

mod objects;

pub use objects::drift_of_objects;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::render::{Configuration, NAME};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Configuration, webhook and field, as people say it.
    pub place: String,
    /// What is there; `None` where nothing is.
    pub found: Option<String>,
    /// What the table says; `None` where nothing should be.
    pub wanted: Option<String>,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        let mut lines = |sign: char, text: &Option<String>| {
            text.iter().flat_map(|text| text.lines()).try_for_each(|line| write!(f, "\n  {sign} {line}"))
        };
        lines('-', &self.found)?;
        lines('+', &self.wanted)
    }
}

/// What the API server fills in where a field is left out.
const DEFAULTS: &[(&str, &str)] = &[
    ("failurePolicy", "\"Fail\""),
    ("matchPolicy", "\"Equivalent\""),
    ("namespaceSelector", "{}"),
    ("objectSelector", "{}"),
    ("reinvocationPolicy", "\"Never\""),
    ("timeoutSeconds", "10"),
];

/// Holds documents (of a file, or of `kubectl get -o yaml`, Lists included) against configurations. Other objects among
/// them are passed over; so is `caBundle` where the configuration names none, because then somebody else writes it.
pub fn drift(wanted: &[Configuration], documents: &[Value]) -> Vec<Drift> {
    let mut objects = Vec::new();
    for document in documents {
        flatten(document, &mut objects);
    }
    let mut drifts = Vec::new();
    for configuration in wanted {
        let place = format!("{}/{NAME}", configuration.kind());
        let is_it = |object: &&&Value| {
            text(object, "/kind") == configuration.kind() && text(object, "/metadata/name") == NAME
        };
        let wanted = serde_json::to_value(configuration).unwrap_or_default();
        match objects.iter().find(is_it) {
            Some(found) => compare(&place, found, &wanted, &mut drifts),
            None => {
                drifts.push(Drift { place, found: None, wanted: Some("the whole configuration".to_owned()) });
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

fn compare(place: &str, found: &Value, wanted: &Value, drifts: &mut Vec<Drift>) {
    let (found, wanted) = (by_name(found.get("webhooks")), by_name(wanted.get("webhooks")));
    for name in found.keys().chain(wanted.keys().filter(|name| !found.contains_key(*name))) {
        let place = format!("{place} {name}");
        match (found.get(name), wanted.get(name)) {
            (Some(found), Some(wanted)) => compare_webhook(&place, found, wanted, drifts),
            (Some(_), None) => {
                drifts.push(Drift { place, found: Some("a webhook nobody asked for".into()), wanted: None });
            }
            _ => drifts.push(Drift { place, found: None, wanted: Some("this webhook".into()) }),
        }
    }
}

fn compare_webhook(place: &str, found: &Value, wanted: &Value, drifts: &mut Vec<Drift>) {
    let (mut found, mut wanted) = (normal(found), normal(wanted));
    let conditions = |webhook: &mut Map<String, Value>| by_name(webhook.remove("matchConditions").as_ref());
    let (there, should) = (conditions(&mut found), conditions(&mut wanted));
    if wanted.get("clientConfig").is_some_and(|client| client.get("caBundle").is_none()) {
        let _ = found
            .get_mut("clientConfig")
            .and_then(Value::as_object_mut)
            .map(|client| client.remove("caBundle"));
    }
    let mut differ = |place: String, found: Option<&Value>, wanted: Option<&Value>| {
        if found != wanted {
            drifts.push(Drift { place, found: found.map(shown), wanted: wanted.map(shown) });
        }
    };
    for field in union(found.keys(), wanted.keys()) {
        differ(format!("{place} {field}"), found.get(field), wanted.get(field));
    }
    for name in union(there.keys(), should.keys()) {
        let expression = |conditions: &BTreeMap<String, Value>| {
            let written = conditions.get(name)?.get("expression")?.as_str()?;
            Some(Value::from(written.split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        let (found, wanted) = (expression(&there), expression(&should));
        differ(format!("{place} matchConditions {name}"), found.as_ref(), wanted.as_ref());
    }
}

/// Every default spelt out, and lists without an order in one.
fn normal(webhook: &Value) -> Map<String, Value> {
    let mut webhook = webhook.as_object().cloned().unwrap_or_default();
    for (field, default) in DEFAULTS {
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
    wanted: impl Iterator<Item = &'a String>,
) -> Vec<&'a String> {
    let mut all: Vec<&String> = found.chain(wanted).collect();
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
