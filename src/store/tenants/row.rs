//! A tenant as it is stored and as it is answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Quantities, in_force};
use crate::{StoreError, Time, document, settings};
use portcullis_tenancy::Entry;

/// A tenant.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// UUID.
    pub id: String,
    /// Slug; namespaces are named by it.
    #[schema(example = "acme")]
    pub name: String,
    /// Name for people; empty where none was given.
    pub display_name: String,
    /// Whether its writes are let through.
    pub status: Status,
    /// UUID of the cluster that it is on.
    pub cluster_id: String,
    /// Members with the role `tenantOwner`, sorted.
    pub owners: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Name of its plan.
    #[schema(required = true)]
    pub plan: Option<String>,
    /// What it may use in all; where it says nothing of a resource, its plan does.
    pub quotas: Quantities,
    /// What one container may use; where it says nothing of a resource, its plan does.
    pub limits: Quantities,
    /// Network policies of each of its namespaces.
    pub network_policies: Vec<NetworkPolicy>,
    /// What administrators grant: entries, `inherit` for the ceiling, null for no policy.
    #[schema(required = true)]
    pub registries: Option<Registries>,
    /// What its owners narrow that to; null where they do not.
    #[schema(required = true)]
    pub narrowed_registries: Option<Vec<String>>,
    /// What gates decide by: the meeting of ceiling, grant and narrowing.
    #[schema(required = true)]
    pub effective_registries: Option<Registries>,
    /// The group of its people in the cluster.
    #[schema(example = "acme-devs")]
    pub dev_group: String,
    /// When it was made, RFC 3339.
    pub created_at: Time,
    /// When it was last changed, RFC 3339.
    pub updated_at: Time,
    /// What `ETag` says; grows by each change.
    pub version: i64,
}

/// Whether a tenant's writes are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// They are.
    Active,
    /// They are denied; deletes and controllers pass.
    Suspended,
    /// It is being deleted.
    Deleting,
}

/// Registries as administrators grant them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Registries {
    /// A word instead of entries.
    Word(Word),
    /// Entries inside the ceiling.
    List(Vec<String>),
}

/// What can stand instead of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Word {
    /// The whole ceiling.
    Inherit,
}

/// A network policy that the platform writes into each namespace of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkPolicy {
    /// Name of the object: one DNS label.
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

/// What a network policy says is the cluster's to judge; here it is kept, and its size is that of a body.
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
    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}

/// What every statement that reads tenants begins with; deleted ones are not there.
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

/// The row of [`select`].
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
    /// The setting `registries`, the same in every row: so a tenant is one statement.
    shared: Option<String>,
}

impl Row {
    /// The ceiling of the moment.
    pub(super) fn ceiling(&self) -> Result<Vec<Entry>, StoreError> {
        settings::ceiling_of(self.shared.as_deref())
    }

    /// As it is answered, under this ceiling.
    pub(super) fn read(self, ceiling: &[Entry]) -> Result<Tenant, StoreError> {
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
