//! A change as an RFC 7396 merge patch over the document, applied in microseconds whatever the size of the ledger.
//!
//! The changed entries are merged and checked, and so is what belongs to a removed or changed owner. The result
//! equals that of reading the whole changed document; a property test compares them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map as Object, Value, json};

use super::check::{self, Checker};
use super::serialize::value;
use super::wire::{self, Document};
use super::{DEFAULT_PREFIX, Section, Snapshot, SnapshotError, Unit, read};

/// Which parts of `data.tenancy` a change affects; may include more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub everything: bool,
    /// `settings`.
    pub settings: bool,
    /// Slugs of changed and removed tenants.
    pub tenants: BTreeSet<Arc<str>>,
}

impl Snapshot {
    /// The snapshot after a change, and what changed. `revision` is the number of the change, `patch` an RFC 7396
    /// merge patch over the document. The new snapshot has no digest; the source sets it.
    ///
    /// # Errors
    /// The problems of the changed document: the patch was made for another snapshot.
    pub fn apply(&self, patch: &Value, revision: u64) -> Result<(Self, Changes), SnapshotError> {
        let name = format!("the change to revision {revision}");
        match self.merged(patch) {
            Some(merged) => merged.apply(self, &name, revision),
            None => self.apply_to_all(&name, patch, revision),
        }
    }

    /// The slow path for a patch that affects every entry: the whole document is read again.
    fn apply_to_all(
        &self,
        name: &str,
        patch: &Value,
        revision: u64,
    ) -> Result<(Self, Changes), SnapshotError> {
        let mut document = value(self);
        json_patch::merge(&mut document, patch);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("revision".to_owned(), revision.into());
        }
        Ok((Self::of(name, document)?, Changes { everything: true, ..Changes::default() }))
    }

    /// The changed part of the document, merged; `None` if the patch needs the slow path.
    fn merged(&self, patch: &Value) -> Option<Merged> {
        let mut merged =
            Merged { part: Object::new(), touched: Touched::default(), settings: false, others: false };
        for (key, value) in patch.as_object()? {
            match (key.as_str(), value) {
                ("revision", _) => {}
                ("ledger", Value::String(ledger)) if **ledger == *self.ledger => {}
                ("exceptions" | "breakglass" | "policies", _) => merged.others = true,
                ("settings", Value::Object(_)) => {
                    merged.part.insert("settings".to_owned(), self.merged_settings(value)?);
                    merged.settings = true;
                }
                (name, Value::Object(entries)) => {
                    let section = Section::ALL.into_iter().find(|section| section.as_str() == name)?;
                    merged.part.insert(key.clone(), self.merged_entries(section, entries).into());
                    *merged.touched.of(section) = entries.keys().map(|key| key.as_str().into()).collect();
                }
                _ => return None,
            }
        }
        if merged.others {
            merged.part.extend(self.merged_others(patch)?);
        }
        merged.part.insert("ledger".to_owned(), json!(self.ledger));
        merged.part.entry("tenants").or_insert_with(|| json!({}));
        Some(merged)
    }

    /// `None` if the prefix changes, and so every namespace's name.
    fn merged_settings(&self, patch: &Value) -> Option<Value> {
        let mut settings = self.settings_document();
        json_patch::merge(&mut settings, patch);
        let prefix = settings.get("prefix").map_or(Some(DEFAULT_PREFIX), Value::as_str)?;
        (*prefix == *self.settings.prefix).then_some(settings)
    }

    /// `exceptions`, `breakglass` and `policies`, each as a whole: there are few of them.
    fn merged_others(&self, patch: &Value) -> Option<Object<String, Value>> {
        let mut others = json!({ "exceptions": &*self.exceptions, "breakglass": &*self.breakglass });
        if let (Some(policies), Some(others)) = (&self.policies, others.as_object_mut()) {
            others.insert("policies".to_owned(), value(policies));
        }
        let keys = ["exceptions", "breakglass", "policies"];
        let patch: Object<String, Value> =
            keys.iter().filter_map(|key| Some(((*key).to_owned(), patch.get(key)?.clone()))).collect();
        json_patch::merge(&mut others, &patch.into());
        match others {
            Value::Object(others) => Some(others),
            _ => None,
        }
    }

    fn merged_entries(&self, section: Section, patch: &Object<String, Value>) -> Object<String, Value> {
        let stay = patch.iter().filter(|(_, patch)| !patch.is_null());
        stay.map(|(key, patch)| {
            let mut entry = self.entry(section, key);
            json_patch::merge(&mut entry, patch);
            (key.clone(), entry)
        })
        .collect()
    }

    /// As in the document; null where there is none.
    fn entry(&self, section: Section, key: &str) -> Value {
        match section {
            Section::Tenants => self.tenants.get(key).map(|tenant| value(&wire::Tenant::from(tenant))),
            Section::Projects => self.projects.get(key).map(|project| value(&wire::Project::from(project))),
            Section::Apps => self.apps.get(key).map(|app| value(&wire::App::from(app))),
            Section::Namespaces => self.namespaces.get(key).map(|space| value(&wire::Namespace::from(space))),
        }
        .unwrap_or_default()
    }
}

struct Merged {
    /// A document with the changed entries only.
    part: Object<String, Value>,
    touched: Touched,
    settings: bool,
    /// Whether `exceptions`, `breakglass` and `policies` are in the part.
    others: bool,
}

/// Keys of changed, added and removed entries.
#[derive(Default)]
struct Touched {
    tenants: BTreeSet<Arc<str>>,
    projects: BTreeSet<Arc<str>>,
    apps: BTreeSet<Arc<str>>,
    namespaces: BTreeSet<Arc<str>>,
}

impl Touched {
    fn of(&mut self, section: Section) -> &mut BTreeSet<Arc<str>> {
        match section {
            Section::Tenants => &mut self.tenants,
            Section::Projects => &mut self.projects,
            Section::Apps => &mut self.apps,
            Section::Namespaces => &mut self.namespaces,
        }
    }
}

/// Owners that were removed, or whose id or status changed; what belongs to them is checked again.
#[derive(Default)]
struct Moved {
    tenants: BTreeSet<Arc<str>>,
    /// By `tenant/project`.
    projects: BTreeSet<String>,
    /// By `tenant/project/app`.
    apps: BTreeSet<String>,
}

impl Merged {
    /// Takes out the changed entries, puts in the merged ones, and checks again what depends on them.
    fn apply(self, old: &Snapshot, name: &str, revision: u64) -> Result<(Snapshot, Changes), SnapshotError> {
        let Self { mut part, mut touched, settings, others } = self;
        part.insert("revision".to_owned(), revision.into());
        let reading = read::value(name, part.into())?;
        let mut problems = reading.problems;
        let mut next = old.clone();
        next.revision = revision;
        next.digest = None;
        for section in Section::ALL {
            touched.of(section).iter().for_each(|key| next.take(section, key));
        }
        let mut checker = Checker { next, dropped: &reading.dropped, problems: &mut problems };
        let mut document = reading.document;
        if others {
            checker.others(&mut document);
        }
        enter(&mut checker, old, document, &touched, settings);
        let next = checker.next;
        problems.into_result(name)?;
        let slugs = touched.projects.iter().chain(&touched.apps);
        let slugs = slugs.map(|key| key.split_once('/').map_or(&**key, |(tenant, _)| tenant).into());
        let tenants = touched.tenants.iter().cloned().chain(slugs).collect();
        Ok((next, Changes { everything: others, settings, tenants }))
    }
}

/// Inserts the entries of the document, owners first, and after each section checks what depends on it.
fn enter(checker: &mut Checker<'_>, old: &Snapshot, document: Document, touched: &Touched, settings: bool) {
    let mut moved = Moved::default();
    if settings {
        settle(checker, document.settings);
    }
    document.tenants.0.into_iter().for_each(|(slug, tenant)| checker.tenant(slug.into(), tenant));
    for slug in &touched.tenants {
        let new = checker.next.tenants.get(slug);
        let Some(before) = old.tenants.get(slug) else { continue };
        if new.is_none() {
            let left: Vec<_> = checker.next.projects.below(slug).map(|(_, key, _)| Arc::clone(key)).collect();
            left.into_iter().for_each(|key| checker.again(Section::Projects, key));
        }
        if checker
            .next
            .tenants
            .get(slug)
            .is_none_or(|now| (&now.id, now.status) != (&before.id, before.status))
        {
            moved.tenants.insert(Arc::clone(slug));
        }
    }
    document.projects.0.into_iter().for_each(|(key, project)| checker.project(key.into(), project));
    for key in &touched.projects {
        let Some(before) = old.projects.get(key) else { continue };
        if !checker.next.projects.contains_key(key) {
            let left: Vec<_> = checker.next.apps.below(key).map(|(_, key, _)| Arc::clone(key)).collect();
            left.into_iter().for_each(|key| checker.again(Section::Apps, key));
        }
        if checker.next.projects.get(key).is_none_or(|now| now.id != before.id) {
            moved.projects.insert(key.to_string());
        }
    }
    document.apps.0.into_iter().for_each(|(key, app)| checker.app(key.into(), app));
    for key in &touched.apps {
        let Some(before) = old.apps.get(key) else { continue };
        if checker.next.apps.get(key).is_none_or(|now| now.id != before.id) {
            moved.apps.insert(key.to_string());
        }
    }
    moved.spaces(&checker.next).into_iter().for_each(|name| checker.again(Section::Namespaces, name));
    document.namespaces.0.into_iter().for_each(|(name, space)| checker.namespace(name.into(), space));
}

/// Applies new settings and checks every tenant again: registries against the ceiling, groups against the identities.
fn settle(checker: &mut Checker<'_>, settings: wire::Settings) {
    checker.next.settings = check::settings::check(settings, checker.problems);
    let slugs: Vec<_> = checker.next.tenants.iter().map(|(slug, _)| Arc::clone(slug)).collect();
    slugs.into_iter().for_each(|slug| checker.again(Section::Tenants, slug));
}

impl Checker<'_> {
    /// Checks an unchanged entry again.
    fn again(&mut self, section: Section, key: Arc<str>) {
        match section {
            Section::Tenants => {
                let Some(tenant) = self.next.tenants.get(&key).map(wire::Tenant::from) else { return };
                self.next.take(section, &key);
                self.tenant(key, tenant);
            }
            Section::Projects => {
                let Some(project) = self.next.projects.get(&key).map(wire::Project::from) else { return };
                self.next.take(section, &key);
                self.project(key, project);
            }
            Section::Apps => {
                let Some(app) = self.next.apps.get(&key).map(wire::App::from) else { return };
                self.next.take(section, &key);
                self.app(key, app);
            }
            Section::Namespaces => {
                let Some(space) = self.next.namespaces.get(&key).map(wire::Namespace::from) else { return };
                self.next.take(section, &key);
                self.namespace(key, space);
            }
        }
    }
}

impl Moved {
    /// Namespaces of changed owners. All are searched, because a namespace's name is never parsed.
    fn spaces(&self, snapshot: &Snapshot) -> Vec<Arc<str>> {
        if self.tenants.is_empty() && self.projects.is_empty() && self.apps.is_empty() {
            return Vec::new();
        }
        let of_moved = snapshot.namespaces.iter().filter(|(_, space)| {
            let project = || format!("{}/{}", space.tenant, space.project);
            let app = || match &space.unit {
                Unit::App { app, .. } => self.apps.contains(&format!("{}/{app}", project())),
                Unit::Sandbox { .. } => false,
            };
            self.tenants.contains(&space.tenant)
                || (!self.projects.is_empty() && self.projects.contains(&project()))
                || (!self.apps.is_empty() && app())
        });
        of_moved.map(|(name, _)| Arc::clone(name)).collect()
    }
}
