//! The tenancy snapshot with what policies read of it prepared as engine values, and the cell that holds the current one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use sha2::{Digest as _, Sha256};

use super::decode::interned;
use super::exemption::{BreakglassSource, Exemptions};
use super::registries::RegistryIndexes;
use super::review::Header;
use portcullis_cluster::view::View;
use portcullis_policy::Value;
use portcullis_policy::verdict_cache::{self, Digest};
use portcullis_telemetry::metrics;
use portcullis_tenancy::snapshot::{Changes, Kind, Map, Snapshot};

/// A snapshot whose documents are converted to engine values once, not for each review.
#[derive(Debug, Clone)]
pub struct PreparedSnapshot {
    pub snapshot: Arc<Snapshot>,
    pub(crate) exemptions: Arc<Exemptions>,
    pub(crate) view: View,
    settings: Document,
    tenants: Map<Document>,
    pub(crate) registries: RegistryIndexes,
}

/// A document of the snapshot as policies see it, and its digest.
#[derive(Debug, Clone)]
struct Document {
    value: Value,
    digest: Digest,
}

impl From<serde_json::Value> for Document {
    fn from(document: serde_json::Value) -> Self {
        let value = Value::from(document);
        Self { digest: verdict_cache::digest(&value), value }
    }
}

impl PreparedSnapshot {
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        let mut tenants = Map::default();
        let mut registries = RegistryIndexes::default().with_settings(&snapshot.settings);
        for (slug, _) in snapshot.tenants.iter() {
            prepare_tenant(&snapshot, slug, &mut tenants);
            registries.index_tenant(&snapshot, slug);
        }
        let exemptions = Arc::new(Exemptions::of(&snapshot, &BreakglassSource::default()));
        Self {
            settings: Document::from(snapshot.settings_document()),
            tenants,
            registries,
            exemptions,
            view: View::default(),
            snapshot,
        }
    }

    #[must_use]
    pub(crate) fn with_breakglass(self, breakglass: &BreakglassSource) -> Self {
        Self { exemptions: Arc::new(Exemptions::of(&self.snapshot, breakglass)), ..self }
    }

    /// Prepares a changed snapshot; what did not change is shared with this one.
    #[must_use]
    pub fn updated(&self, snapshot: Arc<Snapshot>, changes: &Changes) -> Self {
        if changes.everything {
            return Self::new(snapshot);
        }
        let (mut tenants, mut registries) = (self.tenants.clone(), self.registries.clone());
        if changes.settings {
            registries = registries.with_settings(&snapshot.settings);
        }
        for slug in &changes.tenants {
            prepare_tenant(&snapshot, slug, &mut tenants);
            registries.index_tenant(&snapshot, slug);
        }
        let settings =
            if changes.settings { snapshot.settings_document().into() } else { self.settings.clone() };
        let (exemptions, view) = (Arc::clone(&self.exemptions), self.view.clone());
        Self { settings, tenants, registries, exemptions, view, snapshot }
    }

    #[must_use]
    pub fn with_view(self, view: View) -> Self {
        Self { view, ..self }
    }

    /// `data.tenancy` with these tenants and ids only, and its digest.
    pub(crate) fn tenancy(&self, slugs: &[&str], ids: &BTreeSet<&str>) -> (Value, Digest) {
        let tenants: BTreeMap<&str, &Document> =
            slugs.iter().filter_map(|slug| Some((*slug, self.tenants.get(slug)?))).collect();
        let mut digest = Sha256::new_with_prefix(self.settings.digest);
        for (slug, tenant) in &tenants {
            digest.update((slug.len() as u64).to_le_bytes());
            digest.update(slug.as_bytes());
            digest.update(tenant.digest);
        }
        let owner = |id: &&str| Some(((*id).to_owned(), self.snapshot.id_document(id)?));
        let ids: serde_json::Map<_, _> = ids.iter().filter_map(owner).collect();
        let ids = if ids.is_empty() {
            Value::new_object()
        } else {
            let ids = Document::from(serde_json::Value::from(ids));
            digest.update(ids.digest);
            ids.value
        };
        let tenants = tenants.into_iter().map(|(slug, tenant)| (interned(slug), tenant.value.clone()));
        let tenancy = BTreeMap::from([
            (interned("settings"), self.settings.value.clone()),
            (interned("tenants"), Value::from(tenants.collect::<BTreeMap<_, _>>())),
            (interned("ids"), ids),
        ]);
        (Value::from(tenancy), digest.finalize().into())
    }

    /// The kind of the namespace that a header names; [`Kind::Cluster`] where it names none.
    pub(crate) fn kind(&self, header: &Header) -> Kind {
        self.snapshot.kind(&header.namespace)
    }
}

fn prepare_tenant(snapshot: &Snapshot, slug: &Arc<str>, tenants: &mut Map<Document>) {
    match snapshot.tenant_document(slug) {
        Some(document) => drop(tenants.insert(Arc::clone(slug), document.into())),
        None => drop(tenants.remove(slug)),
    }
}

/// The snapshot in force. Clones share it.
#[derive(Clone, Default)]
pub struct SnapshotCell(Arc<Cell>);

#[derive(Default)]
struct Cell {
    current: ArcSwapOption<PreparedSnapshot>,
    view: View,
    /// Locked while a snapshot is prepared, so that a snapshot and a break-glass document that arrive at once both take
    /// effect.
    breakglass: Mutex<BreakglassSource>,
}

impl SnapshotCell {
    /// Puts a snapshot in force; the next review uses it.
    pub fn replace(&self, prepared: PreparedSnapshot) {
        let breakglass = self.0.breakglass.lock().unwrap_or_else(PoisonError::into_inner);
        self.store(prepared.with_breakglass(&breakglass));
    }

    /// Changes the break-glass keys or documents and applies them to the snapshot in force.
    pub fn update_breakglass(&self, change: impl FnOnce(&mut BreakglassSource)) {
        let mut breakglass = self.0.breakglass.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut breakglass);
        if let Some(prepared) = self.load() {
            self.store(PreparedSnapshot::clone(&prepared).with_breakglass(&breakglass));
        }
    }

    /// The cluster's Namespaces, for the task that watches them.
    pub fn view(&self) -> View {
        self.0.view.clone()
    }

    fn store(&self, prepared: PreparedSnapshot) {
        let prepared = prepared.with_view(self.view());
        let before = self.load().map(|prepared| Arc::clone(&prepared.exemptions)).unwrap_or_default();
        if prepared.exemptions != before {
            prepared.exemptions.log_changes(&before);
            metrics::breakglass_windows(
                prepared
                    .exemptions
                    .breakglass_windows()
                    .map(|(from, until)| (from.as_second(), until.as_second())),
            );
        }
        self.0.current.store(Some(Arc::new(prepared)));
    }

    /// Puts a snapshot in force. With `changes`, only those are prepared.
    pub fn apply(&self, snapshot: &Arc<Snapshot>, changes: Option<&Changes>) {
        let snapshot = Arc::clone(snapshot);
        self.replace(match (self.load(), changes) {
            (Some(prepared), Some(changes)) => prepared.updated(snapshot, changes),
            _ => PreparedSnapshot::new(snapshot),
        });
    }

    /// `None` until the first snapshot arrives.
    pub fn load(&self) -> Option<Arc<PreparedSnapshot>> {
        self.0.current.load_full()
    }
}
