//! The tenant and its row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{StoreError, Time, document, settings};
use portcullis_tenancy::{RegistryEntry, registries, snapshot};

/// Reason in the audit log.
pub(crate) const WITH_TENANT: &str = "its tenant was deleted";

/// Amounts by resource.
pub type Quantities = BTreeMap<String, String>;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// UUID.
    pub id: String,
    /// Slug; part of the names of namespaces.
    #[schema(example = "acme")]
    pub name: String,
    /// Display name; empty if none was given.
    pub display_name: String,
    /// Whether writes in its namespaces are allowed.
    pub status: Status,
    /// UUID of its cluster.
    pub cluster_id: String,
    /// Members with the role `tenantOwner`, sorted.
    pub owners: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Name of its plan.
    #[schema(required = true)]
    pub plan: Option<String>,
    /// Total resource quotas; its plan applies where a resource is absent.
    pub quotas: Quantities,
    /// Limits of one container; its plan applies where a resource is absent.
    pub limits: Quantities,
    /// Network policies of each namespace.
    pub network_policies: Vec<NetworkPolicy>,
    /// Registries that administrators grant: entries, `inherit` for the ceiling, null for no restriction.
    #[schema(required = true)]
    pub registries: Option<Registries>,
    /// Registries to which owners narrow the grant; null if they do not.
    #[schema(required = true)]
    pub narrowed_registries: Option<Vec<String>>,
    /// Registries that gates enforce: the intersection of ceiling, grant and narrowing.
    #[schema(required = true)]
    pub effective_registries: Option<Registries>,
    /// Group of its developers in the cluster.
    #[schema(example = "acme-devs")]
    pub dev_group: String,
    /// Creation time, RFC 3339.
    pub created_at: Time,
    /// Time of the last change, RFC 3339.
    pub updated_at: Time,
    /// Value of `ETag`; grows with each change.
    pub version: i64,
}

/// Status of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Writes are allowed.
    Active,
    /// Writes are denied; deletes and controllers are allowed.
    Suspended,
    /// The tenant is being deleted.
    Deleting,
}

/// Registries that administrators grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Registries {
    /// A keyword instead of entries.
    Word(Word),
    /// Entries inside the ceiling.
    List(Vec<String>),
}

/// Keyword instead of a list of registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Word {
    /// The whole ceiling.
    Inherit,
}

/// A network policy that the platform creates in each namespace of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkPolicy {
    /// Name of the object, one DNS label.
    #[schema(
        pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        min_length = 1,
        max_length = 63,
        example = "default-deny"
    )]
    pub name: String,
    /// Its `spec` by `networking.k8s.io/v1`.
    #[schema(schema_with = spec)]
    pub spec: serde_json::Map<String, serde_json::Value>,
}

/// The cluster validates the specification.
fn spec() -> utoipa::openapi::schema::Object {
    use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Its `spec` by `networking.k8s.io/v1`"))
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .examples([serde_json::json!({ "podSelector": {}, "policyTypes": ["Ingress"] })])
        .build()
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}

/// Effective registries under this ceiling. Entries are validated when they are written; an invalid one admits nothing.
fn in_force(
    ceiling: &[RegistryEntry],
    granted: Option<&Registries>,
    narrowed: Option<&[String]>,
) -> Option<Registries> {
    let granted = granted.map(|granted| match granted {
        Registries::Word(Word::Inherit) => snapshot::Registries::Inherit,
        Registries::List(list) => snapshot::Registries::List(entries(list)),
    });
    let narrowed = narrowed.map(entries);
    registries::effective(ceiling, granted.as_ref(), narrowed.as_deref()).map(|found| match found {
        snapshot::Registries::Inherit => Registries::Word(Word::Inherit),
        snapshot::Registries::List(list) => {
            Registries::List(list.iter().map(RegistryEntry::to_string).collect())
        }
    })
}

fn entries(list: &[String]) -> Vec<RegistryEntry> {
    list.iter().filter_map(|entry| RegistryEntry::parse(entry).ok()).collect()
}

/// Start of every statement that reads tenants; excludes deleted ones.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.slug, t.display_name, t.status, t.owners, t.labels, t.quotas, t.limits, \
             t.network_policies, t.registries, t.narrowed_registries, t.dev_group, t.created_at, t.updated_at, \
             t.version, c.cluster_id, p.name AS plan, \
             (SELECT value FROM settings WHERE tenant_id IS NULL AND key = 'registries') AS shared FROM tenants t \
             JOIN tenant_clusters c ON c.tenant_id = t.id AND c.is_primary = 1 \
             LEFT JOIN plans p ON p.id = t.plan_id WHERE t.deleted_at IS NULL AND ",
            $rest
        )
    };
}
pub(super) use select;

#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    slug: String,
    display_name: String,
    status: String,
    owners: String,
    labels: String,
    quotas: String,
    limits: String,
    network_policies: String,
    registries: Option<String>,
    narrowed_registries: Option<String>,
    dev_group: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
    cluster_id: String,
    plan: Option<String>,
    /// The setting `registries`, the same in every row, so that reading tenants is one statement.
    shared: Option<String>,
}

impl Row {
    pub(super) fn ceiling(&self) -> Result<Vec<RegistryEntry>, StoreError> {
        settings::ceiling_of(self.shared.as_deref())
    }

    pub(super) fn read(self, ceiling: &[RegistryEntry]) -> Result<Tenant, StoreError> {
        let registries = self.registries.map(|text| document("a tenant's registries", &text)).transpose()?;
        let narrowed: Option<Vec<String>> = self
            .narrowed_registries
            .map(|text| document("a tenant's narrowed registries", &text))
            .transpose()?;
        Ok(Tenant {
            status: match self.status.as_str() {
                "active" => Status::Active,
                "suspended" => Status::Suspended,
                _ => Status::Deleting,
            },
            owners: document("a tenant's owners", &self.owners)?,
            labels: document("a tenant's labels", &self.labels)?,
            quotas: document("a tenant's quotas", &self.quotas)?,
            limits: document("a tenant's limits", &self.limits)?,
            network_policies: document("a tenant's network policies", &self.network_policies)?,
            effective_registries: in_force(ceiling, registries.as_ref(), narrowed.as_deref()),
            registries,
            narrowed_registries: narrowed,
            id: self.id,
            name: self.slug,
            display_name: self.display_name,
            cluster_id: self.cluster_id,
            plan: self.plan,
            dev_group: self.dev_group,
            created_at: Time(self.created_at),
            updated_at: Time(self.updated_at),
            version: self.version,
        })
    }
}
