//! What kube-apiserver is told to send: one table, from which the webhook configurations are printed and against which
//! every policy's `match` is held.
//!
//! It is static. A change of the policies never changes it, so the gate needs no right to write webhook configurations,
//! and a policy that waits for what nobody sends is an error ([`check`]) rather than a silence.

mod backstop;
mod check;
mod conditions;
mod drift;
mod known;
mod render;
mod settings;

pub use backstop::backstop;
pub use check::check;
pub use conditions::Condition;
pub use drift::{Drift, drift, drift_of_objects};
pub use render::{Configuration, NAME, configurations};
pub use settings::{Client, Settings, SettingsError};

use super::manifest::Operation;
use portcullis_tenancy::snapshot::Kind;

/// Which configuration an entry stands in, and so which path is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// `MutatingWebhookConfiguration`, `/mutate`: may patch, and fails open.
    Mutating,
    /// `ValidatingWebhookConfiguration`, `/validate`: decides, and fails closed.
    Validating,
}

/// Which objects a rule is about, in the API server's sense: a Namespace is itself cluster-scoped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Without a namespace.
    Cluster,
    /// In a namespace.
    Namespaced,
    /// Either.
    Any,
}

/// One webhook.
#[derive(Debug)]
pub struct Entry {
    /// What stands before the domain in its name.
    pub name: &'static str,
    /// Where it is registered.
    pub hook: Hook,
    /// API group: `*`, or empty for the core group.
    pub group: &'static str,
    /// Resources as webhook rules spell them: `*` is without subresources, `*/*` with all.
    pub resources: &'static [&'static str],
    /// Operations; all four are written `*`.
    pub operations: &'static [Operation],
    /// Scope of its objects.
    pub scope: Scope,
    /// All must hold, or it is not called.
    pub conditions: &'static [Condition],
    /// Kinds of namespace whose reviews can come through it. Of kind `platform` only Namespace objects do, where a tenant
    /// asks; of kind `cluster` what tenants and Vela write. Empty where the object's label decides, and not its place.
    pub kinds: &'static [Kind],
}

/// A namespace kind that tenants live in, registered or not.
const TENANTS: &[Kind] = &[Kind::App, Kind::Sandbox, Kind::Unregistered];

const IN_TENANT_NAMESPACES: &[Condition] =
    &[Condition::TenantNamespace, Condition::NotVirtualReview, Condition::NotUpkeep];

/// Every webhook there is, in the order of printing.
pub const TABLE: &[Entry] = &[
    Entry {
        name: "defaults",
        hook: Hook::Mutating,
        group: "*",
        resources: &["*"],
        operations: &[Operation::Create, Operation::Update],
        scope: Scope::Namespaced,
        conditions: IN_TENANT_NAMESPACES,
        kinds: TENANTS,
    },
    Entry {
        name: "namespaces",
        hook: Hook::Validating,
        group: "",
        resources: &["namespaces", "namespaces/status", "namespaces/finalize"],
        operations: &[Operation::Create, Operation::Update, Operation::Delete],
        scope: Scope::Cluster,
        conditions: &[Condition::TenantsNamespaceOrTenant],
        kinds: &[Kind::App, Kind::Sandbox, Kind::Unregistered, Kind::Platform],
    },
    Entry {
        name: "tenant-writes",
        hook: Hook::Validating,
        group: "*",
        resources: &["*/*"],
        operations: Operation::ALL,
        scope: Scope::Namespaced,
        conditions: IN_TENANT_NAMESPACES,
        kinds: TENANTS,
    },
    Entry {
        name: "cluster-writes",
        hook: Hook::Validating,
        group: "*",
        resources: &["*/*"],
        operations: Operation::ALL,
        scope: Scope::Cluster,
        conditions: &[Condition::TenantOrVela, Condition::NotVirtualReview, Condition::NotVelasTracker],
        kinds: &[Kind::Cluster],
    },
    // By any user: KubeVela writes as whoever it is told to be.
    Entry {
        name: ELSEWHERE,
        hook: Hook::Validating,
        group: "*",
        resources: &["*"],
        operations: &[Operation::Create, Operation::Update],
        scope: Scope::Any,
        conditions: &[
            Condition::MadeForATenantsApp,
            Condition::NotInTenantNamespace,
            Condition::NotVirtualReview,
            Condition::NoTracker,
        ],
        kinds: &[],
    },
];

/// An entry, and the one policy that is about what comes through it. No other may count on seeing what lies outside
/// tenant namespaces, because only objects with that label are sent.
pub const ELSEWHERE: &str = "vela-elsewhere";

impl Hook {
    /// The path that kube-apiserver calls.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Mutating => "/mutate",
            Self::Validating => "/validate",
        }
    }

    /// `kind` of the configuration.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Mutating => "MutatingWebhookConfiguration",
            Self::Validating => "ValidatingWebhookConfiguration",
        }
    }
}

impl Scope {
    /// The word of a webhook rule.
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
