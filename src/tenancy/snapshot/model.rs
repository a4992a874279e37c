//! The entries of a snapshot: settings, tenants, projects, apps, namespaces, policy sets and exceptions.
//!
//! Types with serde derives are part of the document; the others are built from `wire` by `check`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::image::RegistryEntry;
use crate::requester::Class;
use crate::resource::Pattern;

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

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Projects => "projects",
            Self::Apps => "apps",
            Self::Namespaces => "namespaces",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// First token of every tenant namespace's name, `[a-z][a-z0-9]{0,9}`; default `tn`.
    pub prefix: Arc<str>,
    /// DNS subdomain before the `/` of our labels, at most 253 characters; default `kubenova.io`.
    pub label_prefix: Arc<str>,
    /// Nothing outside these entries is ever admitted; empty admits nothing.
    pub ceiling: Vec<RegistryEntry>,
    /// Admitted in every tenant namespace; inside the ceiling.
    pub platform: Vec<RegistryEntry>,
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

#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// UUID, lower case.
    pub id: Arc<str>,
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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registries {
    Inherit,
    /// These, all inside the ceiling; empty leaves the platform's.
    List(Vec<RegistryEntry>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Active,
    /// Writes are denied, deletes pass.
    Suspended,
    Deleting,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// UUID, lower case.
    pub id: Arc<str>,
    pub tenant: Arc<str>,
    pub slug: Arc<str>,
}

/// An app; it has at most one namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// UUID, lower case.
    pub id: Arc<str>,
    pub slug: Arc<str>,
    /// Where it comes from (`catalog`, `image`, …), one DNS label, if known.
    pub source_kind: Option<Arc<str>>,
}

/// A namespace of a tenant, with what a review needs of its owners.
#[derive(Debug, Clone, PartialEq)]
pub struct Namespace {
    pub tenant: Arc<str>,
    pub tenant_id: Arc<str>,
    pub status: Status,
    pub project: Arc<str>,
    pub project_id: Arc<str>,
    pub unit: Unit,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Unit {
    App {
        app: Arc<str>,
        id: Arc<str>,
    },
    Sandbox {
        /// 1 to 999.
        number: u16,
        id: Arc<str>,
        /// When the ledger removes it, RFC 3339.
        expires_at: Option<Arc<str>>,
    },
}

/// The kind of a request's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// In the snapshot, of an app.
    App,
    /// In the snapshot, a sandbox.
    Sandbox,
    /// Named like a tenant's namespace, but not in the snapshot.
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

/// Settings of policies under one name. The policies define what the parameters mean.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PolicySet")]
pub struct PolicySet {
    /// Its name, one DNS label; messages name it as the source of a value.
    #[schemars(length(min = 1, max = 63))]
    pub name: Arc<str>,
    /// Who attached it. A tenant's own set may only tighten.
    pub origin: Origin,
    /// Slugs of the projects that it applies to, at most 100; absent or empty means the whole tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub projects: Vec<Arc<str>>,
    /// Its rules, at most 100.
    #[schemars(length(max = 100))]
    pub rules: Vec<Rule>,
}

impl PolicySet {
    /// Whether it applies in a project; with `None`, in the whole tenant.
    pub fn holds_in(&self, project: Option<&str>) -> bool {
        self.projects.is_empty()
            || project.is_some_and(|project| self.projects.iter().any(|known| **known == *project))
    }
}

/// Most policy sets of a tenant, including those of its plan.
pub const SETS_MAX: usize = 100;

/// Most rules, and most projects, of a set.
pub const RULES_MAX: usize = 100;

/// Most bytes of a tenant's rules as JSON, since every change of the tenant sends them to every gate.
pub const RULES_BYTES_MAX: usize = 256 * 1024;

/// Deepest nesting of a rule's parameters. The parser's limit for the whole document is 128.
pub const PARAMS_DEPTH_MAX: usize = 32;

/// Bytes of rules as JSON, for [`RULES_BYTES_MAX`].
pub fn rules_bytes(rules: &[Rule]) -> usize {
    serde_json::to_vec(rules).map_or(usize::MAX, |json| json.len())
}

/// Nesting depth; a scalar has 0.
pub fn depth(value: &Value) -> usize {
    // The parser bounds the depth, so the recursion ends.
    let within =
        |values: &mut dyn Iterator<Item = &Value>| values.map(depth).max().map_or(1, |most| most + 1);
    match value {
        Value::Array(items) => within(&mut items.iter()),
        Value::Object(fields) => within(&mut fields.values()),
        _ => 0,
    }
}

/// The policies of the ledger: a bundle that is layered over the gate's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LedgerPolicies {
    /// Revision in the ledger, 1 or more.
    #[schemars(range(min = 1))]
    pub revision: u64,
    /// SHA-256 of its source, 64 lower-case hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// Who attached a policy set, in the order in which they are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The tenant's plan.
    Plan,
    /// An administrator.
    Platform,
    /// The tenant itself.
    Tenant,
}

impl Origin {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Platform => "platform",
            Self::Tenant => "tenant",
        }
    }
}

/// Settings of one policy in a set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The policy's id.
    #[schemars(length(min = 1, max = 63))]
    pub policy: Arc<str>,
    /// `enforce`, `warn`, `audit` or `off`; absent keeps the policy's mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["enforce", "warn", "audit", "off"]))]
    pub mode: Option<Arc<str>>,
    /// Parameters by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
}

/// Exemption from one policy, for some subjects and objects, until a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The policy's id.
    #[schemars(length(min = 1, max = 63))]
    pub policy: Arc<str>,
    /// Slug of the tenant in whose namespaces it applies; absent means everywhere. An unknown tenant means nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// Usernames and groups, exact, at most 100; empty or absent means every requester.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub subjects: Vec<Arc<str>>,
    /// The objects, 1 to 100; one match is enough.
    #[schemars(length(min = 1, max = 100))]
    pub objects: Vec<Objects>,
    /// When it expires, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub expires: Arc<str>,
}

/// Objects of an exception; an absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExceptionObjects")]
pub struct Objects {
    /// Namespace, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Resource in kubectl notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Arc<str>>,
    /// Name, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
}
