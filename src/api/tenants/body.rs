//! What is sent about tenants.

use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::fields::{self, Labels, LabelsPatch};
use crate::words;
use portcullis_store::tenants::{NetworkPolicy, Quantities, Registries};

/// A new tenant.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantNew {
    /// Slug.
    #[schema(schema_with = words::tenant_slug)]
    pub name: String,
    /// Name for people.
    #[serde(default)]
    #[schema(schema_with = words::display_name, required = false)]
    pub display_name: String,
    /// Its first members.
    #[serde(default)]
    #[schema(schema_with = words::subjects, required = false)]
    pub owners: Vec<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// Name of a plan.
    #[schema(nullable = false, min_length = 1, max_length = 63, example = "baseline")]
    pub plan: Option<String>,
    /// What it may pull from.
    #[schema(schema_with = words::granted, required = false)]
    pub registries: Option<Registries>,
}

/// A merge patch (RFC 7396) of a tenant: what is absent stays, null takes away.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantPatch {
    /// Name for people.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(schema_with = words::display_name_or_null, required = false)]
    pub display_name: Option<Option<String>>,
    /// Labels, merged key by key.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(value_type = Option<LabelsPatch>)]
    pub labels: Option<Option<LabelsPatch>>,
    /// What it may pull from; administrators alone.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(schema_with = words::granted, required = false)]
    pub registries: Option<Option<Registries>>,
    /// What its owners narrow that to.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(schema_with = words::registries_or_null, required = false)]
    pub narrowed_registries: Option<Option<Vec<String>>>,
}

/// The owners of a tenant.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Owners {
    /// All of them.
    #[schema(schema_with = words::subjects)]
    pub owners: Vec<String>,
}

/// Amounts by resource; the whole list.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Amounts(pub Quantities);

/// The network policies of each of a tenant's namespaces; the whole list.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkPolicies {
    /// Each with a name of its own.
    #[schema(max_items = 20)]
    pub items: Vec<NetworkPolicy>,
}

/// The plan of a tenant.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanOf {
    /// Its name.
    #[schema(min_length = 1, max_length = 63, example = "gold")]
    pub name: String,
}

/// The query of a deletion.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// With all that is in it.
    #[serde(default)]
    #[schema(required = false)]
    pub cascade: bool,
}

impl ToSchema for Amounts {
    fn name() -> std::borrow::Cow<'static, str> {
        "Amounts".into()
    }
}

impl PartialSchema for Amounts {
    fn schema() -> RefOr<Schema> {
        words::quantities()
    }
}
