//! Labels, annotations, finalizers and owners that stand somewhere inside an object, of kinds whose controllers copy them to
//! what they make.
//!
//! Of the kinds that Kubernetes serves itself it is known where templates stand, and policies read them there. Custom
//! resources have them anywhere, under `template`, `podMetadata`, `podLabels` or `infrastructure`; so each field whose name
//! speaks of labels or annotations is one, but for those of a selector, and each list of finalizers or owners.

mod pairs;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value as Json;

use portcullis_policy::Value;

use self::pairs::{NESTED_BYTES_MAX, Pairs};
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
/// list of finalizers or owners as a map, where one of its keys has a slash or could be reserved otherwise. Read from the body, since an object may be deeper than what policies are handed.
///
/// # Errors
/// There are more than can be told, or a path is too long.
pub fn value(review: &Review) -> Result<Value, ShapeError> {
    if !searched(&review.header) {
        return Ok(Value::new_array());
    }
    changes::with_stack(review, || {
        let (new, old) = changes::objects(review);
        let (new, mut old) = (found(&new, &review.header)?, found(&old, &review.header)?);
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
fn found(object: &Json, header: &Header) -> Result<Maps, ShapeError> {
    let istio = header.resource.group == "networking.istio.io";
    let mut search = Search { istio, found: Maps::new(), nested_bytes: 0 };
    let Json::Object(fields) = object else { return Ok(search.found) };
    for (key, value) in fields.iter().filter(|(key, _)| *key != "metadata") {
        let mut path = String::new();
        push_key(&mut path, key);
        search.field(key, value, &mut path, false)?;
    }
    Ok(search.found)
}

struct Search {
    istio: bool,
    found: Maps,
    nested_bytes: usize,
}

impl Search {
    fn below(&mut self, value: &Json, path: &mut String, selects: bool) -> Result<(), ShapeError> {
        let length = path.len();
        match value {
            Json::Array(items) => {
                for (at, item) in items.iter().enumerate().filter(|(_, item)| nests(item)) {
                    let _ = write!(path, "[{at}]");
                    self.below(item, path, selects)?;
                    path.truncate(length);
                }
            }
            Json::Object(fields) => {
                for (key, below) in fields {
                    push_key(path, key);
                    self.field(key, below, path, selects)?;
                    path.truncate(length);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A field and what is below it; `path` ends in its name.
    fn field(&mut self, key: &str, value: &Json, path: &mut String, selects: bool) -> Result<(), ShapeError> {
        let name = pairs::folded(key);
        let selector = name.ends_with("selector") || name.ends_with("selectors");
        let istio = self.istio && matches!(name.as_str(), "subsets" | "sourcelabels");
        if !(selects || selector || istio && name == "sourcelabels") {
            let pairs = pairs::of(&name, value, &mut self.nested_bytes);
            if self.nested_bytes > NESTED_BYTES_MAX {
                return wrong(path, "one more nested label or annotation", "within 1 MiB of them");
            }
            self.add(pairs, path)?;
        }
        if nests(value) { self.below(value, path, selector || istio) } else { Ok(()) }
    }

    fn add(&mut self, pairs: Pairs, path: &str) -> Result<(), ShapeError> {
        // Most objects have many maps and nothing in them that could be reserved: those are free, and so not counted.
        if !pairs.keys().any(|key| pairs::may_be_reserved(key)) {
            return Ok(());
        }
        if path.len() > PATH_BYTES_MAX {
            return wrong(path, "a map of labels or annotations", "within a path of 4096 bytes");
        }
        // A key that stands twice has two values, of which a controller takes one or the other.
        for layer in 0..pairs.values().map(BTreeSet::len).max().unwrap_or_default() {
            if self.found.len() >= MAPS_MAX {
                return wrong(path, "one more map of labels or annotations", "among the first 1000");
            }
            let entries = pairs.iter().filter_map(|(key, values)| Some((key, values.iter().nth(layer)?)));
            let entries: BTreeMap<Value, Value> =
                entries.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
            let path = if layer == 0 { path.to_owned() } else { format!("{path} ({})", layer + 1) };
            self.found.insert(path, Value::from(entries));
        }
        Ok(())
    }
}

fn wrong(path: &str, found: &'static str, wanted: &'static str) -> Result<(), ShapeError> {
    Err(ShapeError { path: path.chars().take(200).collect(), found, wanted })
}

/// A key that could be read as several steps, or as the number of a map, is quoted: no two places have one path.
fn push_key(path: &mut String, key: &str) {
    let plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$' | '/' | ':');
    if key.is_empty() || !key.chars().all(plain) {
        let _ = write!(path, "[{}]", Json::from(key));
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

fn nests(value: &Json) -> bool {
    value.is_array() || value.is_object()
}

#[cfg(test)]
mod tests;
