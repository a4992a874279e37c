//! Finds labels, annotations, finalizers and owners inside an object, which controllers copy to the objects they create.
//!
//! For built-in kinds policies know the path of the template. In custom resources every field counts whose name contains
//! `label` or `annotation`, except in a selector, and every list of finalizers or owners.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use portcullis_policy::Value;

use super::changes;
use super::decode::interned;
use super::review::{Header, Review};
use super::workload::ShapeError;

/// The maps in `input.templates`; an object with more is rejected.
const MAPS_MAX: usize = 1000;

/// The bytes of a map's path.
const PATH_BYTES_MAX: usize = 4096;

/// The built-in API groups.
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

/// Whether the object is a custom resource, or a built-in kind that contains metadata at no fixed path.
pub(crate) fn searched(header: &Header) -> bool {
    let resource = &header.resource;
    !BUILT_IN.contains(&resource.group.as_str())
        || (resource.group == "resource.k8s.io" && resource.resource == "resourceclaimtemplates")
}

/// `input.templates`: `{field, entries, old}` for each map that has a key that may be reserved. Read from the body, because
/// maps may be nested deeper than decoded values.
///
/// # Errors
/// Too many maps, or a path that is too long.
pub(crate) fn value(review: &Review) -> Result<Value, ShapeError> {
    if !searched(&review.header) {
        return Ok(Value::new_array());
    }
    changes::with_stack(review, || {
        let (new, old) = changes::objects(review);
        let (new, mut old) = (maps_of(&new, &review.header)?, maps_of(&old, &review.header)?);
        let changed = new.into_iter().map(|(field, entries)| {
            let before = old.remove(&field).unwrap_or_else(Value::new_object);
            entry(&field, entries, before)
        });
        let mut templates: Vec<Value> = changed.collect();
        templates.extend(old.into_iter().map(|(field, before)| entry(&field, Value::new_object(), before)));
        Ok(Value::from(templates))
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

/// The maps of an object, by path.
fn maps_of(object: &Json, header: &Header) -> Result<Maps, ShapeError> {
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
        let name = folded(key);
        let selector = name.ends_with("selector") || name.ends_with("selectors");
        let istio = self.istio && matches!(name.as_str(), "subsets" | "sourcelabels");
        if !(selects || selector || istio && name == "sourcelabels") {
            let pairs = pairs_of(&name, value, &mut self.nested_bytes);
            if self.nested_bytes > NESTED_BYTES_MAX {
                return wrong(path, "one more nested label or annotation", "within 1 MiB of them");
            }
            self.add(pairs, path)?;
        }
        if nests(value) { self.below(value, path, selector || istio) } else { Ok(()) }
    }

    fn add(&mut self, pairs: Pairs, path: &str) -> Result<(), ShapeError> {
        // Maps without keys that may be reserved do not count against the limit.
        if !pairs.keys().any(|key| may_be_reserved(key)) {
            return Ok(());
        }
        if path.len() > PATH_BYTES_MAX {
            return wrong(path, "a map of labels or annotations", "within a path of 4096 bytes");
        }
        // A duplicate key has two values, and a controller may use either.
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

fn wrong(path: &str, found: &'static str, expected: &'static str) -> Result<(), ShapeError> {
    Err(ShapeError { path: path.chars().take(200).collect(), found, expected })
}

/// Quotes keys with special characters, so that different fields have different paths.
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

/// The values of each key; a key may occur with several.
type Pairs = BTreeMap<String, BTreeSet<String>>;

/// The fields of a list entry that hold a label's name and its value; lower case.
const NAMES: [&str; 9] =
    ["name", "key", "k", "label", "annotation", "labelname", "labelkey", "annotationname", "annotationkey"];
const VALUES: [&str; 5] = ["value", "val", "v", "labelvalue", "annotationvalue"];

/// The fields of an owner that follow its apiVersion in the key.
const OWNER: [&str; 3] = ["kind", "name", "uid"];

/// The bytes of values that are not strings or that are in a string. Nested values may be counted more than once.
const NESTED_BYTES_MAX: usize = 1 << 20;

/// Whether a key may be reserved: it has a domain and a slash, or the prefix of the previous product.
fn may_be_reserved(key: &str) -> bool {
    key.contains('/') || key.starts_with("kubenova.")
}

/// The metadata that a controller may copy from a field; `name` is lower case. Adds the size of values that are not strings
/// to `nested_bytes`.
fn pairs_of(name: &str, value: &Json, nested_bytes: &mut usize) -> Pairs {
    let mut pairs = Pairs::new();
    if name.contains("finalizer") {
        finalizers(value, &mut pairs);
    } else if name.contains("ownerreference") || name.contains("ownerref") {
        owners(value, &mut pairs);
    } else if (name.contains("label") && name != "matchlabels") || name.contains("annotation") {
        labels(value, &mut pairs, nested_bytes);
    }
    pairs
}

/// A name in the form in which Go compares it: case-insensitive, `ſ` as `s`.
fn folded(name: &str) -> String {
    if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_uppercase().to_lowercase() }
}

fn put(pairs: &mut Pairs, key: &str, value: String) {
    pairs.entry(key.to_owned()).or_default().insert(value);
}

fn labels(value: &Json, pairs: &mut Pairs, nested_bytes: &mut usize) {
    match value {
        Json::String(text) => labels_in_text(text, pairs, nested_bytes),
        Json::Object(map) => {
            for (key, value) in map {
                if value.is_string() || may_be_reserved(key) {
                    put(pairs, key, value_text(value, nested_bytes));
                }
            }
        }
        Json::Array(items) => {
            for item in items {
                match item {
                    Json::String(text) => labels_in_text(text, pairs, nested_bytes),
                    Json::Object(entry) => label_entry(entry, pairs, nested_bytes),
                    // Unknown structure: every string counts as a key.
                    Json::Array(texts) => {
                        for text in texts.iter().filter_map(Json::as_str) {
                            put(pairs, text, String::new());
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Adds labels in one string: `a=b,c=d`, YAML, JSON or a template. A name alone is not a label.
fn labels_in_text(text: &str, pairs: &mut Pairs, nested_bytes: &mut usize) {
    let apart = |letter: char| letter.is_whitespace() || ",;{}\"'=:".contains(letter);
    for (at, _) in text.match_indices(['=', ':']) {
        let (before, after) = text.split_at(at);
        let before = before.trim_end_matches(['"', '\'', ' ', '\t']);
        let key = before.rsplit(apart).next().unwrap_or_default();
        if !may_be_reserved(key) {
            continue;
        }
        let value =
            after.get(1..).unwrap_or_default().split([',', ';', '\n', '}']).next().unwrap_or_default();
        *nested_bytes += value.len();
        if *nested_bytes > NESTED_BYTES_MAX {
            return;
        }
        put(pairs, key, value.trim().trim_matches(['"', '\'']).to_owned());
    }
}

/// Adds a label that is a list entry: `{name, value}`, `{key, value}` or `{<key>: value}`.
fn label_entry(entry: &Map<String, Json>, pairs: &mut Pairs, nested_bytes: &mut usize) {
    let fields: Vec<(String, &Json)> = entry.iter().map(|(key, value)| (folded(key), value)).collect();
    let named = |names: &'static [&str]| fields.iter().filter(|(key, _)| names.contains(&key.as_str()));
    for key in named(&NAMES).filter_map(|(_, value)| value.as_str()) {
        let mut values = named(&VALUES).peekable();
        if values.peek().is_none() {
            put(pairs, key, String::new());
        }
        for (_, value) in values {
            put(pairs, key, value_text(value, nested_bytes));
        }
    }
    for (key, value) in entry.iter().filter(|(key, _)| may_be_reserved(key)) {
        put(pairs, key, value_text(value, nested_bytes));
    }
}

fn value_text(value: &Json, nested_bytes: &mut usize) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => {
            let text = other.to_string();
            *nested_bytes += text.len();
            text
        }
    }
}

/// Adds finalizers: strings, a list of them, or the keys and values of objects.
fn finalizers(value: &Json, pairs: &mut Pairs) {
    let mut name = |name: &str| put(pairs, name, String::new());
    let mut each = |value: &Json| match value {
        Json::String(text) => text.split([',', '\n']).map(str::trim).for_each(&mut name),
        Json::Object(fields) => {
            for (key, value) in fields {
                name(key);
                value.as_str().into_iter().for_each(&mut name);
            }
        }
        Json::Array(texts) => texts.iter().filter_map(Json::as_str).for_each(&mut name),
        _ => {}
    };
    match value {
        Json::Array(items) => items.iter().for_each(each),
        other => each(other),
    }
}

/// Adds owners: one, a list, or a map by name.
fn owners(value: &Json, pairs: &mut Pairs) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| owner(item, pairs)),
        Json::Object(fields) if !fields.keys().any(|key| folded(key) == "apiversion") => {
            fields.values().for_each(|item| owner(item, pairs));
        }
        other => owner(other, pairs),
    }
}

/// Adds an owner as a key that begins with the apiVersion, because reserved owners are recognised by it.
fn owner(owner: &Json, pairs: &mut Pairs) {
    let Json::Object(fields) = owner else {
        return owner.as_str().into_iter().for_each(|text| put(pairs, text, String::new()));
    };
    let texts = |field: &str| -> Vec<&str> {
        let named = fields.iter().filter(|(key, _)| folded(key) == field);
        named.filter_map(|(_, value)| value.as_str()).collect()
    };
    let rest = OWNER.map(|key| texts(key).join(" ")).join(" ");
    let versions = texts("apiversion");
    for version in if versions.is_empty() { vec![""] } else { versions } {
        put(pairs, format!("{version} {rest}").trim_end(), String::new());
    }
}

#[cfg(test)]
mod tests;
