//! What the snapshot holds: tenants, projects, apps, namespaces, and how policies name their kinds.

use std::sync::Arc;

use super::policy_sets::PolicySet;
use crate::image::Entry;

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// UUID, lower case.
    pub id: Arc<str>,
    /// Life cycle.
    pub status: Status,
    /// Its people's groups, each once; another tenant may have the same.
    pub groups: Vec<Arc<str>>,
    /// Its registry policy; `None` means that there is none and every image is denied.
    pub registries: Option<Registries>,
    /// Name of its plan, one DNS label, if it has one.
    pub plan: Option<Arc<str>>,
    /// Its policy sets in the order in which they apply; shared, since many reviews hold them.
    pub policy_sets: Arc<[PolicySet]>,
}

/// A tenant's registry policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registries {
    /// The whole ceiling.
    Inherit,
    /// These, all inside the ceiling; empty leaves the platform's.
    List(Vec<Entry>),
}

/// Life cycle of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Works.
    Active,
    /// Writes are denied, deletes pass.
    Suspended,
    /// On its way out.
    Deleting,
}

/// A project.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// UUID, lower case.
    pub id: Arc<str>,
    /// Slug of its tenant.
    pub tenant: Arc<str>,
    /// Its own slug.
    pub slug: Arc<str>,
}

/// An app; it has at most one namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// UUID, lower case.
    pub id: Arc<str>,
    /// Its own slug.
    pub slug: Arc<str>,
    /// Where it comes from (`catalog`, `image`, …), one DNS label, if known.
    pub source_kind: Option<Arc<str>>,
}

/// A namespace of a tenant, with what a review needs of its owners.
#[derive(Debug, Clone, PartialEq)]
pub struct Namespace {
    /// Slug of the tenant.
    pub tenant: Arc<str>,
    /// UUID of the tenant.
    pub tenant_id: Arc<str>,
    /// Status of the tenant.
    pub status: Status,
    /// Slug of the project.
    pub project: Arc<str>,
    /// UUID of the project.
    pub project_id: Arc<str>,
    /// What it is the namespace of.
    pub unit: Unit,
}

/// What a namespace is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Unit {
    /// The one namespace of an app.
    App {
        /// Slug of the app.
        app: Arc<str>,
        /// UUID of the app.
        id: Arc<str>,
    },
    /// A sandbox.
    Sandbox {
        /// 1 to 999.
        number: u16,
        /// UUID of the sandbox.
        id: Arc<str>,
        /// When the ledger means to remove it, RFC 3339, if ever.
        expires_at: Option<Arc<str>>,
    },
}

/// What kind of namespace a request is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// In the snapshot, of an app.
    App,
    /// In the snapshot, a sandbox.
    Sandbox,
    /// Named like a tenant's, and not in the snapshot.
    Unregistered,
    /// Any other namespace.
    Platform,
    /// No namespace.
    Cluster,
}

impl Unit {
    /// `App` or `Sandbox`.
    pub fn kind(&self) -> Kind {
        match self {
            Self::App { .. } => Kind::App,
            Self::Sandbox { .. } => Kind::Sandbox,
        }
    }
}

impl Kind {
    /// All kinds, in order.
    pub const ALL: &[Self] = &[Self::App, Self::Sandbox, Self::Unregistered, Self::Platform, Self::Cluster];

    /// As policies see it: `app`, `sandbox`, `unregistered`, `platform`, `cluster`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Sandbox => "sandbox",
            Self::Unregistered => "unregistered",
            Self::Platform => "platform",
            Self::Cluster => "cluster",
        }
    }
}

impl Status {
    /// As in the document: `active`, `suspended`, `deleting`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}
