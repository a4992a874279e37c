//! Secret values as policies see them: what they hash to and how long they are.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::decode::interned;
use portcullis_policy::Value;

/// A Secret with each value of `data` and `stringData` replaced by `{sha256, length}`, and without the copy that
/// `kubectl apply` keeps in an annotation.
pub fn secret(object: &Value) -> Value {
    let Value::Object(fields) = object else { return object.clone() };
    let mut masked: BTreeMap<Value, Value> =
        fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for key in ["data", "stringData"] {
        if let Some(value) = masked.get_mut(&interned(key)) {
            *value = values(value);
        }
    }
    let metadata = interned("metadata");
    if let Some(Value::Object(fields)) = masked.get(&metadata) {
        let mut clean: BTreeMap<Value, Value> =
            fields.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        if let Some(annotations) = clean.get_mut(&interned("annotations")) {
            *annotations = annotation(annotations);
        }
        masked.insert(metadata, Value::from(clean));
    }
    Value::from(masked)
}

fn values(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::from(
            fields.iter().map(|(key, value)| (key.clone(), digest(value))).collect::<BTreeMap<_, _>>(),
        ),
        Value::Null => Value::Null,
        // A shape we do not know is hidden whole rather than shown in part.
        other => digest(other),
    }
}

fn annotation(annotations: &Value) -> Value {
    let Value::Object(fields) = annotations else { return annotations.clone() };
    let last = interned("kubectl.kubernetes.io/last-applied-configuration");
    let hide = |(key, value): (&Value, &Value)| {
        (key.clone(), if *key == last { digest(value) } else { value.clone() })
    };
    Value::from(fields.iter().map(hide).collect::<BTreeMap<_, _>>())
}

fn digest(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    };
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    Value::from(BTreeMap::from([
        (interned("sha256"), Value::from(hash)),
        (interned("length"), Value::from(text.len())),
    ]))
}

#[cfg(test)]
mod tests;
