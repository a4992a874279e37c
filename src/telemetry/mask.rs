//! The mask: what may not be written down, in objects and in what findings observed.
//!
//! Masked are the values of Secrets, every `last-applied-configuration` (a copy of the object as text, so of its secrets
//! too), environment values, and tokens of TokenRequests and TokenReviews. When in doubt it masks: an object of an
//! unexpected shape is written down less readable, never more.
//!
//! A masked value becomes `{"sha256": "<first 12 hex digits>", "length": <bytes>}`, so that two lines can still be
//! compared. Whoever can guess a value can check the guess; the log is not for everybody's eyes.

mod observed;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

pub use observed::{mask_details, mask_observed};

/// Deeper than any object that kube-apiserver stores; what lies below is masked whole.
const DEPTH_MAX: usize = 128;

/// Maps of names to values that people choose, where `env` is a key like any other: `app=web,env=prod`.
const LABEL_MAPS: [&str; 6] =
    ["labels", "matchLabels", "nodeSelector", "selector", "annotations", "commonLabels"];

const LAST_APPLIED: &str = "last-applied-configuration";

/// What an object is, as far as the mask cares; inherited by what it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Plain,
    Secret,
    Token,
}

/// Masks an object in place. Group and kind are those of the request; objects inside (items of a List, templates, Vela
/// components, Secrets within them) are recognised by their own `kind`.
pub fn mask_object(kind_group: &str, kind: &str, object: &mut Value) {
    match object {
        Value::Null => {}
        Value::Object(_) | Value::Array(_) => walk(object, "", Nature::of(kind_group, kind), 0),
        // Not an object at all, so nobody knows what it is.
        other => mask_value(other),
    }
}

/// What stands for these bytes: `{"sha256": "<first 12 hex digits>", "length": <bytes>}`.
pub fn digest(bytes: &[u8]) -> Value {
    let mut text = hex::encode(Sha256::digest(bytes));
    text.truncate(12);
    json!({"sha256": text, "length": bytes.len()})
}

impl Nature {
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

    /// What a thing of this nature is when it says what it is itself: the stricter of the two.
    fn or(self, map: &Map<String, Value>) -> Self {
        match map.get("kind").and_then(Value::as_str).map_or(Self::Plain, |kind| Self::of("", kind)) {
            Self::Plain => self,
            own => own,
        }
    }
}

fn walk(value: &mut Value, parent: &str, nature: Nature, depth: usize) {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => mask_value(value),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, parent, nature, depth + 1)),
        Value::Object(map) => {
            let nature = nature.or(map);
            for (key, value) in map.iter_mut() {
                match key.as_str() {
                    "data" | "stringData" if nature == Nature::Secret => mask_values(value),
                    "token" if nature == Nature::Token => mask_value(value),
                    // Where a token is expected inside and there is no inside.
                    "status" | "spec" if nature == Nature::Token && value.is_string() => mask_value(value),
                    "env" => mask_env(value, parent, nature, depth + 1),
                    key if key.ends_with(LAST_APPLIED) => mask_value(value),
                    key => walk(value, key, nature, depth + 1),
                }
            }
        }
        _ => {}
    }
}

/// The variables of a container, `[{name, value}]`; or of a Vela trait, `{NAME: value}`.
fn mask_env(env: &mut Value, parent: &str, nature: Nature, depth: usize) {
    match env {
        Value::Array(variables) => {
            for variable in variables {
                match variable {
                    Value::Object(fields) => mask_variable(fields, nature, depth),
                    other => mask_value(other),
                }
            }
        }
        Value::String(_) if LABEL_MAPS.contains(&parent) => {}
        other => mask_values(other),
    }
}

/// Of a variable only its name, and where its value comes from, may be read.
fn mask_variable(fields: &mut Map<String, Value>, nature: Nature, depth: usize) {
    for (key, value) in fields {
        match key.as_str() {
            "name" if value.is_string() => {}
            "valueFrom" if value.is_object() => walk(value, key, nature, depth + 1),
            _ => mask_value(value),
        }
    }
}

/// Masks each value of a map, so that its keys can still be read; anything else whole.
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

/// Exactly what [`digest`] makes.
fn is_masked(value: &Value) -> bool {
    let Some(map) = value.as_object() else { return false };
    let sha256 = map.get("sha256").and_then(Value::as_str).unwrap_or_default();
    let hex = sha256.len() == 12 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    map.len() == 2 && hex && map.get("length").is_some_and(Value::is_u64)
}
