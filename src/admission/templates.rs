//! Labels, annotations, finalizers and owners that stand somewhere inside an object, of kinds whose controllers copy them to
//! what they make.
//!
//! Of the kinds that Kubernetes serves itself it is known where templates stand, and policies read them there. Custom
//! resources have them anywhere, under `template`, `podMetadata`, `podLabels` or `infrastructure`; so each map whose name
//! ends in `labels` or `annotations` is one, but for those of a selector, and each list of finalizers or owners.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::policy::Value;

use super::changes;
use super::decode::interned;
use super::review::{Header, Review};
use super::workload::ShapeError;

/// Maps that are told; with more, the object is not judged by what was left out but refused.
const MAPS_MAX: usize = 1000;

/// Bytes of a path to one of them.
const PATH_BYTES_MAX: usize = 4096;

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

/// `input.templates`: `{field, entries, old}` of each map of labels or annotations below the object's own metadata, and of each
/// list of finalizers or owners as a map. Read from the body, since an object may be deeper than what policies are handed.
///
/// # Errors
/// There are more than can be told, or a path is too long.
pub fn value(review: &Review) -> Result<Value, ShapeError> {
    if !searched(&review.header) {
        return Ok(Value::new_array());
    }
    changes::with_stack(review, || {
        let (new, old) = changes::objects(review);
        let (new, mut old) = (found(&new)?, found(&old)?);
        let told = new.into_iter().map(|(field, entries)| {
            let before = old.remove(&field).unwrap_or_else(Value::new_object);
            entry(&field, entries, before)
        });
        let mut told: Vec<Value> = told.collect();
        told.extend(old.into_iter().map(|(field, before)| entry(&field, Value::new_object(), before)));
        Ok(Value::from(told))
    })
}

fn entry(field: &str, entries: Value, old: Value) -> Value {
    Value::from(BTreeMap::from([
        (interned("field"), Value::from(field)),
        (interned("entries"), entries),
        (interned("old"), old),
    ]))
}

type Maps = BTreeMap<String, Value>;

/// The maps of an object, by their path.
fn found(object: &Json) -> Result<Maps, ShapeError> {
    let mut found = Maps::new();
    let Json::Object(fields) = object else { return Ok(found) };
    for (key, value) in fields.iter().filter(|(key, value)| *key != "metadata" && nests(value)) {
        field(key, value, &mut key.clone(), false, &mut found)?;
    }
    Ok(found)
}

fn search(value: &Json, path: &mut String, selects: bool, found: &mut Maps) -> Result<(), ShapeError> {
    let length = path.len();
    match value {
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate().filter(|(_, item)| nests(item)) {
                let _ = write!(path, "[{at}]");
                search(item, path, selects, found)?;
                path.truncate(length);
            }
        }
        Json::Object(fields) => {
            for (key, below) in fields.iter().filter(|(_, below)| nests(below)) {
                path.push('.');
                path.push_str(key);
                field(key, below, path, selects, found)?;
                path.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

/// A field and what is below it; `path` ends in its name.
fn field(
    key: &str,
    value: &Json,
    path: &mut String,
    selects: bool,
    found: &mut Maps,
) -> Result<(), ShapeError> {
    if let Some(entries) = entries(key, value).filter(|_| !selects) {
        add(entries, path, found)?;
    }
    search(value, path, key.to_ascii_lowercase().ends_with("selector"), found)
}

/// What a controller would copy of a field of this name; `None` where it is not metadata. Go reads names without regard to
/// their case, and folds `ſ` to `s`.
fn entries(name: &str, value: &Json) -> Option<BTreeMap<Value, Value>> {
    let name = name.to_uppercase().to_lowercase();
    let labels = name.ends_with("annotations") || (name.ends_with("labels") && name != "matchlabels");
    match value {
        Json::Object(map) if labels => {
            // Labels and annotations are texts; what else stands among them is not one.
            let text = |(key, value): (&String, &Json)| Some((key.as_str().into(), value.as_str()?.into()));
            Some(map.iter().filter_map(text).collect())
        }
        Json::Array(pairs) if labels => {
            let pairs: BTreeMap<_, _> = pairs.iter().filter_map(pair).collect();
            (!pairs.is_empty()).then_some(pairs)
        }
        Json::Array(names) if name.ends_with("finalizers") => {
            Some(names.iter().filter_map(Json::as_str).map(|name| (name.into(), "".into())).collect())
        }
        Json::Array(owners) if name.ends_with("ownerreferences") => {
            Some(owners.iter().map(|owner| (named(owner), "".into())).collect())
        }
        _ => None,
    }
}

/// A label that is written `{name, value}` or `{key, value}`.
fn pair(entry: &Json) -> Option<(Value, Value)> {
    let key = ["name", "key"].iter().find_map(|key| entry.get(key).and_then(Json::as_str))?;
    Some((key.into(), entry.get("value")?.as_str()?.into()))
}

/// An owner as a key: it begins with the apiVersion, by which it is reserved.
fn named(owner: &Json) -> Value {
    let text = |key: &&str| owner.get(key).and_then(Json::as_str).unwrap_or_default();
    ["apiVersion", "kind", "name", "uid"].iter().map(text).collect::<Vec<_>>().join(" ").trim_end().into()
}

fn add(entries: BTreeMap<Value, Value>, path: &str, found: &mut Maps) -> Result<(), ShapeError> {
    let wrong = |found, wanted| Err(ShapeError { path: path.chars().take(200).collect(), found, wanted });
    if found.len() >= MAPS_MAX {
        return wrong("one more map of labels or annotations", "among the first 1000");
    }
    if path.len() > PATH_BYTES_MAX {
        return wrong("a map of labels or annotations", "within a path of 4096 bytes");
    }
    found.insert(path.to_owned(), Value::from(entries));
    Ok(())
}

fn nests(value: &Json) -> bool {
    value.is_array() || value.is_object()
}

#[cfg(test)]
mod tests;
