//! Keys that this build does not know, in a document of a newer one.
//!
//! The format's version says that all which decides is known: a newer build that decides by a new key counts the version
//! up, and renders down for readers of the one before. So a key that is not known under a known version decides nothing,
//! and is passed over and told. Exemptions are the exception: an unknown key there may be a condition, and without it the
//! exemption would lift more than was granted; such an entry is left out, as one that does not read.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::wire::inlined_schema;

/// Different places that are named; the rest is passed over without a name.
const NAMED_MAX: usize = 20;

/// Characters of a key that are named.
const KEY_CHARS_MAX: usize = 64;

static SCHEMA: LazyLock<Value> = LazyLock::new(inlined_schema);

/// Takes unknown keys out of a document or a merge patch over one, and names their places: `tenants.*.novelty`.
pub fn pass_over(document: &mut Value) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    visit(&SCHEMA, document, &mut Vec::new(), &mut places);
    places
}

fn visit(schema: &Value, value: &mut Value, path: &mut Vec<String>, places: &mut BTreeSet<String>) {
    if path.first().is_some_and(|section| section == "exceptions" || section == "breakglass") {
        return;
    }
    match value {
        Value::Array(items) => {
            let Some(schema) = of_kind(schema, "array").and_then(|schema| schema.get("items")) else {
                return;
            };
            items.iter_mut().for_each(|item| visit(schema, item, path, places));
        }
        Value::Object(fields) => {
            let Some(schema) = of_kind(schema, "object") else { return };
            let properties = schema.get("properties").and_then(Value::as_object);
            let others = schema.get("additionalProperties");
            let closed = properties.is_some() && others == Some(&Value::Bool(false));
            fields.retain(|key, value| {
                let known = properties.and_then(|properties| properties.get(key));
                let (schema, step) = match (known, others) {
                    (Some(known), _) => (known, key.as_str()),
                    (None, Some(others)) if others.is_object() => (others, "*"),
                    _ => {
                        name(path, key, closed, places);
                        return !closed;
                    }
                };
                path.push(step.to_owned());
                visit(schema, value, path, places);
                path.pop();
                true
            });
        }
        _ => {}
    }
}

fn name(path: &[String], key: &str, closed: bool, places: &mut BTreeSet<String>) {
    if closed && places.len() < NAMED_MAX {
        let key: String = key.chars().filter(|c| !c.is_control()).take(KEY_CHARS_MAX).collect();
        let steps = path.iter().map(String::as_str).chain([key.as_str()]);
        places.insert(steps.collect::<Vec<_>>().join("."));
    }
}

/// The part of a schema that is for a kind of value.
fn of_kind<'a>(schema: &'a Value, kind: &str) -> Option<&'a Value> {
    let is = |schema: &&Value| schema.get("type").and_then(Value::as_str) == Some(kind);
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(alternatives) => alternatives.iter().find(is),
        None => Some(schema).filter(is),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Snapshot;
    use crate::example;

    fn document() -> Value {
        serde_json::to_value(example::snapshot().unwrap()).unwrap()
    }

    #[test]
    fn what_is_known_stays_and_what_is_not_goes() {
        let mut document = document();
        let before = document.clone();
        assert_eq!(pass_over(&mut document), BTreeSet::new());
        assert_eq!(document, before);
        document["novelty"] = json!({"a": 1});
        document["settings"]["novelty"] = json!([]);
        document["settings"]["connect"]["novelty"] = json!(true);
        for section in ["tenants", "projects", "apps", "namespaces"] {
            for entry in document[section].as_object_mut().unwrap().values_mut() {
                entry["novelty"] = json!("x");
            }
        }
        let places = pass_over(&mut document);
        assert_eq!(document, before);
        let expected = [
            "apps.*.novelty",
            "namespaces.*.novelty",
            "novelty",
            "projects.*.novelty",
            "settings.connect.novelty",
            "settings.novelty",
            "tenants.*.novelty",
        ];
        assert_eq!(places.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_patch_is_read_the_same_way() {
        let mut patch = json!({
            "revision": 9, "novelty": null,
            "tenants": {"acme": {"status": "suspended", "novelty": 1}, "gone": null},
        });
        assert_eq!(pass_over(&mut patch).len(), 2);
        assert_eq!(patch, json!({"revision": 9, "tenants": {"acme": {"status": "suspended"}, "gone": null}}));
    }

    /// What a policy is given is free in its keys, and an exemption is never widened.
    #[test]
    fn parameters_and_exemptions_are_left_alone() {
        let entry = json!({"policy": "some-policy", "condition": "only on Sundays"});
        let mut document = json!({
            "tenants": {"acme": {"policySets": [{"rules": [{"policy": "p", "params": {"novelty": {"deep": 1}}}]}]}},
            "exceptions": {"e1": entry.clone()}, "breakglass": {"b1": {"novelty": 1}},
        });
        let before = document.clone();
        assert_eq!(pass_over(&mut document), BTreeSet::new());
        assert_eq!(document, before);
    }

    #[test]
    fn places_are_bounded_and_a_version_that_is_not_known_is_refused() {
        let mut document = document();
        for n in 0..1000 {
            document[format!("novelty{n}\n{}", "x".repeat(1000))] = json!(n);
        }
        let places = pass_over(&mut document);
        assert_eq!(places.len(), NAMED_MAX);
        assert!(places.iter().all(|place| place.len() <= KEY_CHARS_MAX && !place.contains('\n')));
        document["version"] = json!(2);
        assert!(Snapshot::or_last_good("test", document, None).is_err());
    }

    #[test]
    fn a_whole_document_reads_without_what_is_not_known() {
        let mut document = document();
        document["novelty"] = json!(1);
        document["tenants"]["acme"]["novelty"] = json!(1);
        assert!(Snapshot::of("a file that a person wrote", document.clone()).is_err());
        let (snapshot, held) = Snapshot::or_last_good("the ledger", document, None).unwrap();
        assert!(held.is_empty());
        assert_eq!(held.unknown.len(), 2);
        assert_eq!(snapshot, example::snapshot().unwrap());
    }
}
