//! Schemas of the words that several bodies share: slugs, labels, subjects, quantities, registries.
//!
//! A body is held against its schema before a handler sees it, so what stands here is the bound, and the reference page
//! shows it. What a schema cannot say (a slug's sentence, the grammar of a registry entry) is checked after it.

use serde_json::json;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

use portcullis_tenancy::{label, quantity, slug};

/// Longest name for people, in characters.
pub const DISPLAY_NAME_MAX: usize = 100;

/// Longest `issuer#sub`, in characters: a URL, and what an issuer may say of a person.
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
const TENANT_WORDS: &str =
    "a lower-case letter, then lower-case letters and digits, and neither `app` nor `sbx`";
const PROJECT_WORDS: &str =
    "lower-case letters, digits and inner hyphens, without the hyphen-separated tokens `app` and `sbx`";

/// Patterns in words, because a person reads what was refused.
const WORDS: &[(&str, &str)] = &[
    (TENANT, TENANT_WORDS),
    (PROJECT, PROJECT_WORDS),
    (DISPLAYED, "free of control characters, line ends and what cannot be seen"),
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
pub fn of_pattern(pattern: &str) -> Option<&'static str> {
    WORDS.iter().find(|(known, _)| *known == pattern).map(|(_, words)| *words)
}

/// Slug of a tenant.
pub fn tenant_slug() -> RefOr<Schema> {
    let what = format!("Slug: {TENANT_WORDS}. It never changes, for namespaces are named by it");
    text(&what, TENANT, 1, slug::LENGTH_MAX, "acme").into()
}

/// Slug of a project.
pub fn project_slug() -> RefOr<Schema> {
    let what = format!("Slug: {PROJECT_WORDS}. It never changes, for namespaces are named by it");
    text(&what, PROJECT, 1, slug::LENGTH_MAX, "shop").into()
}

/// A project, by id or slug.
pub fn project_name() -> RefOr<Schema> {
    text("Id or slug of a project", "^[a-z0-9-]+$", 1, 36, "shop").into()
}

/// A name for people.
pub fn display_name() -> RefOr<Schema> {
    text("Name for people", DISPLAYED, 1, DISPLAY_NAME_MAX, "Acme Corporation").into()
}

/// A name for people; null takes it away.
pub fn display_name_or_null() -> RefOr<Schema> {
    or_null(display_name())
}

/// Who somebody is.
pub fn subject() -> RefOr<Schema> {
    let what = "Who: `issuer#subject`; without an issuer, a subject of this server's own tokens";
    text(what, SUBJECT, 1, SUBJECT_MAX, "https://id.example.com#ada").into()
}

/// Several people.
pub fn subjects() -> RefOr<Schema> {
    let list = ArrayBuilder::new().items(subject()).max_items(Some(SUBJECTS_MAX)).unique_items(true);
    list.description(Some("Who owns the tenant: its members with the role `tenantOwner`")).into()
}

/// A merge patch of labels.
pub fn labels_patch() -> RefOr<Schema> {
    let key = text("Key of a label", label::KEY_PATTERN, 1, label::KEY_LENGTH_MAX, "team");
    let value = text("Value of a label", label::VALUE_PATTERN, 0, 63, "payments");
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Labels by Kubernetes' grammar, merged key by key; null takes one away"))
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

/// What administrators grant: a list, the whole ceiling, or nothing said.
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

    /// Every text is judged alike by the schema and by the function that the ledger trusts.
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
    fn slugs_are_what_the_ledger_takes() {
        same(&tenant_slug(), slug::check_tenant);
        same(&project_slug(), slug::check_project);
    }

    /// The crate of schemas repeats a pattern as it was written, or no words would be found for it.
    #[test]
    fn a_refusal_is_in_words() {
        let schema = serde_json::to_value(tenant_slug()).unwrap();
        let faults = crate::schema::faults_of(&schema, &json!("Acme"), "/name").unwrap();
        assert_eq!((faults.len(), faults[0].detail.as_str()), (1, format!("is not {TENANT_WORDS}").as_str()));
    }

    #[test]
    fn names_for_people_are_what_they_look_like() {
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
