//! The snapshot of the ledger: who exists, what belongs to whom, what is allowed; checked as a whole, then immutable.
//!
//! What reaches a gate as a file, through the long poll or inside the process is one document (`schema`). It is read
//! into wire types, checked with every problem named at once, and only then becomes these types; so nobody who holds a
//! `Snapshot` has to doubt a slug, a name, an id or a registry entry in it.

mod check;
mod document;
mod error;
mod items;
mod policy_sets;
mod read;
mod shape;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use error::{Problem, SnapshotError};
pub use items::{App, Kind, Namespace, Project, Registries, Status, Tenant, Unit};
pub use policy_sets::{Origin, PolicySet, Rule};
pub use wire::schema;

use super::image::Entry;
use super::requester::Class;
use super::resource::Pattern;

/// The version of the document's format that this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// The ledger as of one revision. Immutable; share it in an `Arc`.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// UUID of the ledger; another one means another history, whatever the revision.
    pub ledger: Arc<str>,
    /// Number of the last committed change; grows by commits of one ledger.
    pub revision: u64,
    /// What holds for all tenants.
    pub settings: Settings,
    /// By slug.
    pub tenants: BTreeMap<Arc<str>, Tenant>,
    /// By `tenant/project`.
    pub projects: BTreeMap<Arc<str>, Project>,
    /// By `tenant/project/app`.
    pub apps: BTreeMap<Arc<str>, App>,
    /// By the exact name, which equals the one composed from its owner.
    pub namespaces: HashMap<Arc<str>, Namespace>,
    index: Index,
}

/// What a review looks up other than by the document's own keys.
#[derive(Debug, Clone, PartialEq, Default)]
struct Index {
    /// `tn-`: what the name of every tenant namespace begins with.
    prefix: Box<str>,
    tenant_by_id: HashMap<Arc<str>, Arc<str>>,
    tenants_by_group: HashMap<Arc<str>, Vec<Arc<str>>>,
}

/// What holds for all tenants.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// First token of every tenant namespace's name, `[a-z][a-z0-9]{0,9}`; default `tn`.
    pub prefix: Arc<str>,
    /// DNS subdomain before the `/` of our labels, at most 253 characters; default `kubenova.io`.
    pub label_prefix: Arc<str>,
    /// Nothing outside these entries is ever admitted; empty admits nothing.
    pub ceiling: Vec<Entry>,
    /// Admitted in every tenant namespace; inside the ceiling.
    pub platform: Vec<Entry>,
    /// Trusted identities, in the document's order.
    pub identities: Vec<Identity>,
    /// Which CONNECT subresources tenants may use in their own app namespaces.
    pub connect: Connect,
    /// What an app namespace's own service accounts may write there.
    pub workload_writes: Vec<Pattern>,
}

/// A trusted identity. Username and group must both match where both are given.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Unique, one DNS label.
    pub name: Arc<str>,
    /// `Platform`, `Vela`, `Capsule`, `Controller` or `Admin`.
    pub class: Class,
    /// Exact username; absent only for class `Admin`.
    pub username: Option<Arc<str>>,
    /// Exact group.
    pub group: Option<Arc<str>>,
    /// May create tenant namespaces; only of class `Platform`.
    pub creates_namespaces: bool,
    /// What it writes in tenant namespaces; not empty for class `Controller`, empty for the others.
    pub writes: Arc<[Pattern]>,
}

/// CONNECT subresources open to tenants in their own app namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the document")]
pub struct Connect {
    /// `pods/exec`, default true.
    pub exec: bool,
    /// `pods/attach`, default true.
    pub attach: bool,
    /// `pods/portforward`, default false.
    pub portforward: bool,
    /// `pods/proxy` and `services/proxy`, default false.
    pub proxy: bool,
}

impl Snapshot {
    /// Reads and checks a document, JSON or YAML, at most 64 MiB. `file_name` only names the source in errors, and with
    /// `.yaml` or `.yml` at its end permits YAML that begins with `{`.
    pub fn parse(file_name: &str, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let reading = read::read(file_name, bytes)?;
        let mut problems = reading.problems;
        let snapshot = check::build(reading.document, &reading.dropped, &mut problems);
        problems.into_result(file_name).map(|()| snapshot)
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

    /// Whether the name begins as a tenant namespace's does, known or not; also for a `generateName`.
    pub fn is_tenant_name(&self, namespace: &str) -> bool {
        namespace.starts_with(&*self.index.prefix)
    }

    /// A namespace by exact name.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// Slug and tenant by UUID.
    pub fn tenant_by_id(&self, id: &str) -> Option<(&str, &Tenant)> {
        let slug = self.index.tenant_by_id.get(id)?;
        self.tenants.get(slug).map(|tenant| (&**slug, tenant))
    }

    /// Slugs, sorted, of the tenants that list exactly this group.
    pub fn tenants_of_group(&self, group: &str) -> &[Arc<str>] {
        self.index.tenants_by_group.get(group).map_or(&[], Vec::as_slice)
    }
}

impl Index {
    fn of(prefix: &str, tenants: &BTreeMap<Arc<str>, Tenant>) -> Self {
        let mut index = Self { prefix: format!("{prefix}-").into(), ..Self::default() };
        for (slug, tenant) in tenants {
            index.tenant_by_id.insert(Arc::clone(&tenant.id), Arc::clone(slug));
            for group in &tenant.groups {
                index.tenants_by_group.entry(Arc::clone(group)).or_default().push(Arc::clone(slug));
            }
        }
        index
    }
}

#[cfg(test)]
pub(crate) mod tests;
