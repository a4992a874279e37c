//! The snapshot of the ledger: tenants, their resources and settings; checked as a whole, then immutable.
//!
//! File, long poll and in-process source carry the same document (`schema`). It is parsed into wire types and checked
//! with every problem named; slugs, names, ids and registry entries in a `Snapshot` are valid.

mod check;
mod last_good;
mod map;
mod model;
mod patch;
mod problems;
mod read;
mod serialize;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use last_good::Fallbacks;
pub use map::Map;
pub use model::{
    App, Connect, Exception, Identity, Kind, LedgerPolicies, Namespace, Objects, Origin, PARAMS_DEPTH_MAX,
    PolicySet, Project, RULES_BYTES_MAX, RULES_MAX, Registries, Rule, SETS_MAX, Section, Settings, Status,
    Tenant, Unit, depth, rules_bytes,
};
pub use patch::Changes;
pub use problems::{Problem, SnapshotError};
pub use read::{LENGTH_MAX, drop_unknown_keys};
pub use serialize::json_len;
pub use wire::schema;

use super::breakglass;

/// The version of the document's format that this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;

const DEFAULT_PREFIX: &str = super::name::PREFIX;

/// The ledger as of one revision. Immutable; copies share their maps, and a changed copy shares what did not change.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// UUID of the ledger; revisions of two ledgers are not comparable.
    pub ledger: Arc<str>,
    /// Number of the last committed change.
    pub revision: u64,
    /// Digest of all changes up to this revision, if the source sent it. Equal revisions with different digests have
    /// different histories. Not part of the document.
    pub digest: Option<Arc<str>>,
    /// The policies of the ledger, if it has any.
    pub policies: Option<LedgerPolicies>,
    pub settings: Settings,
    /// By slug.
    pub tenants: Map<Tenant>,
    /// By `tenant/project`.
    pub projects: Map<Project>,
    /// By `tenant/project/app`.
    pub apps: Map<App>,
    /// By the exact name, which equals the one composed from its owner.
    pub namespaces: Map<Namespace>,
    /// Granted exemptions by id.
    pub exceptions: Arc<BTreeMap<Arc<str>, Exception>>,
    /// Break-glass documents by id, verified or not; the gate checks signatures.
    pub breakglass: Arc<BTreeMap<Arc<str>, breakglass::BreakglassEntry>>,
    index: Index,
}

/// Lookups other than by the document's keys.
#[derive(Debug, Clone, PartialEq, Default)]
struct Index {
    /// `tn-`, the start of every tenant namespace's name.
    prefix: Box<str>,
    ids: Map<(Section, Arc<str>)>,
    /// Slugs, sorted, by group.
    tenants_by_group: Map<Vec<Arc<str>>>,
}

impl Snapshot {
    /// Parses and checks a document, JSON or YAML, at most 64 MiB. `file_name` names the source in errors; with
    /// `.yaml` or `.yml` it permits YAML that begins with `{`.
    pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Self, SnapshotError> {
        Self::checked(file_name, read::read(file_name, bytes)?)
    }

    /// Checks a parsed document. `name` names the source in errors.
    pub fn of(name: &str, document: serde_json::Value) -> Result<Self, SnapshotError> {
        Self::checked(name, read::value(name, document)?)
    }

    fn checked(name: &str, reading: read::Reading) -> Result<Self, SnapshotError> {
        let mut problems = reading.problems;
        let snapshot = check::build(reading.document, &reading.dropped, &mut problems);
        problems.into_result(name).map(|()| snapshot)
    }

    /// Kind of a namespace by exact name; `""` is the cluster scope.
    pub fn kind(&self, namespace: &str) -> Kind {
        match self.namespaces.get(namespace) {
            Some(known) => known.unit.kind(),
            None if namespace.is_empty() => Kind::Cluster,
            None if self.is_tenant_name(namespace) => Kind::Unregistered,
            None => Kind::Platform,
        }
    }

    /// Whether the name starts as a tenant namespace's, known or not; also for a `generateName`.
    pub fn is_tenant_name(&self, namespace: &str) -> bool {
        namespace.starts_with(&*self.index.prefix)
    }

    /// Whether the name starts as a namespace of this tenant. Slugs have no hyphen, so the prefix is unambiguous.
    pub fn is_name_of(&self, namespace: &str, tenant: &str) -> bool {
        namespace
            .strip_prefix(&*self.index.prefix)
            .and_then(|rest| rest.strip_prefix(tenant))
            .is_some_and(|rest| rest.starts_with('-'))
    }

    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    pub fn tenant_by_id(&self, id: &str) -> Option<(&str, &Tenant)> {
        let (section, slug) = self.index.ids.get(id)?;
        let tenant = self.tenants.get(slug).filter(|_| *section == Section::Tenants)?;
        Some((slug, tenant))
    }

    /// Slugs, sorted, of the tenants that list exactly this group.
    pub fn tenants_of_group(&self, group: &str) -> &[Arc<str>] {
        self.index.tenants_by_group.get(group).map_or(&[], Vec::as_slice)
    }
}

/// Changes of a snapshot that is being built: entries and the index change together.
impl Snapshot {
    pub(super) fn empty(ledger: Arc<str>, revision: u64, settings: Settings) -> Self {
        let index = Index { prefix: format!("{}-", settings.prefix).into(), ..Index::default() };
        let (tenants, projects) = (Map::default(), Map::default());
        let (apps, namespaces) = (Map::default(), Map::default());
        let (exceptions, breakglass) = (Arc::default(), Arc::default());
        Self {
            ledger,
            revision,
            digest: None,
            policies: None,
            settings,
            tenants,
            projects,
            apps,
            namespaces,
            exceptions,
            breakglass,
            index,
        }
    }

    /// Assigns an id to an entry; returns the previous owner of the id.
    pub(super) fn claim(
        &mut self,
        id: &Arc<str>,
        section: Section,
        key: &Arc<str>,
    ) -> Option<(Section, Arc<str>)> {
        self.index.ids.insert(Arc::clone(id), (section, Arc::clone(key)))
    }

    /// Inserts a tenant and indexes its groups; returns whether the slug existed.
    pub(super) fn put_tenant(&mut self, slug: &Arc<str>, tenant: Tenant) -> bool {
        for group in &tenant.groups {
            let mut slugs = self.index.tenants_by_group.remove(group).unwrap_or_default();
            if let Err(at) = slugs.binary_search(slug) {
                slugs.insert(at, Arc::clone(slug));
            }
            self.index.tenants_by_group.insert(Arc::clone(group), slugs);
        }
        self.tenants.insert(Arc::clone(slug), tenant).is_some()
    }

    /// Removes an entry with its id and groups. The caller handles what it owned.
    pub(super) fn take(&mut self, section: Section, key: &str) {
        let id = match section {
            Section::Tenants => self.tenants.remove(key).map(|tenant| {
                self.leave_groups(key, &tenant.groups);
                tenant.id
            }),
            Section::Projects => self.projects.remove(key).map(|project| project.id),
            Section::Apps => self.apps.remove(key).map(|app| app.id),
            Section::Namespaces => self.namespaces.remove(key).and_then(|namespace| match namespace.unit {
                Unit::Sandbox { id, .. } => Some(id),
                // The id is the app's and stays with it.
                Unit::App { .. } => None,
            }),
        };
        if let Some(id) = id {
            self.index.ids.remove(&id);
        }
    }

    fn leave_groups(&mut self, slug: &str, groups: &[Arc<str>]) {
        for group in groups {
            let mut slugs = self.index.tenants_by_group.remove(group).unwrap_or_default();
            slugs.retain(|member| **member != *slug);
            if !slugs.is_empty() {
                self.index.tenants_by_group.insert(Arc::clone(group), slugs);
            }
        }
    }
}

#[cfg(test)]
mod tests;
