//! The table of webhooks. The webhook configurations are rendered from it, and [`check`] refuses a policy that matches what no
//! webhook receives.
//!
//! The table is static: policies never change it, so the gate needs no permission to write webhook configurations.

mod backstop;
mod check;
mod drift;
mod settings;
mod webhooks;

pub use backstop::backstop;
pub use check::check;
pub use drift::{Drift, drift, drift_of_objects};
pub use settings::{Client, Settings, SettingsError};
pub use webhooks::{Condition, Configuration, NAME, configurations};

use super::manifest::Operation;
use portcullis_tenancy::snapshot::Kind;

/// The configuration of a webhook, which decides its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// `MutatingWebhookConfiguration`, `/mutate`: may patch, and fails open.
    Mutating,
    /// `ValidatingWebhookConfiguration`, `/validate`: decides, and fails closed.
    Validating,
}

/// Scope of the objects, as the API server defines it: a Namespace is cluster-scoped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Cluster,
    Namespaced,
    Any,
}

#[derive(Debug)]
pub struct WebhookEntry {
    /// First part of the webhook's name, before the domain.
    pub name: &'static str,
    pub hook: Hook,
    /// API group; `*` for all, empty for the core group.
    pub group: &'static str,
    /// In the notation of webhook rules: `*` excludes subresources, `*/*` includes them.
    pub resources: &'static [&'static str],
    pub operations: &'static [Operation],
    pub scope: Scope,
    /// Match conditions; kube-apiserver calls the webhook only when all are true.
    pub conditions: &'static [Condition],
    /// Namespace kinds that it covers: of `platform` only Namespace objects written by a tenant, of `cluster` what tenants
    /// and Vela write. Empty where the object's label decides instead of its namespace.
    pub kinds: &'static [Kind],
}

/// Kinds of tenant namespaces, registered or not.
const TENANTS: &[Kind] = &[Kind::App, Kind::Sandbox, Kind::Unregistered];

const IN_TENANT_NAMESPACES: &[Condition] =
    &[Condition::TenantNamespace, Condition::NotVirtualReview, Condition::NotClusterUpkeep];

/// Every webhook, in the order of the configurations.
pub const TABLE: &[WebhookEntry] = &[
    WebhookEntry {
        name: "defaults",
        hook: Hook::Mutating,
        group: "*",
        resources: &["*"],
        operations: &[Operation::Create, Operation::Update],
        scope: Scope::Namespaced,
        conditions: IN_TENANT_NAMESPACES,
        kinds: TENANTS,
    },
    WebhookEntry {
        name: "namespaces",
        hook: Hook::Validating,
        group: "",
        resources: &["namespaces", "namespaces/status", "namespaces/finalize"],
        operations: &[Operation::Create, Operation::Update, Operation::Delete],
        scope: Scope::Cluster,
        conditions: &[Condition::TenantNamespaceOrTenant],
        kinds: &[Kind::App, Kind::Sandbox, Kind::Unregistered, Kind::Platform],
    },
    WebhookEntry {
        name: "tenant-writes",
        hook: Hook::Validating,
        group: "*",
        resources: &["*/*"],
        operations: Operation::ALL,
        scope: Scope::Namespaced,
        conditions: IN_TENANT_NAMESPACES,
        kinds: TENANTS,
    },
    WebhookEntry {
        name: "cluster-writes",
        hook: Hook::Validating,
        group: "*",
        resources: &["*/*"],
        operations: Operation::ALL,
        scope: Scope::Cluster,
        conditions: &[Condition::TenantOrVela, Condition::NotVirtualReview, Condition::NotVelaTracker],
        kinds: &[Kind::Cluster],
    },
    // For every user, since KubeVela can impersonate any of them.
    WebhookEntry {
        name: ELSEWHERE,
        hook: Hook::Validating,
        group: "*",
        resources: &["*"],
        operations: &[Operation::Create, Operation::Update],
        scope: Scope::Any,
        conditions: &[
            Condition::CreatedForTenantApp,
            Condition::NotInTenantNamespace,
            Condition::NotVirtualReview,
            Condition::NoTracker,
        ],
        kinds: &[],
    },
];

/// Name of a webhook and of the only policy that depends on it. No other policy can rely on seeing objects outside tenant
/// namespaces, because the webhook gets only objects with KubeVela's label.
pub const ELSEWHERE: &str = "vela-elsewhere";

impl Hook {
    pub const fn path(self) -> &'static str {
        match self {
            Self::Mutating => "/mutate",
            Self::Validating => "/validate",
        }
    }

    pub const fn kind(self) -> &'static str {
        match self {
            Self::Mutating => "MutatingWebhookConfiguration",
            Self::Validating => "ValidatingWebhookConfiguration",
        }
    }
}

impl Scope {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Namespaced => "Namespaced",
            Self::Any => "*",
        }
    }
}

#[cfg(test)]
mod tests;
