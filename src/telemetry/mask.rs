//! Masks secrets in logged objects and findings: values of Secrets, `last-applied-configuration`, environment values,
//! and tokens of TokenRequests and TokenReviews. Data of an unexpected schema is masked.
//!
//! A masked value is `{"sha256": "<first 12 hex digits>", "length": <bytes>}`, so that two lines can be compared. A reader
//! can verify a guessed value, so access to the log must be restricted.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Deeper than any object that kube-apiserver stores; deeper values are masked whole.
const DEPTH_MAX: usize = 128;

/// Maps with keys that users choose; there `env` is an ordinary key, as in `app=web,env=prod`.
const LABEL_MAPS: [&str; 6] =
    ["labels", "matchLabels", "nodeSelector", "selector", "annotations", "commonLabels"];

/// Fields of a Secret that are not secret.
const READABLE_SECRET_FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "type", "immutable"];

const LAST_APPLIED: &str = "last-applied-configuration";

/// How the values of an object are masked; nested objects inherit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sensitivity {
    Plain,
    Secret,
    Token,
}

/// Masks an object in place. Group and kind are those of the request; nested objects (items of a List, templates, Vela
/// components) are recognised by their own `kind`.
pub(crate) fn mask_object(kind_group: &str, kind: &str, object: &mut Value) {
    match object {
        Value::Null => {}
        Value::Object(_) | Value::Array(_) => mask_tree(object, "", Sensitivity::of(kind_group, kind), 0),
        // A scalar instead of an object may be a secret.
        other => mask_value(other),
    }
}

/// The masked form of these bytes: `{"sha256": "<first 12 hex digits>", "length": <bytes>}`.
pub fn digest(bytes: &[u8]) -> Value {
    let mut text = hex::encode(Sha256::digest(bytes));
    text.truncate(12);
    json!({"sha256": text, "length": bytes.len()})
}

impl Sensitivity {
    fn of(group: &str, kind: &str) -> Self {
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        if is("Secret") || is("SecretList") {
            Self::Secret
        } else if group == "authentication.k8s.io" || is("TokenRequest") || is("TokenReview") {
            Self::Token
        } else {
            Self::Plain
        }
    }

    /// The sensitivity of a nested object: its own where its `kind` names one, else the inherited one.
    fn of_nested(self, map: &Map<String, Value>) -> Self {
        match map.get("kind").and_then(Value::as_str).map_or(Self::Plain, |kind| Self::of("", kind)) {
            Self::Plain => self,
            own => own,
        }
    }
}

fn mask_tree(value: &mut Value, parent: &str, sensitivity: Sensitivity, depth: usize) {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => mask_value(value),
        Value::Array(items) => {
            for item in items {
                mask_tree(item, parent, sensitivity, depth + 1);
            }
        }
        Value::Object(map) => {
            let sensitivity = sensitivity.of_nested(map);
            for (key, value) in map.iter_mut() {
                match key.as_str() {
                    "data" | "stringData" if sensitivity == Sensitivity::Secret => mask_values(value),
                    "token" if sensitivity == Sensitivity::Token => mask_value(value),
                    // A string where an object with a token is expected.
                    "status" | "spec" if sensitivity == Sensitivity::Token && value.is_string() => {
                        mask_value(value)
                    }
                    "env" => mask_env(value, parent, sensitivity, depth + 1),
                    key if key.ends_with(LAST_APPLIED) => mask_value(value),
                    key => mask_tree(value, key, sensitivity, depth + 1),
                }
            }
        }
        _ => {}
    }
}

/// Variables of a container are `[{name, value}]`; those of a Vela trait are `{NAME: value}`.
fn mask_env(env: &mut Value, parent: &str, sensitivity: Sensitivity, depth: usize) {
    match env {
        Value::Array(variables) => {
            for variable in variables {
                match variable {
                    Value::Object(fields) => mask_variable(fields, sensitivity, depth),
                    other => mask_value(other),
                }
            }
        }
        Value::String(_) if LABEL_MAPS.contains(&parent) => {}
        other => mask_values(other),
    }
}

/// Only `name` and `valueFrom` of a variable stay readable.
fn mask_variable(fields: &mut Map<String, Value>, sensitivity: Sensitivity, depth: usize) {
    for (key, value) in fields {
        match key.as_str() {
            "name" if value.is_string() => {}
            "valueFrom" if value.is_object() => mask_tree(value, key, sensitivity, depth + 1),
            _ => mask_value(value),
        }
    }
}

/// Keys of a map stay readable; any other value is masked whole.
fn mask_values(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(mask_value),
        other => mask_value(other),
    }
}

fn mask_value(value: &mut Value) {
    if is_masked(value) {
        return;
    }
    *value = match &*value {
        Value::Null => Value::Null,
        Value::String(text) => digest(text.as_bytes()),
        other => digest(other.to_string().as_bytes()),
    };
}

/// Whether the value is a result of [`digest`].
fn is_masked(value: &Value) -> bool {
    let Some(map) = value.as_object() else { return false };
    let sha256 = map.get("sha256").and_then(Value::as_str).unwrap_or_default();
    let hex = sha256.len() == 12 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    map.len() == 2 && hex && map.get("length").is_some_and(Value::is_u64)
}

/// Masks an observed value if its field (`spec.containers[0].env[1].value`, or a JSON pointer) is one that [`mask_object`]
/// masks in an object of this kind. Otherwise masks secrets within the value if it is JSON.
pub(crate) fn mask_observed<'a>(kind: &str, field: &str, observed: &'a str) -> Cow<'a, str> {
    let sensitivity = Sensitivity::of("", kind);
    let steps = parse_field(field);
    if observed.is_empty() {
        Cow::Borrowed(observed)
    } else if is_secret_field(sensitivity, kind, &steps) {
        mask_whole(observed)
    } else {
        mask_within(sensitivity, kind, observed)
    }
}

/// Masks the details of a finding like [`mask_observed`]; the result is JSON.
pub(crate) fn mask_details<'a>(kind: &str, field: &str, details: &'a str) -> Cow<'a, str> {
    let Ok(text) = serde_json::from_str::<String>(details) else {
        return mask_observed(kind, field, details);
    };
    // A JSON string may hold an object as text.
    match mask_observed(kind, field, &text) {
        Cow::Borrowed(_) => Cow::Borrowed(details),
        Cow::Owned(masked) => Cow::Owned(Value::from(masked).to_string()),
    }
}

/// A masked value stays as it is: policies see Secrets masked, and may observe a masked value.
fn mask_whole(observed: &str) -> Cow<'_, str> {
    if serde_json::from_str(observed).is_ok_and(|value| is_masked(&value)) {
        return Cow::Borrowed(observed);
    }
    Cow::Owned(digest(observed.as_bytes()).to_string())
}

fn mask_within<'a>(sensitivity: Sensitivity, kind: &str, observed: &'a str) -> Cow<'a, str> {
    let text = observed.trim_start();
    if !text.starts_with(['{', '[']) {
        return Cow::Borrowed(observed);
    }
    let Ok(mut value) = serde_json::from_str::<Value>(observed) else {
        // Part of an object, or another notation: it stays readable only if it cannot hold a secret.
        let markers = ["env", "ecret", "oken", "stringData", LAST_APPLIED, "\"value\""];
        // The part that was cut may have had a marker.
        let readable = sensitivity == Sensitivity::Plain
            && !observed.ends_with('…')
            && !markers.iter().any(|marker| text.contains(marker));
        return if readable { Cow::Borrowed(observed) } else { mask_whole(observed) };
    };
    let before = value.clone();
    mask_object("", kind, &mut value);
    if value == before { Cow::Borrowed(observed) } else { Cow::Owned(value.to_string()) }
}

fn is_secret_field(sensitivity: Sensitivity, kind: &str, steps: &[Step]) -> bool {
    let first = steps.first().map(|step| step.name.as_str());
    let has = |name: &str| steps.iter().any(|step| step.name == name);
    if steps.iter().any(|step| step.name.ends_with(LAST_APPLIED)) || is_env_value(steps) {
        return true;
    }
    match sensitivity {
        Sensitivity::Secret => {
            !first.is_some_and(|first| READABLE_SECRET_FIELDS.contains(&first))
                || has("data")
                || has("stringData")
        }
        Sensitivity::Token => {
            steps.is_empty() || has("token") || (steps.len() == 1 && matches!(first, Some("status" | "spec")))
        }
        // A List or a Vela component may contain a Secret; the `data` of a ConfigMap is not secret.
        Sensitivity::Plain => has("stringData") || (has("data") && !kind.starts_with("ConfigMap")),
    }
}

/// Below `env` only `name` and `valueFrom` of a variable stay readable.
fn is_env_value(steps: &[Step]) -> bool {
    let mut parent = "";
    for (index, step) in steps.iter().enumerate() {
        if step.name == "env" && !LABEL_MAPS.contains(&parent) {
            let mut below = steps.iter().skip(index + 1);
            let indexed = below.next().is_some_and(|step| step.index);
            let readable =
                below.next().is_some_and(|step| matches!(step.name.as_str(), "name" | "valueFrom"));
            if !(indexed && readable) {
                return true;
            }
        }
        parent = &step.name;
    }
    false
}

#[derive(Debug, PartialEq, Eq)]
struct Step {
    name: String,
    /// Whether it can be an element of a list: a number, or in brackets.
    index: bool,
}

/// Parses `a.b[0].c["x.y/z"]` or `/a/b/0/c/x.y~1z`; any text is a valid field.
fn parse_field(field: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    if let Some(pointer) = field.strip_prefix('/') {
        for part in pointer.split('/') {
            push_step(&mut steps, &part.replace("~1", "/").replace("~0", "~"), false);
        }
        return steps;
    }
    let mut name = String::new();
    let mut bracket = false;
    let mut quote = None;
    for character in field.chars() {
        match (character, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) if bracket => quote = Some(character),
            ('[' | '.', None) if !bracket => {
                push_step(&mut steps, &std::mem::take(&mut name), false);
                bracket = character == '[';
            }
            (']', None) if bracket => {
                push_step(&mut steps, &std::mem::take(&mut name), true);
                bracket = false;
            }
            (other, _) => name.push(other),
        }
    }
    push_step(&mut steps, &name, bracket);
    steps
}

fn push_step(steps: &mut Vec<Step>, name: &str, bracketed: bool) {
    if !name.is_empty() {
        let index = bracketed || name.bytes().all(|byte| byte.is_ascii_digit());
        steps.push(Step { name: name.to_owned(), index });
    }
}
