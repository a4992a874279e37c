//! A document with invalid entries: their tenants keep their last good state, and the rest is applied.
//!
//! One tenant's entry must not block the changes of other tenants. The status is always the document's own, so a
//! tenant does not stay active because of an invalid entry.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map as Object, Value, json};

use super::problems::{EntryKey, Problems};
use super::serialize::value;
use super::{Problem, Snapshot, SnapshotError, check, drop_unknown_keys, read, wire};

/// A repair may reveal another problem: a tenant is first restored, then left out, then the settings are restored.
const ROUNDS_MAX: usize = 4;

/// What in a snapshot differs from its document, because the document's entry is invalid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fallbacks {
    /// Slugs of tenants at their last good state; a tenant without one is not in the snapshot.
    pub tenants: BTreeSet<Arc<str>>,
    /// Other entries by path: `settings` and `policies` are the previous ones, an exception or break-glass document
    /// is left out.
    pub others: BTreeSet<String>,
    /// The first 20 problems of the document.
    pub problems: Vec<Problem>,
    /// Paths of unknown keys that were skipped, the first 20.
    pub unknown: BTreeSet<String>,
}

impl Fallbacks {
    /// Whether the snapshot equals its document.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty() && self.others.is_empty()
    }

    /// Whether a merge patch changes an entry that fell back; `snapshot` is the one with the fallbacks.
    pub fn is_touched_by(&self, patch: &Value, snapshot: &Snapshot) -> bool {
        if self.is_empty() {
            return false;
        }
        let touched = |section: &str, key: &str, entry: &Value| match section {
            "tenants" | "projects" | "apps" => self.tenants.contains(slug_of(key)),
            "namespaces" => {
                let known = snapshot.namespaces.get(key).map(|space| &*space.tenant);
                let named = entry.get("tenant").and_then(Value::as_str);
                // A namespace that goes and was not here may be a held tenant's.
                let gone = known.is_none() && named.is_none();
                gone || known.into_iter().chain(named).any(|slug| self.tenants.contains(slug))
            }
            section => self.others.contains(section) || self.others.contains(&format!("{section}.{key}")),
        };
        patch.as_object().into_iter().flatten().any(|(section, entries)| match entries {
            Value::Object(entries) => entries.iter().any(|(key, entry)| touched(section, key, entry)),
            _ => self.others.contains(section),
        })
    }
}

impl Snapshot {
    /// As [`Snapshot::or_last_good`] of JSON text, much cheaper if the document is valid.
    ///
    /// # Errors
    /// As there, and if the text is no JSON or too long.
    pub fn read_or_last_good(
        name: &str,
        text: &[u8],
        before: Option<&Self>,
    ) -> Result<(Self, Fallbacks), SnapshotError> {
        match Self::parse(name, text) {
            Ok(snapshot) => Ok((snapshot, Fallbacks::default())),
            Err(error @ SnapshotError::Invalid { .. }) => match serde_json::from_slice(text) {
                Ok(document) => Self::or_last_good(name, document, before),
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// As [`Snapshot::of`], but a tenant with an invalid entry keeps its state of `before`, or is left out.
    ///
    /// # Errors
    /// The problem is in no entry: `ledger`, `version`, the document as a whole; or `settings` without `before`.
    pub fn or_last_good(
        name: &str,
        document: Value,
        before: Option<&Self>,
    ) -> Result<(Self, Fallbacks), SnapshotError> {
        let before =
            before.filter(|before| document.get("ledger").and_then(Value::as_str) == Some(&before.ledger));
        let mut held = Fallbacks::default();
        let mut document = document;
        let mut rounds = 0;
        loop {
            let Refusal { error, entries } = match attempt(name, &document) {
                Ok(snapshot) => return Ok((snapshot, held)),
                Err(refusal) => refusal,
            };
            if rounds == 0 && held.unknown.is_empty() {
                held.unknown = drop_unknown_keys(&mut document);
                if !held.unknown.is_empty() {
                    continue;
                }
            }
            if held.is_empty()
                && let SnapshotError::Invalid { problems, .. } = &error
            {
                held.problems.clone_from(problems);
            }
            rounds += 1;
            let repaired = rounds < ROUNDS_MAX && held.repair(&mut document, &entries, before);
            if !repaired {
                return Err(error);
            }
        }
    }
}

struct Refusal {
    error: SnapshotError,
    entries: BTreeSet<EntryKey>,
}

fn attempt(name: &str, document: &Value) -> Result<Snapshot, Refusal> {
    let reading = read::value(name, document.clone())
        .map_err(|error| Refusal { error, entries: BTreeSet::default() })?;
    let mut problems: Problems = reading.problems;
    let snapshot = check::build(reading.document, &reading.dropped, &mut problems);
    let entries = problems.entries().clone();
    problems.into_result(name).map(|()| snapshot).map_err(|error| Refusal { error, entries })
}

impl Fallbacks {
    /// Restores the entries from `before`, or leaves them out. False if it is impossible.
    fn repair(
        &mut self,
        document: &mut Value,
        entries: &BTreeSet<EntryKey>,
        before: Option<&Snapshot>,
    ) -> bool {
        let Value::Object(document) = document else { return false };
        let mut tenants: BTreeSet<Arc<str>> = BTreeSet::new();
        // Invalid settings make every tenant invalid, so they are restored first, alone.
        let settings = |(section, _): &&EntryKey| section == "settings";
        let alone = entries.iter().any(|entry| settings(&entry));
        for (section, key) in entries.iter().filter(|entry| !alone || settings(entry)) {
            match (section.as_str(), before) {
                ("tenants" | "projects" | "apps", _) => drop(tenants.insert(slug_of(key).into())),
                ("namespaces", _) => match owner(document, key, before) {
                    Some(slug) => {
                        tenants.insert(slug);
                        without(document, section, key);
                    }
                    None => self.leave_out(document, section, key),
                },
                ("exceptions" | "breakglass", _) => self.leave_out(document, section, key),
                ("settings", Some(before)) if self.others.insert(section.clone()) => {
                    document.insert(section.clone(), before.settings_document());
                }
                ("policies", Some(before)) if self.others.insert(section.clone()) => {
                    match before.policies.as_ref().map(value) {
                        Some(policies) => drop(document.insert(section.clone(), policies)),
                        None => drop(document.remove(section)),
                    }
                }
                _ => return false,
            }
        }
        self.put_back(document, tenants, before);
        !entries.is_empty()
    }

    fn leave_out(&mut self, document: &mut Object<String, Value>, section: &str, key: &str) {
        without(document, section, key);
        self.others.insert(format!("{section}.{key}"));
    }

    fn put_back(
        &mut self,
        document: &mut Object<String, Value>,
        slugs: BTreeSet<Arc<str>>,
        before: Option<&Snapshot>,
    ) {
        if slugs.is_empty() {
            return;
        }
        let status = |slug: &str| {
            let status = document.get("tenants")?.get(slug)?.get("status")?.as_str()?;
            Some(status.to_owned())
        };
        let statuses: Vec<_> = slugs.iter().map(|slug| (Arc::clone(slug), status(slug))).collect();
        take_out(document, &slugs);
        for (slug, status) in statuses {
            // The second time the last good state itself is invalid.
            let first = self.tenants.insert(Arc::clone(&slug));
            if let (Some(before), Some(status), true) = (before, status, first) {
                put_in(document, before, &slug, &status);
            }
        }
    }
}

fn without(document: &mut Object<String, Value>, section: &str, key: &str) {
    if let Some(entries) = document.get_mut(section).and_then(Value::as_object_mut) {
        entries.remove(key);
    }
}

/// The tenant of `tenant/project/app`.
fn slug_of(key: &str) -> &str {
    key.split_once('/').map_or(key, |(slug, _)| slug)
}

/// The tenant of a namespace, by the document, else by the previous snapshot.
fn owner(document: &Object<String, Value>, name: &str, before: Option<&Snapshot>) -> Option<Arc<str>> {
    let named = document.get("namespaces")?.get(name)?.get("tenant").and_then(Value::as_str);
    let known = || before?.namespaces.get(name).map(|space| Arc::clone(&space.tenant));
    named.map(Into::into).or_else(known)
}

/// Removes everything of these tenants from the document.
fn take_out(document: &mut Object<String, Value>, slugs: &BTreeSet<Arc<str>>) {
    for section in ["tenants", "projects", "apps", "namespaces"] {
        let Some(entries) = document.get_mut(section).and_then(Value::as_object_mut) else { continue };
        entries.retain(|key, entry| {
            let slug = if section == "namespaces" {
                entry.get("tenant").and_then(Value::as_str).unwrap_or_default()
            } else {
                slug_of(key)
            };
            !slugs.contains(slug)
        });
    }
}

/// Inserts everything of a tenant in `before` into the document, with its current status.
fn put_in(document: &mut Object<String, Value>, before: &Snapshot, slug: &str, status: &str) {
    let Some(tenant) = before.tenants.get(slug) else { return };
    let mut put = |section: &str, key: &str, entry: Value| {
        let entries = document.entry(section).or_insert_with(|| json!({}));
        if let Value::Object(entries) = entries {
            entries.insert(key.to_owned(), entry);
        }
    };
    let mut last_good = value(&wire::Tenant::from(tenant));
    let known = ["active", "suspended", "deleting"].contains(&status);
    if let Value::Object(fields) = &mut last_good {
        fields.insert("status".to_owned(), if known { status } else { "deleting" }.into());
    }
    put("tenants", slug, last_good);
    for (_, key, project) in before.projects.below(slug) {
        put("projects", key, value(&wire::Project::from(project)));
    }
    for (_, key, app) in before.apps.below(slug) {
        put("apps", key, value(&wire::App::from(app)));
    }
    for (name, space) in before.namespaces.iter().filter(|(_, space)| *space.tenant == *slug) {
        put("namespaces", name, value(&wire::Namespace::from(space)));
    }
}
