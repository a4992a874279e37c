//! The schema of a source, with every bound: the same for apps, catalog items and merged overrides.
//!
//! No value of these types is ever built: a source is stored as it was sent, and the types only describe it. That a source
//! has exactly one kind is checked by [`super::structure::kind`].

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};

use crate::problem::{Code, Fault, Problem};
use crate::schema;
use portcullis_tenancy::quantity;

/// Compiled once, because a merged override is validated outside of the request schemas.
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
    /// Values of the chart.
    #[schema(required = false, schema_with = values)]
    pub values: Value,
    /// Credentials for the repository.
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
    /// Values of the chart.
    #[schema(required = false, schema_with = values)]
    pub values: Value,
    /// Credentials for the registry.
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
    /// Credentials for the repository.
    #[schema(required = false)]
    pub credentials_secret_ref: SecretRef,
}

/// A Kubernetes object as it stands, or a `List` of some.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeManifest {
    /// The object.
    #[schema(schema_with = manifest)]
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
    /// Parameters of the definition.
    #[schema(required = false, schema_with = parameters)]
    pub parameters: Value,
    /// Credentials for the registries of its images.
    #[schema(required = false)]
    pub credentials_secret_ref: SecretRef,
}

/// A Secret, by name. Its contents are never stored here.
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

/// One container image.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerImage {
    /// Image reference; with a tag in it, or a digest, or neither and `tag`. It has to be of a registry of the tenant.
    #[schema(
        min_length = 1,
        max_length = 512,
        pattern = r"^[^\s\x00-\x1f]+$",
        example = "registry.example.com/tenants/acme/web"
    )]
    pub image: String,
    /// Tag, apart from the image so that an override can change it alone.
    #[schema(
        required = false,
        min_length = 1,
        max_length = 128,
        pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        example = "1.27"
    )]
    pub tag: String,
    /// Ports that it listens on.
    #[schema(required = false, max_items = 32)]
    pub ports: Vec<Port>,
    /// Environment of the container.
    #[schema(required = false, max_items = 256)]
    pub env: Vec<Variable>,
    /// Resource requests and limits.
    #[schema(required = false)]
    pub resources: ContainerResources,
    /// Credentials for the registry.
    #[schema(required = false)]
    pub credentials_secret_ref: SecretRef,
}

/// A port, 1 to 65535.
#[derive(ToSchema)]
#[schema(minimum = 1, maximum = 65535, value_type = u16, example = 8080)]
pub struct Port(pub u16);

/// A variable of the environment. Secrets are referred to, never written here.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    #[schema(
        min_length = 1,
        max_length = 253,
        pattern = "^[A-Za-z_][A-Za-z0-9_.-]*$",
        example = "LOG_LEVEL"
    )]
    pub name: String,
    /// Its value.
    #[schema(required = false, max_length = 32768, example = "info")]
    pub value: String,
    /// A key of a Secret instead of a value.
    #[schema(required = false)]
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the app's own namespace.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schema(
        min_length = 1,
        max_length = 253,
        pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
        example = "database"
    )]
    pub name: String,
    /// The key in it.
    #[schema(min_length = 1, max_length = 253, pattern = "^[A-Za-z0-9._-]+$", example = "url")]
    pub key: String,
}

/// Resource requests and limits as Kubernetes quantities.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerResources {
    /// Requests.
    #[schema(required = false)]
    pub requests: ContainerAmounts,
    /// Limits.
    #[schema(required = false)]
    pub limits: ContainerAmounts,
}

/// ContainerAmounts of resources.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerAmounts {
    /// Cores: `500m`, `2`.
    #[schema(required = false, schema_with = quantity)]
    pub cpu: String,
    /// Bytes: `256Mi`.
    #[schema(required = false, schema_with = quantity)]
    pub memory: String,
    /// Bytes on the node's disk: `1Gi`.
    #[schema(required = false, rename = "ephemeral-storage", schema_with = quantity)]
    pub ephemeral_storage: String,
}

/// Members of one free-form object; [`crate::source::structure::bounds`] limits depth and length.
const MEMBERS_MAX: usize = 1024;

/// Objects of one free-form list.
const OBJECTS_MAX: usize = 64;

/// Components, traits and policies, as KubeVela has them.
pub fn objects() -> RefOr<Schema> {
    let what = "Objects as KubeVela has them: a component has `name`, `type` and `properties`";
    ArrayBuilder::new().items(free("An object")).max_items(Some(OBJECTS_MAX)).description(Some(what)).into()
}

/// A merge patch over a source.
pub fn overrides() -> RefOr<Schema> {
    let example = serde_json::json!({ "containerImage": { "tag": "1.28" } });
    free("Overrides of the item's source: a merge patch (RFC 7386), in which null removes")
        .examples([example])
        .into()
}

/// An amount of a resource.
pub(super) fn quantity() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("An amount, in Kubernetes' grammar of quantities"))
        .min_length(Some(1))
        .max_length(Some(quantity::LENGTH_MAX))
        .pattern(Some(quantity::PATTERN))
        .examples(["500m", "256Mi"])
        .into()
}

pub(super) fn values() -> RefOr<Schema> {
    free("Values of the chart").into()
}

pub(super) fn parameters() -> RefOr<Schema> {
    free("Parameters of the definition").into()
}

pub(super) fn manifest() -> RefOr<Schema> {
    let text = |what: &str, max: usize, pattern: &str, example: &str| {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(what))
            .min_length(Some(1))
            .max_length(Some(max))
            .pattern(Some(pattern))
            .examples([serde_json::json!(example)])
    };
    free("A Kubernetes object, or a `List` of some")
        .property("apiVersion", text("Group and version", 253, "^([a-z0-9.-]+/)?[a-z0-9]+$", "apps/v1"))
        .property("kind", text("Kind", 63, "^[A-Z][A-Za-z0-9]*$", "Deployment"))
        .required("apiVersion")
        .required("kind")
        .into()
}

/// A free-form object.
fn free(what: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(what))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
        .max_properties(Some(MEMBERS_MAX))
}
