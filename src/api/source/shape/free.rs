//! What an author writes freely: its members are its own, their number is bounded.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Schema, Type};

use portcullis_tenancy::quantity;

/// Members of one object that somebody writes freely; depth and length are bounded by [`crate::source::bounds`].
const MEMBERS_MAX: usize = 1024;

/// Objects of one list that somebody writes freely.
const OBJECTS_MAX: usize = 64;

/// Components, traits and policies, as KubeVela has them.
pub fn objects() -> RefOr<Schema> {
    let what = "Objects as KubeVela has them: a component has `name`, `type` and `properties`";
    ArrayBuilder::new().items(free("An object")).max_items(Some(OBJECTS_MAX)).description(Some(what)).into()
}

/// A merge patch over a source.
pub fn overrides() -> RefOr<Schema> {
    let example = serde_json::json!({ "containerImage": { "tag": "1.28" } });
    free("What shall be otherwise than in the item's source: a merge patch (RFC 7386), in which null takes away")
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
    free("What the chart is rendered with").into()
}

pub(super) fn parameters() -> RefOr<Schema> {
    free("What the definition is rendered with").into()
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

/// An object of somebody else's making.
fn free(what: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(what))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
        .max_properties(Some(MEMBERS_MAX))
}
