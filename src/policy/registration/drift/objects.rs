//! The same for objects that are held against what is wanted field by field: ValidatingAdmissionPolicies and their bindings.

use serde_json::{Map, Value};

use super::{Drift, flatten, shown, text};

/// What the API server fills in where a field is left out.
const DEFAULTS: &[(&str, &str)] = &[("failurePolicy", "Fail"), ("matchPolicy", "Equivalent"), ("scope", "*")];

/// Holds documents against objects that are wanted, by kind and name; other objects among them are passed over.
pub fn drift_of_objects(wanted: &[Value], documents: &[Value]) -> Vec<Drift> {
    let mut objects = Vec::new();
    for document in documents {
        flatten(document, &mut objects);
    }
    let mut drifts = Vec::new();
    for wanted in wanted {
        let (kind, name) = (text(wanted, "/kind"), text(wanted, "/metadata/name"));
        let place = format!("{kind}/{name}");
        let is_it =
            |object: &&&Value| text(object, "/kind") == kind && text(object, "/metadata/name") == name;
        match objects.iter().find(is_it) {
            Some(found) => compare(&place, found.get("spec"), wanted.get("spec"), &mut drifts),
            None => drifts.push(Drift { place, found: None, wanted: Some("the whole object".to_owned()) }),
        }
    }
    drifts
}

fn compare(place: &str, found: Option<&Value>, wanted: Option<&Value>, drifts: &mut Vec<Drift>) {
    let none = Map::new();
    match (found, wanted) {
        (Some(Value::Object(found)), wanted @ (Some(Value::Object(_)) | None)) => {
            let wanted = wanted.and_then(Value::as_object).unwrap_or(&none);
            for key in super::union(found.keys(), wanted.keys()) {
                let filled =
                    wanted.get(key).is_none() && found.get(key).is_some_and(|value| default(key, value));
                if !filled {
                    compare(&format!("{place} {key}"), found.get(key), wanted.get(key), drifts);
                }
            }
        }
        (Some(Value::Array(found)), Some(Value::Array(wanted))) if found.len() == wanted.len() => {
            for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                let name =
                    wanted.get("name").and_then(Value::as_str).map_or_else(|| at.to_string(), str::to_owned);
                compare(&format!("{place} {name}"), Some(found), Some(wanted), drifts);
            }
        }
        (found, wanted) if found.map(plain) != wanted.map(plain) => {
            let told = |value: &Value| shown(value);
            drifts.push(Drift { place: place.to_owned(), found: found.map(told), wanted: wanted.map(told) });
        }
        _ => {}
    }
}

/// Line breaks and indents of an expression mean nothing.
fn plain(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        other => other.clone(),
    }
}

fn default(key: &str, value: &Value) -> bool {
    let empty = match value {
        Value::Object(fields) => fields.iter().all(|(key, value)| default(key, value)),
        Value::Array(items) => items.is_empty(),
        other => other.is_null(),
    };
    empty || DEFAULTS.iter().any(|(known, usual)| *known == key && value == usual)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_api_server_fills_in_is_no_difference_and_what_somebody_edits_is() {
        let wanted = json!({"kind": "P", "metadata": {"name": "a"}, "spec": {
            "failurePolicy": "Fail", "validations": [{"expression": "a &&\n  b"}], "actions": ["Deny"]}});
        let filled = json!({"kind": "P", "metadata": {"name": "a", "uid": "1"}, "spec": {
            "failurePolicy": "Fail", "validations": [{"expression": "a && b"}], "actions": ["Deny"],
            "matchConstraints": {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}}});
        let wanted = [wanted];
        assert_eq!(drift_of_objects(&wanted, &[json!({"items": [filled]})]), []);
        for (pointer, other, place) in [
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
            let drifts = drift_of_objects(&wanted, &[found]);
            let places: Vec<&str> = drifts.iter().map(|drift| drift.place.as_str()).collect();
            assert_eq!(places.len(), 1, "{drifts:?}");
            assert!(places[0].starts_with(place), "{drifts:?}");
        }
        assert_eq!(drift_of_objects(&wanted, &[])[0].place, "P/a");
    }
}
