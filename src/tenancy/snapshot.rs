//! The snapshot of the ledger: who exists, what belongs to whom, what is allowed; checked as a whole, then immutable.
//!
//! What reaches a gate as a file, through the long poll or inside the process is one document (`schema`). It is read
//! into wire types, checked with every problem named at once, and only then becomes these types; so nobody who holds a
//! `Snapshot` has to doubt a slug, a name, an id or a registry entry in it.

mod check;
mod document;
mod edit;
mod error;
mod exceptions;
mod items;
mod last_good;
mod map;
mod patch;
mod policy_sets;
mod read;
mod shape;
mod unknown;
mod wire;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use document::bytes_of;
pub use edit::Section;
pub use error::{Problem, SnapshotError};
pub use exceptions::{Exception, Objects};
pub use items::{App, Kind, Namespace, Project, Registries, Status, Tenant, Unit};
pub use last_good::Held;
pub use map::Map;
pub use patch::Changes;
pub use policy_sets::{
    Law, Origin, PARAMS_DEPTH_MAX, PolicySet, RULES_BYTES_MAX, RULES_MAX, Rule, SETS_MAX, depth, rules_bytes,
};
pub use read::LENGTH_MAX;
pub use unknown::pass_over;
pub use wire::schema;

use super::breakglass;
use super::image::Entry;
use super::requester::Class;
use super::resource::Pattern;

/// The version of the document's format that this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// First token of tenant namespaces' names where the document names none.
const DEFAULT_PREFIX: &str = super::name::PREFIX;

/// The ledger as of one revision. Immutable; a copy shares its maps, and a change of the copy no more than it must.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// UUID of the ledger; another one means another history, whatever the revision.
    pub ledger: Arc<str>,
    /// Number of the last committed change; grows by commits of one ledger.
    pub revision: u64,
    /// Digest of all changes up to this revision, where the source has said it. Two snapshots of one ledger and one revision
    /// with different ones are of different histories. It is no part of the document.
    pub digest: Option<Arc<str>>,
    /// The law that the ledger keeps, if it keeps one.
    pub law: Option<Law>,
    /// What holds for all tenants.
    pub settings: Settings,
    /// By slug.
    pub tenants: Map<Tenant>,
    /// By `tenant/project`.
    pub projects: Map<Project>,
    /// By `tenant/project/app`.
    pub apps: Map<App>,
    /// By the exact name, which equals the one composed from its owner.
    pub namespaces: Map<Namespace>,
    /// Leave that was granted, by id; few, so a change of one takes the document's slow way.
    pub exceptions: Arc<BTreeMap<Arc<str>, Exception>>,
    /// Break-glass documents by id, whether they verify or not; what signature counts is the gate's to know.
    pub breakglass: Arc<BTreeMap<Arc<str>, breakglass::Entry>>,
    index: Index,
}

/// What a review looks up other than by the document's own keys.
#[derive(Debug, Clone, PartialEq, Default)]
struct Index {
    /// `tn-`: what the name of every tenant namespace begins with.
    prefix: Box<str>,
    /// Whose each id is.
    ids: Map<(Section, Arc<str>)>,
    /// Slugs, sorted, by group.
    tenants_by_group: Map<Vec<Arc<str>>>,
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
        Self::checked(file_name, read::read(file_name, bytes)?)
    }

    /// Checks a document that is no text any more. `name` only names it in errors.
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

    /// Whether the name begins as a tenant namespace's does, known or not; also for a `generateName`.
    pub fn is_tenant_name(&self, namespace: &str) -> bool {
        namespace.starts_with(&*self.index.prefix)
    }

    /// Whether the name begins as those of this tenant's namespaces do; a slug has no hyphen, so it is one tenant's alone.
    pub fn is_name_of(&self, namespace: &str, tenant: &str) -> bool {
        namespace
            .strip_prefix(&*self.index.prefix)
            .and_then(|rest| rest.strip_prefix(tenant))
            .is_some_and(|rest| rest.starts_with('-'))
    }

    /// A namespace by exact name.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    /// Slug and tenant by UUID.
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

#[cfg(test)]
mod tests;
