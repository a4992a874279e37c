//! One container image, and what runs it.

use utoipa::ToSchema;

use super::{SecretRef, free};

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
    /// What it asks for and what it may take.
    #[schema(required = false)]
    pub resources: ContainerResources,
    /// Who the registry asks for.
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

/// What a container asks for and what it may take, as Kubernetes writes quantities.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerResources {
    /// What it is promised.
    #[schema(required = false)]
    pub requests: ContainerAmounts,
    /// What it may take.
    #[schema(required = false)]
    pub limits: ContainerAmounts,
}

/// ContainerAmounts of resources.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerAmounts {
    /// Cores: `500m`, `2`.
    #[schema(required = false, schema_with = free::quantity)]
    pub cpu: String,
    /// Bytes: `256Mi`.
    #[schema(required = false, schema_with = free::quantity)]
    pub memory: String,
    /// Bytes on the node's disk: `1Gi`.
    #[schema(required = false, rename = "ephemeral-storage", schema_with = free::quantity)]
    pub ephemeral_storage: String,
}
