//! Labels and annotations that stand somewhere inside an object, of kinds whose controllers copy them to what they make.
//!
//! Of the kinds that Kubernetes serves itself it is known where templates stand, and policies read them there. Custom
//! resources have them anywhere, under `template`, `podMetadata`, `secretTemplate` or `infrastructure`; so each map that is
//! called `labels` or `annotations` is one, but for those of a selector.

use std::collections::BTreeMap;

use crate::policy::Value;

use super::decode::interned;
use super::review::{Header, Review};
use super::workload::ShapeError;

/// Maps that are told; with more, the object is not judged by what was left out but refused.
const MAPS_MAX: usize = 1000;

/// API groups that Kubernetes serves itself.
const BUILT_IN: [&str; 23] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Whether an object of this kind is searched: a custom resource, or a built-in kind that holds metadata of its own.
pub fn searched(header: &Header) -> bool {
    let resource = &header.resource;
    !BUILT_IN.contains(&resource.group.as_str())
        || (resource.group == "resource.k8s.io" && resource.resource == "resourceclaimtemplates")
}

/// `input.templates`: `{field, entries, old}` of each map of labels or annotations below the object's own metadata.
///
/// # Errors
/// There are more than can be told.
pub fn value(review: &Review) -> Result<Value, ShapeError> {
    if !searched(&review.header) {
        return Ok(Value::new_array());
    }
    let maps = |object: &Option<Value>| object.as_ref().map(found).transpose().map(Option::unwrap_or_default);
    let (new, mut old) = (maps(&review.object)?, maps(&review.old_object)?);
    let told = new.into_iter().map(|(field, entries)| {
        let before = old.remove(&field).unwrap_or_else(Value::new_object);
        entry(&field, entries, before)
    });
    let mut told: Vec<Value> = told.collect();
    told.extend(old.into_iter().map(|(field, before)| entry(&field, Value::new_object(), before)));
    Ok(Value::from(told))
}

fn entry(field: &str, entries: Value, old: Value) -> Value {
    Value::from(BTreeMap::from([
        (interned("field"), Value::from(field)),
        (interned("entries"), entries),
        (interned("old"), old),
    ]))
}

/// The maps of an object, by their path.
fn found(object: &Value) -> Result<BTreeMap<String, Value>, ShapeError> {
    let mut found = BTreeMap::new();
    let Value::Object(fields) = object else { return Ok(found) };
    for (key, value) in fields.iter() {
        if let Value::String(key) = key
            && !key.eq_ignore_ascii_case("metadata")
        {
            search(value, key.to_string(), false, &mut found)?;
        }
    }
    Ok(found)
}

fn search(
    value: &Value,
    path: String,
    selects: bool,
    found: &mut BTreeMap<String, Value>,
) -> Result<(), ShapeError> {
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate().filter(|(_, item)| nests(item)) {
                search(item, format!("{path}[{at}]"), selects, found)?;
            }
        }
        Value::Object(fields) => {
            for (key, below) in fields.iter().filter(|(_, below)| nests(below)) {
                let Value::String(key) = key else { continue };
                let here = format!("{path}.{key}");
                let map = key.eq_ignore_ascii_case("labels") || key.eq_ignore_ascii_case("annotations");
                if map && !selects && matches!(below, Value::Object(_)) {
                    if found.len() >= MAPS_MAX {
                        let (found, wanted) =
                            ("one more map of labels or annotations", "among the first 1000");
                        return Err(ShapeError { path: here, found, wanted });
                    }
                    found.insert(here.clone(), below.clone());
                }
                search(below, here, key.to_ascii_lowercase().ends_with("selector"), found)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn nests(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Object(_))
}

#[cfg(test)]
mod tests;
