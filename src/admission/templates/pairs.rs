//! Which labels, annotations, finalizers and owners a field holds, in whichever of the usual shapes they are written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

/// Every value that is written for a key.
pub type Pairs = BTreeMap<String, BTreeSet<String>>;

/// Fields of a list's entry that name a label, and those that hold its value; lower case.
const NAMES: [&str; 9] =
    ["name", "key", "k", "label", "annotation", "labelname", "labelkey", "annotationname", "annotationkey"];
const VALUES: [&str; 5] = ["value", "val", "v", "labelvalue", "annotationvalue"];

/// What else of an owner stands in its key, behind the apiVersion.
const OWNER: [&str; 3] = ["kind", "name", "uid"];

/// Bytes of labels that are no texts, or stand within one: those of an outer one may be those of an inner one too.
pub const NESTED_BYTES_MAX: usize = 1 << 20;

/// Whether a key could be reserved: those have a domain and a slash, or are of the generation before.
pub fn may_be_reserved(key: &str) -> bool {
    key.contains('/') || key.starts_with("kubenova.")
}

/// What a controller would copy of a field of this name, in lower case; empty where it is not metadata. `nested_bytes` grows
/// by what is no text.
pub fn of(name: &str, value: &Json, nested_bytes: &mut usize) -> Pairs {
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

/// A name as Go compares it: without regard to case, `ſ` as `s`.
pub fn folded(name: &str) -> String {
    if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_uppercase().to_lowercase() }
}

fn put(pairs: &mut Pairs, key: &str, value: String) {
    pairs.entry(key.to_owned()).or_default().insert(value);
}

fn labels(value: &Json, pairs: &mut Pairs, nested_bytes: &mut usize) {
    match value {
        Json::String(text) => written(text, pairs, nested_bytes),
        Json::Object(map) => {
            for (key, value) in map {
                if value.is_string() || may_be_reserved(key) {
                    put(pairs, key, text(value, nested_bytes));
                }
            }
        }
        Json::Array(items) => {
            for item in items {
                match item {
                    Json::String(text) => written(text, pairs, nested_bytes),
                    Json::Object(entry) => listed(entry, pairs, nested_bytes),
                    // No shape that is known: what it mentions counts.
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

/// Labels in one text, as `a=b,c=d`, YAML, JSON or a template of one. A name alone is not a label but the name of one.
fn written(text: &str, pairs: &mut Pairs, nested_bytes: &mut usize) {
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

/// A label that is an entry of a list: `{name, value}`, `{key, value}`, or `{<key>: value}`.
fn listed(entry: &Map<String, Json>, pairs: &mut Pairs, nested_bytes: &mut usize) {
    let fields: Vec<(String, &Json)> = entry.iter().map(|(key, value)| (folded(key), value)).collect();
    let named = |names: &'static [&str]| fields.iter().filter(|(key, _)| names.contains(&key.as_str()));
    for key in named(&NAMES).filter_map(|(_, value)| value.as_str()) {
        let mut values = named(&VALUES).peekable();
        if values.peek().is_none() {
            put(pairs, key, String::new());
        }
        for (_, value) in values {
            put(pairs, key, text(value, nested_bytes));
        }
    }
    for (key, value) in entry.iter().filter(|(key, _)| may_be_reserved(key)) {
        put(pairs, key, text(value, nested_bytes));
    }
}

fn text(value: &Json, nested_bytes: &mut usize) -> String {
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

/// Names in a list, alone, as keys, or as texts of objects.
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

/// Owners in a list, alone, or by name in a map.
fn owners(value: &Json, pairs: &mut Pairs) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| owner(item, pairs)),
        Json::Object(fields) if !fields.keys().any(|key| folded(key) == "apiversion") => {
            fields.values().for_each(|item| owner(item, pairs));
        }
        other => owner(other, pairs),
    }
}

/// An owner as a key: it begins with the apiVersion, by which it is reserved.
fn owner(owner: &Json, pairs: &mut Pairs) {
    let Json::Object(fields) = owner else {
        return owner.as_str().into_iter().for_each(|text| put(pairs, text, String::new()));
    };
    let texts = |wanted: &str| -> Vec<&str> {
        let named = fields.iter().filter(|(key, _)| folded(key) == wanted);
        named.filter_map(|(_, value)| value.as_str()).collect()
    };
    let rest = OWNER.map(|key| texts(key).join(" ")).join(" ");
    let versions = texts("apiversion");
    for version in if versions.is_empty() { vec![""] } else { versions } {
        put(pairs, format!("{version} {rest}").trim_end(), String::new());
    }
}
