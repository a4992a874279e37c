//! Indexes the registry lists of a snapshot, and looks images up in them.
//!
//! A list may have thousands of entries and a Pod hundreds of images, so a policy that compares each with each would exceed
//! its budget. Policies read the matching entry instead.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use portcullis_policy::Value;
use portcullis_tenancy::image::{Image, RegistryEntry};
use portcullis_tenancy::snapshot::{Map, Registries, Settings, Snapshot};

use super::decode::interned;

#[derive(Debug, Clone, Default)]
struct RegistryIndex(Arc<HashSet<Box<str>>>);

impl RegistryIndex {
    fn of(entries: &[RegistryEntry]) -> Self {
        Self(Arc::new(entries.iter().map(|entry| entry.to_string().into()).collect()))
    }

    /// The longest entry that contains an image. An image that is not `ok` is in no list.
    fn containing(&self, image: &Image) -> Option<&str> {
        if !image.ok || self.0.is_empty() {
            return None;
        }
        let path = format!("{}/{}", image.registry, image.repository);
        let mut rest = path.as_str();
        loop {
            if let Some(entry) = self.0.get(rest) {
                return Some(entry);
            }
            rest = rest.rsplit_once('/')?.0;
        }
    }
}

/// The lists of a snapshot.
#[derive(Debug, Clone, Default)]
pub(crate) struct RegistryIndexes {
    ceiling: RegistryIndex,
    platform: RegistryIndex,
    tenants: Map<RegistryIndex>,
}

impl RegistryIndexes {
    /// Indexes the lists that all tenants share.
    #[must_use]
    pub(crate) fn with_settings(self, settings: &Settings) -> Self {
        Self {
            ceiling: RegistryIndex::of(&settings.ceiling),
            platform: RegistryIndex::of(&settings.platform),
            ..self
        }
    }

    /// Indexes a tenant's own list, or removes it where the tenant has none.
    pub(crate) fn index_tenant(&mut self, snapshot: &Snapshot, slug: &Arc<str>) {
        match snapshot.tenants.get(slug).and_then(|tenant| tenant.registries.as_ref()) {
            Some(Registries::List(list)) => {
                drop(self.tenants.insert(Arc::clone(slug), RegistryIndex::of(list)))
            }
            Some(Registries::Inherit) | None => drop(self.tenants.remove(slug)),
        }
    }

    pub(crate) fn of(&self, tenant: Option<&str>) -> NamespaceRegistries {
        let own = tenant.and_then(|slug| self.tenants.get(slug)).cloned();
        NamespaceRegistries {
            ceiling: self.ceiling.clone(),
            platform: self.platform.clone(),
            tenant: own.unwrap_or_default(),
        }
    }
}

/// The lists for the images of one namespace.
#[derive(Debug, Clone, Default)]
pub struct NamespaceRegistries {
    ceiling: RegistryIndex,
    platform: RegistryIndex,
    tenant: RegistryIndex,
}

impl NamespaceRegistries {
    /// `input.images[_].entries`: `{ceiling, platform, tenant}`, the entry of each list that contains the image. A list
    /// without one is absent.
    pub(crate) fn entries(&self, image: &Image) -> Value {
        let lists = [("ceiling", &self.ceiling), ("platform", &self.platform), ("tenant", &self.tenant)];
        let found = lists
            .into_iter()
            .filter_map(|(key, list)| Some((interned(key), Value::from(list.containing(image)?))));
        Value::from(found.collect::<BTreeMap<_, _>>())
    }
}

#[cfg(test)]
mod tests;
