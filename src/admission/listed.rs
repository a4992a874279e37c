//! Which entry of a list of registries holds an image.
//!
//! A list may have thousands of entries and a Pod hundreds of images, and a policy that goes over the one for each of
//! the other would spend its budget. So lists are indexed once a snapshot, and policies are told what was found.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use portcullis_policy::Value;
use portcullis_tenancy::image::{Entry, Image};
use portcullis_tenancy::snapshot::{Map, Registries, Settings, Snapshot};

use super::decode::interned;

/// The entries of a list, by their text.
#[derive(Debug, Clone, Default)]
pub struct Entries(Arc<HashSet<Box<str>>>);

impl Entries {
    fn of(entries: &[Entry]) -> Self {
        Self(Arc::new(entries.iter().map(|entry| entry.to_string().into()).collect()))
    }

    /// The narrowest entry that holds an image; never for one that is not `ok`.
    fn holding(&self, image: &Image) -> Option<&str> {
        if !image.ok || self.0.is_empty() {
            return None;
        }
        let place = format!("{}/{}", image.registry, image.repository);
        let mut rest = place.as_str();
        loop {
            if let Some(entry) = self.0.get(rest) {
                return Some(entry);
            }
            rest = rest.rsplit_once('/')?.0;
        }
    }
}

/// All lists of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    ceiling: Entries,
    platform: Entries,
    tenants: Map<Entries>,
}

impl Lists {
    /// Indexes what all tenants share.
    #[must_use]
    pub fn shared(self, settings: &Settings) -> Self {
        Self { ceiling: Entries::of(&settings.ceiling), platform: Entries::of(&settings.platform), ..self }
    }

    /// Indexes a tenant's own list, or forgets it.
    pub fn prepare(&mut self, snapshot: &Snapshot, slug: &Arc<str>) {
        match snapshot.tenants.get(slug).and_then(|tenant| tenant.registries.as_ref()) {
            Some(Registries::List(list)) => drop(self.tenants.insert(Arc::clone(slug), Entries::of(list))),
            Some(Registries::Inherit) | None => drop(self.tenants.remove(slug)),
        }
    }

    /// Those that are asked about the images of one namespace.
    pub fn of(&self, tenant: Option<&str>) -> Listed {
        let own = tenant.and_then(|slug| self.tenants.get(slug)).cloned();
        Listed {
            ceiling: self.ceiling.clone(),
            platform: self.platform.clone(),
            tenant: own.unwrap_or_default(),
        }
    }
}

/// The lists that images of one namespace are looked up in.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    ceiling: Entries,
    platform: Entries,
    tenant: Entries,
}

impl Listed {
    /// `input.images[_].entries`: `{ceiling, platform, tenant}`, the entry of each list that holds the image; absent where
    /// none does.
    pub fn entries(&self, image: &Image) -> Value {
        let lists = [("ceiling", &self.ceiling), ("platform", &self.platform), ("tenant", &self.tenant)];
        let found = lists
            .into_iter()
            .filter_map(|(key, list)| Some((interned(key), Value::from(list.holding(image)?))));
        Value::from(found.collect::<BTreeMap<_, _>>())
    }
}

#[cfg(test)]
mod tests;
