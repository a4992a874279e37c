//! The document's wire types. `check` validates the meaning of the fields.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::model::{Exception, LedgerPolicies, PolicySet};
use crate::breakglass;

/// JSON Schema (2020-12) of the document.
pub fn schema() -> serde_json::Value {
    generate(false)
}

/// The schema without references, for walking it beside a document.
pub(super) fn inlined_schema() -> serde_json::Value {
    generate(true)
}

fn generate(inline_subschemas: bool) -> serde_json::Value {
    // Null is refused, so a default of null would be wrong.
    let no_null_default = RecursiveTransform(|schema: &mut schemars::Schema| {
        if schema.get("default").is_some_and(serde_json::Value::is_null) {
            schema.remove("default");
        }
    });
    let settings = SchemaSettings::draft2020_12().with_transform(no_null_default);
    let settings = settings.with(|settings| settings.inline_subschemas = inline_subschemas);
    settings.into_generator().into_root_schema_for::<Document>().to_value()
}

/// Portcullis snapshot: the tenants, projects, apps and namespaces of one ledger as of one revision. At most 64 MiB,
/// JSON or YAML.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "Portcullis snapshot")]
pub(super) struct Document {
    /// Version of this format; 1 is the only one.
    #[serde(default = "format_version")]
    #[schemars(range(min = 1, max = 1))]
    pub(super) version: u32,
    /// UUID of the ledger, lower case; new at creation and at restore.
    #[schemars(extend("format" = "uuid"))]
    pub(super) ledger: String,
    /// Number of the last committed change, 0 or more.
    pub(super) revision: u64,
    /// The policies of the ledger, if it has any.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "LedgerPolicies")]
    pub(super) policies: Option<LedgerPolicies>,
    /// What holds for all tenants.
    #[serde(default)]
    pub(super) settings: Settings,
    /// Tenants by slug: a lower-case letter, then lower-case letters and digits, at most 20, neither `app` nor `sbx`.
    /// May be an empty map, never absent.
    #[schemars(with = "BTreeMap<String, Tenant>")]
    pub(super) tenants: Keyed<Tenant>,
    /// Projects by `tenant/project`. A project slug is lower-case letters, digits and inner hyphens, at most 20, without
    /// the hyphen-separated tokens `app` and `sbx`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Project>")]
    pub(super) projects: Keyed<Project>,
    /// Apps by `tenant/project/app`. An app slug is lower-case letters, digits and inner hyphens, at most 20.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, App>")]
    pub(super) apps: Keyed<App>,
    /// Namespaces by name, which must be the one composed from their owner: `<prefix>-<tenant>-<project>-app-<app>` or
    /// `<prefix>-<tenant>-<project>-sbx-<NNN>`, at most 63 characters.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Namespace>")]
    pub(super) namespaces: Keyed<Namespace>,
    /// Granted exemptions from policies, by id.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Exception>")]
    pub(super) exceptions: Keyed<Exception>,
    /// Break-glass documents by id: each signed, or closed.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, breakglass::BreakglassEntry>")]
    pub(super) breakglass: Keyed<breakglass::BreakglassEntry>,
}

/// What holds for all tenants.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Settings {
    /// First token of every tenant namespace's name: a lower-case letter, then up to 9 lower-case letters and digits;
    /// default `tn`.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = "^[a-z][a-z0-9]{0,9}$"))]
    pub(super) prefix: Option<String>,
    /// DNS subdomain before the `/` of the platform's labels, at most 253 characters; default `kubenova.io`.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) label_prefix: Option<String>,
    /// Registries for all tenants.
    pub(super) registries: SharedRegistries,
    /// Trusted identities. Built in, and never listed: the service accounts of kube-system, kube-scheduler, the API
    /// server, kube-controller-manager, nodes.
    pub(super) identities: Vec<Identity>,
    /// CONNECT subresources that tenants may use in their own app namespaces.
    pub(super) connect: Connect,
    /// What an app namespace's own service accounts may write there, in kubectl notation (`leases.coordination.k8s.io`);
    /// default leases and events, empty means nothing.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub(super) workload_writes: Option<Vec<String>>,
}

/// Registries for all tenants. An entry is a registry (`registry.example.com:5000`) or a path in one
/// (`docker.io/library`), without scheme, tag, digest or wildcard, and covers what is below it.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SharedRegistries {
    /// Nothing outside these entries is ever admitted; empty or absent admits nothing.
    pub(super) ceiling: Vec<String>,
    /// Admitted in every tenant namespace; each inside the ceiling.
    pub(super) platform: Vec<String>,
}

/// A trusted identity. Username and group must both match where both are given; comparison is exact.
#[derive(Debug, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Identity {
    /// Unique name, one DNS label, at most 63 characters.
    pub(super) name: String,
    /// What it may do.
    #[schemars(extend("enum" = ["platform", "vela", "capsule", "controller", "admin"]))]
    pub(super) class: String,
    /// Exact username, 1 to 256 characters; may be absent only for class `admin`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) username: Option<String>,
    /// Exact group, 1 to 256 characters; for a service account its own `system:serviceaccounts:<namespace>`.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) group: Option<String>,
    /// May create tenant namespaces; only for class `platform`; default false.
    #[serde(default)]
    pub(super) creates_namespaces: bool,
    /// What it writes in tenant namespaces, in kubectl notation; at least one for class `controller`, none for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) writes: Vec<String>,
}

/// CONNECT subresources that tenants may use in their own app namespaces.
#[derive(Debug, Clone, Copy, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "four independent switches of the document")]
pub(super) struct Connect {
    /// `pods/exec`; default true.
    pub(super) exec: bool,
    /// `pods/attach`; default true.
    pub(super) attach: bool,
    /// `pods/portforward`; default false.
    pub(super) portforward: bool,
    /// `pods/proxy` and `services/proxy`; default false.
    pub(super) proxy: bool,
}

impl Default for Connect {
    fn default() -> Self {
        Self { exec: true, attach: true, portforward: false, proxy: false }
    }
}

/// A tenant.
#[derive(Debug, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Tenant {
    /// UUID, lower case; no other thing in the document has it.
    #[schemars(extend("format" = "uuid"))]
    pub(super) id: String,
    /// Life cycle: a suspended tenant's writes are denied and its deletes pass.
    #[schemars(extend("enum" = ["active", "suspended", "deleting"]))]
    pub(super) status: String,
    /// Groups of its users, each 1 to 256 characters; several tenants may list the same group.
    #[serde(default)]
    pub(super) groups: Vec<String>,
    /// Its registries inside the ceiling, or `inherit` for the whole ceiling; `[]` leaves the platform's registries;
    /// absent means no registry policy, and every image is denied.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Registries")]
    pub(super) registries: Option<Registries>,
    /// Name of its plan, one DNS label.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) plan: Option<String>,
    /// Its policy sets, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub(super) policy_sets: Vec<PolicySet>,
}

/// A list of registry entries, or the word `inherit`.
#[derive(Debug, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Registries {
    /// Entries, each inside the ceiling.
    List(Vec<String>),
    /// The whole ceiling: `inherit`.
    Word(#[schemars(extend("enum" = ["inherit"]))] String),
}

/// A project.
#[derive(Debug, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Project {
    /// UUID, lower case; no other thing in the document has it.
    #[schemars(extend("format" = "uuid"))]
    pub(super) id: String,
}

/// An app.
#[derive(Debug, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct App {
    /// UUID, lower case; no other thing in the document has it.
    #[schemars(extend("format" = "uuid"))]
    pub(super) id: String,
    /// Where it comes from, one DNS label: `catalog`, `image`, ….
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) source_kind: Option<String>,
}

/// A namespace and its owner.
#[derive(Debug, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Namespace {
    /// `app`: the one namespace of an app; `sandbox`: a sandbox.
    #[schemars(extend("enum" = ["app", "sandbox"]))]
    pub(super) kind: String,
    /// Slug of the tenant.
    pub(super) tenant: String,
    /// Slug of the project.
    pub(super) project: String,
    /// Slug of the app; with kind `app` only.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(super) app: Option<String>,
    /// Number of the sandbox, 1 to 999; with kind `sandbox` only.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u16", range(min = 1, max = 999))]
    pub(super) sandbox: Option<u16>,
    /// UUID of the sandbox; with kind `app` the id is under `apps`, and if it is given here too it must be equal.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub(super) id: Option<String>,
    /// When the ledger removes the sandbox, RFC 3339.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(super) expires_at: Option<String>,
}

fn format_version() -> u32 {
    super::FORMAT_VERSION
}

/// An absent key is `None`; an explicit null is an error, because an empty `registries:` may mean the empty list.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A map in the document's order that keeps repeated keys, so that the check can report them: `serde_json` would keep
/// the last one.
#[derive(Debug)]
pub(super) struct Keyed<T>(pub(super) Vec<(String, T)>);

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Keyed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Keyed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Keyed(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}
