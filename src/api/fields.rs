//! Fields that several requests share, with their bounds: labels, slugs, subjects, quantities, registries, modes.
//!
//! A body is validated against its schema before the handler runs, so these bounds hold and the reference page shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{Code, Fault, Problem};
use portcullis_tenancy::{label, quantity, slug};

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
            .examples([json!({"tier": "gold"})])
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
        labels_patch()
    }
}

impl ToSchema for LabelsPatch {}

/// The labels after a patch: `None` if absent from it, empty if null.
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
        let detail = format!("leaves more than {} labels", label::LABELS_MAX);
        return Err(Problem::meaning(Code::UnprocessableEntity, "/labels", detail));
    }
    Ok(Some(labels))
}

/// For a field of a PATCH that may be null: absent stays, null removes. With `#[serde(default, deserialize_with =
/// "fields::given")]` on an `Option<Option<T>>`.
///
/// # Errors
/// Those of the value.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// Rejects a name in the form of an id, because paths accept both.
pub fn uuid_shaped(pointer: &str, name: &str) -> Option<Fault> {
    let shaped = name.len() == 36 && uuid::Uuid::try_parse(name).is_ok();
    shaped.then(|| Fault::new(pointer, "must not have the form of a UUID, which is reserved for ids"))
}

/// An object with free-form fields: parameters of a policy, an object of Kubernetes.
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
    schema.description(Some("The effect of a `deny` finding.")).into()
}

/// Parameters of a policy by name.
pub fn params() -> RefOr<Schema> {
    let example = json!({"allowed": ["deploy"]});
    foreign("Parameters by name, as the policy's `params_schema` has them.", 100).examples([example]).into()
}

pub const DISPLAY_NAME_MAX: usize = 100;

pub const SUBJECT_MAX: usize = 512;

/// Most subjects in one list.
pub const SUBJECTS_MAX: usize = 200;

/// Most entries in one list of registries.
pub const REGISTRIES_MAX: usize = 100;

/// Longest registry entry, in characters.
const REGISTRY_MAX: usize = 1024;

/// No control, no direction, no invisible characters but joiners: what is shown must be what is there.
const DISPLAYED: &str = r"^[^\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+$";

const TENANT: &str = "^(?!(?:app|sbx)$)[a-z][a-z0-9]*$";
const PROJECT: &str = "^(?!(?:.*-)?(?:app|sbx)(?:-|$))[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
const SUBJECT: &str = r"^[^\u0000-\u0020\u007f-\u009f]+$";
const TENANT_DESCRIPTION: &str =
    "a lower-case letter, then lower-case letters and digits, and neither `app` nor `sbx`";
const PROJECT_DESCRIPTION: &str =
    "lower-case letters, digits and inner hyphens, without the hyphen-separated tokens `app` and `sbx`";

/// Patterns in words, because a person reads what was refused.
const PATTERN_DESCRIPTIONS: &[(&str, &str)] = &[
    (TENANT, TENANT_DESCRIPTION),
    (PROJECT, PROJECT_DESCRIPTION),
    (DISPLAYED, "free of control characters, line breaks and invisible characters"),
    (SUBJECT, "free of spaces and control characters"),
    (
        label::KEY_PATTERN,
        "a label's key: letters, digits and inner `-`, `_`, `.`, at most 63, after a DNS subdomain and `/` if any",
    ),
    (label::VALUE_PATTERN, "a label's value: letters, digits and inner `-`, `_`, `.`, at most 63"),
    (quantity::PATTERN, "a quantity such as `500m`, `4` or `1.5Gi`, zero or more"),
    (
        quantity::RESOURCE_PATTERN,
        "the name of a resource such as `pods`, `requests.cpu` or `count/jobs.batch`",
    ),
];

/// What a pattern of this page means, to stand after `is not`.
pub fn describe_pattern(pattern: &str) -> Option<&'static str> {
    PATTERN_DESCRIPTIONS.iter().find(|(known, _)| *known == pattern).map(|(_, words)| *words)
}

/// Slug of a tenant.
pub fn tenant_slug() -> RefOr<Schema> {
    let what = format!("Slug: {TENANT_DESCRIPTION}. Immutable, because namespace names contain it");
    text(&what, TENANT, 1, slug::LENGTH_MAX, "acme").into()
}

/// Slug of a project.
pub fn project_slug() -> RefOr<Schema> {
    let what = format!("Slug: {PROJECT_DESCRIPTION}. Immutable, because namespace names contain it");
    text(&what, PROJECT, 1, slug::LENGTH_MAX, "shop").into()
}

/// A project, by id or slug.
pub fn project_name() -> RefOr<Schema> {
    text("Id or slug of a project", "^[a-z0-9-]+$", 1, 36, "shop").into()
}

pub fn display_name() -> RefOr<Schema> {
    text("Display name", DISPLAYED, 1, DISPLAY_NAME_MAX, "Acme Corporation").into()
}

pub fn display_name_or_null() -> RefOr<Schema> {
    or_null(display_name())
}

pub fn subject() -> RefOr<Schema> {
    let what = "`issuer#subject`; without an issuer, a subject of this server's own tokens";
    text(what, SUBJECT, 1, SUBJECT_MAX, "https://id.example.com#ada").into()
}

pub fn subjects() -> RefOr<Schema> {
    let list = ArrayBuilder::new().items(subject()).max_items(Some(SUBJECTS_MAX)).unique_items(true);
    list.description(Some("Owners of the tenant: its members with the role `tenantOwner`")).into()
}

/// A merge patch of labels.
pub fn labels_patch() -> RefOr<Schema> {
    let key = text("Key of a label", label::KEY_PATTERN, 1, label::KEY_LENGTH_MAX, "team");
    let value = text("Value of a label", label::VALUE_PATTERN, 0, 63, "payments");
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Labels by Kubernetes' grammar, merged by key; null removes one"))
        .property_names(Some(key))
        .additional_properties(Some(or_null(value.into())))
        .max_properties(Some(label::LABELS_MAX))
        .examples([json!({ "team": "payments", "legacy": null })])
        .into()
}

/// Entries of a registry allowlist.
pub fn registries() -> RefOr<Schema> {
    let what = "A registry, or a path in one with everything below it; no scheme, tag, digest or wildcard";
    let entry = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(what))
        .min_length(Some(1))
        .max_length(Some(REGISTRY_MAX))
        .examples([json!("registry.example.com/tenants/acme")]);
    let list = ArrayBuilder::new().items(entry).max_items(Some(REGISTRIES_MAX)).unique_items(true);
    list.description(Some("Registries, each with everything below it")).into()
}

/// The same; null takes the list away.
pub fn registries_or_null() -> RefOr<Schema> {
    or_null(registries())
}

/// Granted registries: a list, the whole ceiling, or none.
pub fn granted() -> RefOr<Schema> {
    let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["inherit"]));
    let null = ObjectBuilder::new().schema_type(Type::Null);
    let what = "What the tenant may pull from: entries inside the ceiling, `inherit` for all of it, null for no policy at all, which denies every image";
    OneOfBuilder::new().item(registries()).item(word).item(null).description(Some(what)).into()
}

/// Amounts by resource.
pub fn quantities() -> RefOr<Schema> {
    let amount = text("A quantity", quantity::PATTERN, 1, quantity::LENGTH_MAX, "1.5Gi");
    let resource =
        text("A resource", quantity::RESOURCE_PATTERN, 1, quantity::RESOURCE_LENGTH_MAX, "requests.memory");
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Amounts by resource, in Kubernetes' grammar of quantities"))
        .property_names(Some(resource))
        .additional_properties(Some(RefOr::<Schema>::from(amount)))
        .max_properties(Some(quantity::RESOURCES_MAX))
        .examples([json!({ "requests.cpu": "8", "requests.memory": "16Gi", "pods": "50" })])
        .into()
}

fn or_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    OneOfBuilder::new().item(schema).item(ObjectBuilder::new().schema_type(Type::Null)).into()
}

fn text(what: &str, pattern: &str, min: usize, max: usize, example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(what))
        .pattern(Some(pattern))
        .min_length(Some(min))
        .max_length(Some(max))
        .examples([json!(example)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn same<E>(schema: &RefOr<Schema>, check: fn(&str) -> Result<(), E>) {
        let validator = jsonschema::validator_for(&serde_json::to_value(schema).unwrap()).unwrap();
        let mut texts: Vec<String> = [
            "",
            "a",
            "acme",
            "1a",
            "a1",
            "a-",
            "-a",
            "a-b",
            "a--b",
            "A",
            "app",
            "sbx",
            "apps",
            "my-app",
            "app-x",
            "a-app-b",
            "a-sbx",
            "myapp",
            "app1-x",
            "x-appx",
            "sbx-",
            "-sbx",
            "a_b",
            "é",
            "a\n",
            "a b",
            "a\u{0}",
            "018f2b7c-0000-7000-8000-00000000000a",
            "a' OR '1'='1",
        ]
        .map(str::to_owned)
        .to_vec();
        texts.extend([20, 21].map(|length| "a".repeat(length)));
        for text in texts {
            assert_eq!(validator.is_valid(&json!(text)), check(&text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn slug_schemas_match_the_ledger() {
        same(&tenant_slug(), slug::check_tenant);
        same(&project_slug(), slug::check_project);
    }

    /// The crate of schemas repeats a pattern as it was written, or no words would be found for it.
    #[test]
    fn pattern_fault_is_described_in_words() {
        let schema = serde_json::to_value(tenant_slug()).unwrap();
        let faults = crate::schema::faults_of(&schema, &json!("Acme"), "/name").unwrap();
        assert_eq!(
            (faults.len(), faults[0].detail.as_str()),
            (1, format!("is not {TENANT_DESCRIPTION}").as_str())
        );
    }

    #[test]
    fn display_names_have_no_invisible_characters() {
        let validator = jsonschema::validator_for(&serde_json::to_value(display_name()).unwrap()).unwrap();
        for good in
            ["Acme", "Ünïcödé 株式会社 👩\u{200d}🚀", "O'Brien; DROP TABLE tenants --", &"é".repeat(100)]
        {
            assert!(validator.is_valid(&json!(good)), "{good:?}");
        }
        for bad in ["", "a\u{0}", "a\nb", "a\u{202e}b", "a\u{7f}", "\u{feff}a", &"é".repeat(101)] {
            assert!(!validator.is_valid(&json!(bad)), "{bad:?}");
        }
    }
}
