//! Fields that many requests have, with their bounds: the schema says the same as the code.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{Code, Fault, Problem};
use super::words;
use portcullis_tenancy::label;

/// Labels by Kubernetes' grammar, at most 64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl PartialSchema for Labels {
    fn schema() -> RefOr<Schema> {
        let value = ObjectBuilder::new()
            .schema_type(Type::String)
            .max_length(Some(63))
            .pattern(Some(label::VALUE_PATTERN));
        let key = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(label::KEY_LENGTH_MAX))
            .pattern(Some(label::KEY_PATTERN))
            .build();
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(RefOr::T(Schema::from(value))))
            .property_names(Some(Schema::from(key)))
            .max_properties(Some(label::LABELS_MAX))
            .description(Some("Labels by Kubernetes' grammar."))
            .examples([serde_json::json!({"tier": "gold"})])
            .into()
    }
}

impl ToSchema for Labels {}

/// A merge patch (RFC 7396) of labels: each is set, or with null taken away; those that are absent stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct LabelsPatch(BTreeMap<String, Option<String>>);

impl PartialSchema for LabelsPatch {
    fn schema() -> RefOr<Schema> {
        words::labels_patch()
    }
}

impl ToSchema for LabelsPatch {}

/// What labels are after a patch; nothing where it does not name them, and none where it says null.
///
/// # Errors
/// 422 where more would be left than one thing carries.
pub fn merged(
    was: &BTreeMap<String, String>,
    patch: Option<Option<LabelsPatch>>,
) -> Result<Option<BTreeMap<String, String>>, Problem> {
    let Some(patch) = patch else { return Ok(None) };
    let Some(LabelsPatch(patch)) = patch else { return Ok(Some(BTreeMap::new())) };
    let mut labels = was.clone();
    for (key, value) in patch {
        match value {
            Some(value) => labels.insert(key, value),
            None => labels.remove(&key),
        };
    }
    if labels.len() > label::LABELS_MAX {
        let detail = format!("would leave more than {} labels", label::LABELS_MAX);
        return Err(Problem::meaning(Code::UnprocessableEntity, "/labels", detail));
    }
    Ok(Some(labels))
}

/// For a field of a PATCH that may be null: absent stays, null takes away. With `#[serde(default, deserialize_with =
/// "fields::given")]` on an `Option<Option<T>>`.
///
/// # Errors
/// Those of the value.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// What is wrong with a name that looks like an id: paths take either, and must never mean the other.
pub fn uuid_shaped(pointer: &str, name: &str) -> Option<Fault> {
    let shaped = name.len() == 36 && uuid::Uuid::try_parse(name).is_ok();
    shaped.then(|| Fault::new(pointer, "has the form of a UUID, which is for ids"))
}

/// An object whose fields are somebody else's to say: parameters of a policy, an object of Kubernetes.
pub fn foreign(description: &str, fields_max: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .max_properties(Some(fields_max))
        .description(Some(description))
}

/// A mode, by its word.
pub fn mode() -> RefOr<Schema> {
    let words = ["enforce", "warn", "audit", "off"];
    let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
    schema.description(Some("What a finding of `deny` leads to.")).into()
}

/// Parameters of a policy by name.
pub fn params() -> RefOr<Schema> {
    let example = serde_json::json!({"allowed": ["deploy"]});
    foreign("Parameters by name, as the policy's `params_schema` has them.", 100).examples([example]).into()
}
