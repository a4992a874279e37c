//! What is sent to make, replace and roll back an app.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::source::{Source, shape};
use portcullis_store::apps::{Sourced, Spec};

/// A new app.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppNew {
    /// Slug: lower-case letters, digits and inner hyphens. It never changes, for its namespace is named by it.
    #[schema(
        min_length = 1,
        max_length = 20,
        pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        example = "frontend"
    )]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    #[schema(
        required = false,
        max_length = 1000,
        pattern = "^[^\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "The shop's front page"
    )]
    pub description: String,
    /// Where it comes from.
    pub spec: SpecNew,
    /// Components beside the source, as KubeVela has them.
    #[serde(default)]
    #[schema(required = false, schema_with = shape::objects)]
    pub components: Vec<Map<String, Value>>,
    /// Traits.
    #[serde(default)]
    #[schema(required = false, schema_with = shape::objects)]
    pub traits: Vec<Map<String, Value>>,
    /// Policies of the application.
    #[serde(default)]
    #[schema(required = false, schema_with = shape::objects)]
    pub policies: Vec<Map<String, Value>>,
}

/// An app as it shall be: what is left out is empty.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppPut {
    /// What it is for.
    #[serde(default)]
    #[schema(
        required = false,
        max_length = 1000,
        pattern = "^[^\u{0}-\u{8}\u{b}-\u{1f}\u{7f}-\u{9f}]*$",
        example = "The shop's front page"
    )]
    pub description: String,
    /// Where it comes from.
    pub spec: SpecNew,
    /// Components beside the source, as KubeVela has them.
    #[serde(default)]
    #[schema(required = false, schema_with = shape::objects)]
    pub components: Vec<Map<String, Value>>,
    /// Traits.
    #[serde(default)]
    #[schema(required = false, schema_with = shape::objects)]
    pub traits: Vec<Map<String, Value>>,
    /// Policies of the application.
    #[serde(default)]
    #[schema(required = false, schema_with = shape::objects)]
    pub policies: Vec<Map<String, Value>>,
}

/// Where an app comes from.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecNew {
    /// Exactly one of the six kinds.
    #[schema(value_type = Source)]
    pub source: Value,
}

/// Which revision to go back to.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// Number of the revision whose content becomes the newest.
    #[schema(minimum = 1, maximum = 2_147_483_647, example = 1)]
    pub to_revision: i64,
}

impl AppNew {
    /// Name, description and what it is made of.
    pub fn parts(self) -> (String, String, Spec) {
        let Self { name, description, spec, components, traits, policies } = self;
        (name, description, made_of(spec, components, traits, policies))
    }
}

impl AppPut {
    /// Description and what it is made of.
    pub fn parts(self) -> (String, Spec) {
        let Self { description, spec, components, traits, policies } = self;
        (description, made_of(spec, components, traits, policies))
    }
}

type Objects = Vec<Map<String, Value>>;

fn made_of(spec: SpecNew, components: Objects, traits: Objects, policies: Objects) -> Spec {
    let list = |objects: Objects| objects.into_iter().map(Value::Object).collect();
    Spec {
        spec: Sourced { source: spec.source },
        components: list(components),
        traits: list(traits),
        policies: list(policies),
    }
}
