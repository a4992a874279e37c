//! What a schema has against a value, in sentences. They name what is allowed and never what was sent, which may be a
//! secret.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::json::escape;
use crate::problem::Fault;
use crate::words;

/// The faults that one error comes to.
pub fn faults(error: &ValidationError<'_>) -> Vec<Fault> {
    let at = error.instance_path().as_str();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let unknown = |name: &String| Fault::new(format!("{at}/{}", escape(name)), "is not known here");
            unexpected.iter().map(unknown).collect()
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Fault::new(format!("{at}/{}", escape(name)), "is missing")]
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            // What may be null is a choice between null and the thing: then it is the thing that has the faults.
            let mut close = context.iter().filter(|branch| !branch.iter().any(|error| elsewhere(error, at)));
            match (close.next(), close.next()) {
                (Some(branch), None) => branch.iter().flat_map(faults).collect(),
                _ => vec![Fault::new(at, "fits none of the forms that are allowed here")],
            }
        }
        kind => vec![Fault::new(at, sentence(kind))],
    }
}

/// Whether a branch of a choice was not meant at all: the value is of another type altogether.
fn elsewhere(error: &ValidationError<'_>, at: &str) -> bool {
    let other = matches!(error.kind(), Kind::Type { .. } | Kind::Enum { .. } | Kind::Constant { .. });
    other && error.instance_path().as_str() == at
}

fn sentence(kind: &Kind) -> String {
    match kind {
        Kind::Type { kind: TypeKind::Single(one) } => format!("has to be of type {one}"),
        Kind::Type { kind: TypeKind::Multiple(many) } => {
            let names: Vec<_> = many.iter().map(|one| one.to_string()).collect();
            format!("has to be of type {}", names.join(" or "))
        }
        Kind::MaxLength { limit } => format!("is longer than {limit} characters"),
        Kind::MinLength { limit: 1 } => "is empty".to_owned(),
        Kind::MinLength { limit } => format!("is shorter than {limit} characters"),
        Kind::Pattern { pattern } => words::of_pattern(pattern)
            .map_or_else(|| format!("does not match `{pattern}`"), |words| format!("is not {words}")),
        Kind::Format { format } => format!("is no {format}"),
        Kind::Enum { options } => format!("is none of {}", list(options)),
        Kind::Constant { expected_value } => format!("is not {expected_value}"),
        Kind::Minimum { limit } => format!("is less than {limit}"),
        Kind::Maximum { limit } => format!("is greater than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("is not greater than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("is not less than {limit}"),
        _ => rest(kind),
    }
}

fn rest(kind: &Kind) -> String {
    match kind {
        Kind::MaxItems { limit } => format!("has more than {limit} items"),
        Kind::MinItems { limit: 1 } | Kind::MinProperties { limit: 1 } => "is empty".to_owned(),
        Kind::MinItems { limit } => format!("has fewer than {limit} items"),
        Kind::UniqueItems => "has an item twice".to_owned(),
        Kind::MaxProperties { limit } => format!("has more than {limit} entries"),
        Kind::MinProperties { limit } => format!("has fewer than {limit} entries"),
        Kind::PropertyNames { error } => format!("has a key that {}", sentence(error.kind())),
        Kind::ContentEncoding { content_encoding } => format!("is not encoded as {content_encoding}"),
        Kind::OneOfMultipleValid { .. } => {
            "fits more than one of the forms, and only one is allowed".to_owned()
        }
        other => format!("does not satisfy `{}`", other.keyword()),
    }
}

fn list(options: &Value) -> String {
    let words: Vec<_> = options.as_array().into_iter().flatten().map(word).collect();
    words.join(", ")
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("`{text}`"))
}
