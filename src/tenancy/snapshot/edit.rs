//! What `check` and `patch` do to a snapshot in the making: entries go in and out, and the index with them.

use std::sync::Arc;

use super::{Index, Map, Settings, Snapshot, Tenant, Unit};

/// One of the document's four maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// By slug.
    Tenants,
    /// By `tenant/project`.
    Projects,
    /// By `tenant/project/app`.
    Apps,
    /// By name.
    Namespaces,
}

impl Section {
    /// Owners before what they own.
    pub const ALL: [Self; 4] = [Self::Tenants, Self::Projects, Self::Apps, Self::Namespaces];

    /// The document's key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Projects => "projects",
            Self::Apps => "apps",
            Self::Namespaces => "namespaces",
        }
    }
}

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
            law: None,
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

    /// Takes an id for an entry; whose it already is, if it is somebody's.
    pub(super) fn claim(
        &mut self,
        id: &Arc<str>,
        section: Section,
        key: &Arc<str>,
    ) -> Option<(Section, Arc<str>)> {
        self.index.ids.insert(Arc::clone(id), (section, Arc::clone(key)))
    }

    /// Puts a tenant in, and its groups into the index; whether the slug was taken.
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

    /// Takes an entry out, with its id and groups. What it owned stays, for the caller to look after.
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
                // The app's own, which stays as long as the app does.
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
