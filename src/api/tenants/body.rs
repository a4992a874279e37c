//! Bodies of requests about tenants.

use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::fields::{self, Labels, LabelsPatch};
use crate::problem::{Code, Fault, Problem};
use portcullis_store::tenants::{NetworkPolicy, Quantities, Registries, Word};
use portcullis_tenancy::RegistryEntry;

/// A new tenant.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantNew {
    /// Slug.
    #[schema(schema_with = fields::tenant_slug)]
    pub name: String,
    /// Display name.
    #[serde(default)]
    #[schema(schema_with = fields::display_name, required = false)]
    pub display_name: String,
    /// Owners.
    #[serde(default)]
    #[schema(schema_with = fields::subjects, required = false)]
    pub owners: Vec<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// Name of a plan.
    #[schema(nullable = false, min_length = 1, max_length = 63, example = "baseline")]
    pub plan: Option<String>,
    /// Registries to pull from.
    #[schema(schema_with = fields::granted, required = false)]
    pub registries: Option<Registries>,
}

/// A merge patch (RFC 7396) of a tenant: absent fields stay, null removes.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TenantPatch {
    /// Display name.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(schema_with = fields::display_name_or_null, required = false)]
    pub display_name: Option<Option<String>>,
    /// Labels, merged by key.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(value_type = Option<LabelsPatch>)]
    pub labels: Option<Option<LabelsPatch>>,
    /// Registries to pull from; administrators only.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(schema_with = fields::granted, required = false)]
    pub registries: Option<Option<Registries>>,
    /// The subset that the owners allow.
    #[serde(default, deserialize_with = "fields::given")]
    #[schema(schema_with = fields::registries_or_null, required = false)]
    pub narrowed_registries: Option<Option<Vec<String>>>,
}

/// The owners of a tenant.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Owners {
    /// All of them.
    #[schema(schema_with = fields::subjects)]
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
pub struct PlanName {
    /// Its name.
    #[schema(min_length = 1, max_length = 63, example = "gold")]
    pub name: String,
}

/// The query of a deletion.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteOptions {
    /// Whether to delete everything in the tenant.
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
        fields::quantities()
    }
}

/// What was sent about registries, read.
#[derive(Debug, Default)]
pub struct RegistryLists {
    /// The list of a grant, where there is one in the body.
    granted: Option<Vec<RegistryEntry>>,
    /// The narrowing.
    narrowed: Option<Vec<RegistryEntry>>,
}

impl RegistryLists {
    /// Reads both lists; every fault of grammar is added.
    pub fn read(granted: Option<&Registries>, narrowed: Option<&[String]>, faults: &mut Vec<Fault>) -> Self {
        let list = match granted {
            Some(Registries::List(list)) => Some(list.as_slice()),
            Some(Registries::Word(Word::Inherit)) | None => None,
        };
        Self {
            granted: list.map(|list| entries(list, "/registries", faults)),
            narrowed: narrowed.map(|list| entries(list, "/narrowedRegistries", faults)),
        }
    }

    /// Whether they lie where they may: a grant inside the ceiling, a narrowing inside the grant, which is `base` where
    /// the body holds none.
    ///
    /// # Errors
    /// `REGISTRY_NOT_ALLOWED` with every entry that does not.
    pub fn check(&self, ceiling: &[RegistryEntry], base: Option<&Registries>) -> Result<(), Problem> {
        let mut faults = Vec::new();
        if let Some(granted) = &self.granted {
            outside(
                granted,
                ceiling,
                "/registries",
                "is outside the platform's registry ceiling",
                &mut faults,
            );
        }
        if let Some(narrowed) = &self.narrowed {
            let at = "/narrowedRegistries";
            match base {
                None => faults.push(Fault::new(at, "cannot narrow: the tenant has no registries")),
                Some(Registries::Word(Word::Inherit)) => {
                    outside(narrowed, ceiling, at, "is outside the platform's registry ceiling", &mut faults);
                }
                Some(Registries::List(list)) => {
                    let list: Vec<_> =
                        list.iter().filter_map(|entry| RegistryEntry::parse(entry).ok()).collect();
                    outside(narrowed, &list, at, "is outside the tenant's registries", &mut faults);
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Problem::faults(Code::RegistryNotAllowed, faults)) }
    }
}

fn entries(list: &[String], at: &str, faults: &mut Vec<Fault>) -> Vec<RegistryEntry> {
    let mut entries = Vec::with_capacity(list.len());
    for (index, text) in list.iter().enumerate() {
        match RegistryEntry::parse(text) {
            Ok(entry) => entries.push(entry),
            Err(error) => faults.push(Fault::new(format!("{at}/{index}"), error.to_string())),
        }
    }
    entries
}

fn outside(list: &[RegistryEntry], wider: &[RegistryEntry], at: &str, why: &str, faults: &mut Vec<Fault>) {
    for (index, entry) in list.iter().enumerate() {
        if !wider.iter().any(|wide| entry.is_within(wide)) {
            faults.push(Fault::new(format!("{at}/{index}"), why));
        }
    }
}
