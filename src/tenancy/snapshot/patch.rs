//! A change as an RFC 7396 merge patch over the document, taken in microseconds however large the ledger is.
//!
//! What the patch touches is merged into the entry as the document has it, and checked as the whole would be; so is what
//! belongs to an owner that went or became another. Everything else is shared with the snapshot before. The outcome is
//! that of reading the whole changed document, a refusal too; a property test holds it to that.

mod work;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map as Object, Value, json};

use super::document::value;
use super::{DEFAULT_PREFIX, Section, Snapshot, SnapshotError, wire};
use work::Work;

/// What of `data.tenancy` a change may have changed; never less than it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Anything at all.
    pub everything: bool,
    /// `settings`.
    pub settings: bool,
    /// `tenants[slug]`, by slug, those that are gone too.
    pub tenants: BTreeSet<Arc<str>>,
}

impl Snapshot {
    /// The snapshot after a change, `revision` the number of it, and what it changed. `patch` is an RFC 7396 merge patch
    /// over the document. The snapshot has no digest: that is for the source to say.
    ///
    /// # Errors
    /// What is wrong with the document after the change, by path: this snapshot is not the one the patch was made for.
    pub fn apply(&self, patch: &Value, revision: u64) -> Result<(Self, Changes), SnapshotError> {
        let name = format!("the change to revision {revision}");
        match self.merged(patch) {
            Some(merged) => Work::new(self, merged).run(&name, revision),
            None => self.apply_to_all(&name, patch, revision),
        }
    }

    /// For what concerns every entry: the slow way, as if the document had been read anew.
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

    /// The part of the document that the patch touches, merged; `None` where it is not of the plain kind.
    fn merged(&self, patch: &Value) -> Option<Merged> {
        let mut merged =
            Merged { part: Object::new(), touched: Touched::default(), settings: false, others: false };
        for (key, value) in patch.as_object()? {
            match (key.as_str(), value) {
                ("revision", _) => {}
                ("ledger", Value::String(ledger)) if **ledger == *self.ledger => {}
                ("exceptions" | "breakglass" | "law", _) => merged.others = true,
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

    /// `None` where every namespace would get another name.
    fn merged_settings(&self, patch: &Value) -> Option<Value> {
        let mut settings = self.settings_document();
        json_patch::merge(&mut settings, patch);
        let prefix = settings.get("prefix").map_or(Some(DEFAULT_PREFIX), Value::as_str)?;
        (*prefix == *self.settings.prefix).then_some(settings)
    }

    /// `exceptions`, `breakglass` and `law`, each as a whole: there are few of them.
    fn merged_others(&self, patch: &Value) -> Option<Object<String, Value>> {
        let mut others = json!({ "exceptions": &*self.exceptions, "breakglass": &*self.breakglass });
        if let (Some(law), Some(others)) = (&self.law, others.as_object_mut()) {
            others.insert("law".to_owned(), value(law));
        }
        let keys = ["exceptions", "breakglass", "law"];
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

/// What a patch touches.
struct Merged {
    /// A document of these entries alone, merged.
    part: Object<String, Value>,
    touched: Touched,
    settings: bool,
    /// Whether `exceptions`, `breakglass` and `law` are in the part.
    others: bool,
}

/// Keys of entries that change, come or go.
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
