//! The schema of a source, with every bound: one for apps, for catalog items and for what an override makes of them.
//!
//! These types are never built: a source is kept as it was sent, and they say what may be sent. That it has one kind and
//! not two is not among the bounds of a field; [`super::kind`] says so, in a sentence of its own.

mod container;
mod free;

pub use container::{ContainerAmounts, ContainerImage, ContainerResources, Port, SecretKeyRef, Variable};
pub use free::{objects, overrides};

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::{Code, Fault, Problem};
use crate::schema;

/// What an override may make of a source is not known before it has: the schema, compiled once.
static SHAPE: LazyLock<Option<Validator>> = LazyLock::new(|| schema::compiled::<Source>().ok());

/// What the schema has against a source that stands at `at`.
///
/// # Errors
/// 500 where the schema is none, which a test finds.
pub fn faults(source: &Value, at: &str) -> Result<Vec<Fault>, Problem> {
    let shape = SHAPE.as_ref().ok_or_else(|| Problem::of(Code::Internal))?;
    Ok(schema::faults(shape, source, at))
}

/// Where an app comes from: **exactly one** of these.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// A chart of a Helm repository over HTTPS.
    #[schema(required = false)]
    pub helm_http: HelmHttp,
    /// A chart in an OCI registry.
    #[schema(required = false)]
    pub helm_oci: HelmOci,
    /// A directory of a Git repository.
    #[schema(required = false)]
    pub git_repo: GitRepo,
    /// One container image.
    #[schema(required = false)]
    pub container_image: ContainerImage,
    /// A Kubernetes object as it stands, or a `List` of some.
    #[schema(required = false)]
    pub kube_manifest: KubeManifest,
    /// A definition of KubeVela with its parameters.
    #[schema(required = false)]
    pub vela_template: VelaTemplate,
}

/// A chart of a Helm repository over HTTPS.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HelmHttp {
    /// Address of the repository; HTTPS, and no password in it.
    #[schema(
        min_length = 9,
        max_length = 2048,
        pattern = r"^https://[^\s\x00-\x1f]+$",
        example = "https://charts.example.com/stable"
    )]
    pub repo_url: String,
    /// Name of the chart.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$",
        example = "wordpress"
    )]
    pub chart: String,
    /// Version of the chart, exact: a range would mean another app tomorrow.
    #[schema(
        min_length = 5,
        max_length = 128,
        pattern = r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$",
        example = "15.2.0"
    )]
    pub version: String,
    /// What the chart is rendered with.
    #[schema(required = false, schema_with = free::values)]
    pub values: Value,
    /// Who the repository asks for.
    #[schema(required = false)]
    pub credentials_secret_ref: SecretRef,
}

/// A chart in an OCI registry.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HelmOci {
    /// The registry and the path to the chart's directory; it has to be a registry of the tenant.
    #[schema(
        min_length = 7,
        max_length = 512,
        pattern = r"^oci://[^\s\x00-\x1f@]+$",
        example = "oci://registry.example.com/tenants/acme/charts"
    )]
    pub registry: String,
    /// Name of the chart.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$",
        example = "wordpress"
    )]
    pub chart: String,
    /// Version of the chart, exact.
    #[schema(
        min_length = 5,
        max_length = 128,
        pattern = r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$",
        example = "15.2.0"
    )]
    pub version: String,
    /// What the chart is rendered with.
    #[schema(required = false, schema_with = free::values)]
    pub values: Value,
    /// Who the registry asks for.
    #[schema(required = false)]
    pub credentials_secret_ref: SecretRef,
}

/// A directory of a Git repository.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitRepo {
    /// Address of the repository: HTTPS, or SSH as the user `git`; no password in it.
    #[schema(
        min_length = 9,
        max_length = 2048,
        pattern = r"^(https://|ssh://git@|git@[A-Za-z0-9.-]+:)[^\s\x00-\x1f]+$",
        example = "https://git.example.com/acme/shop.git"
    )]
    pub url: String,
    /// Branch, tag or commit.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[A-Za-z0-9][A-Za-z0-9._/+-]*$",
        example = "v1.2.0"
    )]
    pub revision: String,
    /// Directory inside the repository, relative and without `..`.
    #[schema(
        required = false,
        min_length = 1,
        max_length = 1024,
        pattern = r"^(\.|(\./)?([A-Za-z0-9_+-]|\.[A-Za-z0-9_+-])[A-Za-z0-9_+-]*(\.[A-Za-z0-9_+-]+)*(/([A-Za-z0-9_+-]|\.[A-Za-z0-9_+-])[A-Za-z0-9_+-]*(\.[A-Za-z0-9_+-]+)*)*/?)$",
        example = "deploy"
    )]
    pub path: String,
    /// Who the repository asks for.
    #[schema(required = false)]
    pub credentials_secret_ref: SecretRef,
}

/// A Kubernetes object as it stands, or a `List` of some.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeManifest {
    /// The object.
    #[schema(schema_with = free::manifest)]
    pub manifest: Value,
}

/// A definition of KubeVela with its parameters.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VelaTemplate {
    /// Name of the component definition.
    #[schema(
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "webservice"
    )]
    pub template: String,
    /// Revision of the definition, without which it is the newest.
    #[schema(
        required = false,
        min_length = 1,
        max_length = 63,
        pattern = "^v?[0-9]+(\\.[0-9]+)*$",
        example = "v2"
    )]
    pub version: String,
    /// What the definition is rendered with.
    #[schema(required = false, schema_with = free::parameters)]
    pub parameters: Value,
    /// Who the registries of its images ask for.
    #[schema(required = false)]
    pub credentials_secret_ref: SecretRef,
}

/// A Secret, by name. Its contents are never kept here.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schema(
        min_length = 1,
        max_length = 253,
        pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        example = "registry-credentials"
    )]
    pub name: String,
    /// Its namespace: an app namespace of the same tenant; without it, the app's own.
    #[schema(
        required = false,
        min_length = 1,
        max_length = 63,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "tn-acme-shop-app-frontend"
    )]
    pub namespace: String,
}
