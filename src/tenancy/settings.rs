//! Settings in the ledger: one value per key, together the `settings` of a snapshot.
//!
//! A value that a gate refuses would stop every later change, so settings are checked by the snapshot's own check.

use serde_json::{Map, Value, json};

use super::image::RegistryEntry;
use super::name::check_prefix;
use super::resource::Pattern;
use super::snapshot::{Snapshot, SnapshotError, schema};
use super::text::{is_dns_label, is_dns_subdomain, quoted};

/// Every key, in the order of the document.
pub const KEYS: [&str; 6] =
    ["prefix", "labelPrefix", "registries", "identities", "connect", "workloadWrites"];

/// Who creates sandboxes: `{"developers": true}`; with false only owners. Not part of the snapshot.
pub const SANDBOXES: &str = "sandboxes";

/// How long the names of deleted things stay reserved: `{"hours": 24}`. Not part of the snapshot.
pub const NAME_REUSE: &str = "nameReuse";

/// Keys that are not part of the snapshot.
pub const SERVICE_KEYS: [&str; 2] = [SANDBOXES, NAME_REUSE];

/// A year.
const REUSE_HOURS_MAX: i64 = 366 * 24;

/// Longest username or group, in bytes.
const NAME_MAX: usize = 256;

/// A problem of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// JSON pointer into the value; empty for the whole.
    pub pointer: String,
    pub detail: String,
}

/// What a tenant has to do with settings: no identity may be trusted by a group of its people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantGroups {
    pub slug: String,
    pub id: String,
    pub groups: Vec<String>,
}

/// Default values. A new ledger trusts the cluster's own administrators; an explicit empty list trusts none.
pub fn defaults() -> Map<String, Value> {
    let identities = json!([
        { "name": "masters", "class": "admin", "group": "system:masters" },
        { "name": "cluster-admins", "class": "admin", "group": "kubeadm:cluster-admins" },
    ]);
    let mut settings = match check(&Map::new(), &[]) {
        Ok(snapshot) => snapshot.settings_document().as_object().cloned().unwrap_or_default(),
        Err(_) => Map::new(),
    };
    settings.insert("identities".to_owned(), identities);
    settings
}

pub fn service_defaults() -> Map<String, Value> {
    let defaults = [(SANDBOXES, json!({ "developers": true })), (NAME_REUSE, json!({ "hours": 24 }))];
    defaults.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// JSON Schema of one key's value, as the snapshot has it; `None` for an unknown key.
pub fn schema_of(key: &str) -> Option<Value> {
    if key == SANDBOXES {
        return Some(json!({
            "type": "object",
            "properties": { "developers": { "type": "boolean" } },
            "required": ["developers"],
            "additionalProperties": false,
        }));
    }
    if key == NAME_REUSE {
        return Some(json!({
            "type": "object",
            "properties": { "hours": { "type": "integer", "minimum": 0, "maximum": REUSE_HOURS_MAX } },
            "required": ["hours"],
            "additionalProperties": false,
        }));
    }
    let mut whole = schema();
    let value = whole.pointer(&format!("/$defs/Settings/properties/{key}"))?.clone();
    let defs = whole.get_mut("$defs").map(Value::take)?;
    Some(json!({ "allOf": [value], "$defs": defs }))
}

/// Syntax errors in a value that matches [`schema_of`].
pub fn grammar(key: &str, value: &Value) -> Vec<SettingError> {
    let mut found = Vec::new();
    let mut check = |pointer: String, problem: Option<String>| {
        found.extend(problem.map(|detail| SettingError { pointer, detail }));
    };
    let text = value.as_str().unwrap_or_default();
    match key {
        "prefix" => check(String::new(), check_prefix(text).err().map(|error| error.to_string())),
        "labelPrefix" => check(String::new(), (!is_dns_subdomain(text)).then(|| subdomain(text))),
        "registries" => {
            for list in ["ceiling", "platform"] {
                for (index, entry) in strings(&value[list]) {
                    let problem = RegistryEntry::parse(entry).err().map(|error| error.to_string());
                    check(format!("/{list}/{index}"), problem);
                }
            }
        }
        "workloadWrites" => {
            for (index, write) in strings(value) {
                check(format!("/{index}"), Pattern::parse(write).err().map(|error| error.to_string()));
            }
        }
        "identities" => {
            for (index, identity) in value.as_array().into_iter().flatten().enumerate() {
                names(identity, |field, problem| check(format!("/{index}/{field}"), problem));
                for (write, text) in strings(&identity["writes"]) {
                    let problem = Pattern::parse(text).err().map(|error| error.to_string());
                    check(format!("/{index}/writes/{write}"), problem);
                }
            }
        }
        _ => {}
    }
    found
}

/// Semantic errors of the settings as a whole, reported at the value of `key`.
pub fn meaning(key: &str, settings: &Map<String, Value>, tenants: &[TenantGroups]) -> Vec<SettingError> {
    let problems = match check(settings, tenants) {
        Ok(_) => return Vec::new(),
        Err(SnapshotError::Invalid { problems, .. }) => problems,
        Err(other) => return vec![SettingError { pointer: String::new(), detail: other.to_string() }],
    };
    let own = format!("settings.{key}");
    let objection = |problem: super::snapshot::Problem| match problem.path.strip_prefix(&own) {
        Some(rest) => {
            let detail = problem.to_string();
            let detail = detail.split_once(": ").map_or(detail.as_str(), |(_, said)| said).to_owned();
            SettingError { pointer: pointer(rest), detail }
        }
        // The problem is at another key or at a tenant; the message says which.
        None => SettingError { pointer: String::new(), detail: problem.to_string() },
    };
    problems.into_iter().map(objection).collect()
}

fn check(settings: &Map<String, Value>, tenants: &[TenantGroups]) -> Result<Snapshot, SnapshotError> {
    let tenants: Map<String, Value> = tenants
        .iter()
        .map(|tenant| {
            let body = json!({ "id": tenant.id, "status": "active", "groups": tenant.groups });
            (tenant.slug.clone(), body)
        })
        .collect();
    let mut settings = settings.clone();
    SERVICE_KEYS.iter().for_each(|key| drop(settings.remove(*key)));
    let ledger = "00000000-0000-7000-8000-000000000000";
    let document = json!({ "ledger": ledger, "revision": 0, "settings": settings, "tenants": tenants });
    Snapshot::parse("settings.json", document.to_string().as_bytes())
}

/// `.ceiling[3].x` → `/ceiling/3/x`; no key of a setting holds a dot, a bracket or a slash.
fn pointer(path: &str) -> String {
    path.replace(['.', '['], "/").replace(']', "")
}

fn strings(list: &Value) -> impl Iterator<Item = (usize, &str)> {
    list.as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(index, item)| Some((index, item.as_str()?)))
}

fn names(identity: &Value, mut check: impl FnMut(&str, Option<String>)) {
    let name = identity["name"].as_str().unwrap_or_default();
    let label = "is not one DNS label: lower-case letters, digits and inner hyphens, at most 63";
    check("name", (!is_dns_label(name)).then(|| format!("{} {label}", quoted(name))));
    for field in ["username", "group"] {
        let Some(text) = identity[field].as_str() else { continue };
        let fits = (1..=NAME_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        check(
            field,
            (!fits).then(|| format!("{} has not 1 to 256 characters, or control characters", quoted(text))),
        );
    }
}

fn subdomain(text: &str) -> String {
    format!("{} is not a DNS subdomain in lower case, at most 253 characters", quoted(text))
}

#[cfg(test)]
mod tests;
