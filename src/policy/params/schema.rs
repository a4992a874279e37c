//! `params_schema`: what a policy says its parameters look like, and whether they do.

use serde_json::{Map, Value as Json};

use super::place;
use crate::manifest::Manifest;
use portcullis_rego::Module;
use portcullis_rego::problem::Problem;

/// Characters of a value that is quoted.
const QUOTED_MAX: usize = 100;
/// Values that are listed as allowed.
const LISTED_MAX: usize = 200;

/// Everything in a policy's parameters that its schema does not allow; parameters that are not given are `{}`. `modes` is
/// the gate's own and no business of the schema.
///
/// # Errors
/// The schema is none: said at its place in METADATA.
pub fn check(
    manifest: &Manifest,
    file: Option<&Module>,
    params: Option<&Json>,
) -> Result<Vec<Problem>, Problem> {
    let Some(schema) = manifest.params_schema.as_deref() else { return Ok(Vec::new()) };
    let (line, column) = manifest.params_schema_place;
    let own = |message: String| Problem::at(&manifest.place.0, line, column, message);
    let no_schema = |why: String| own(format!("params_schema is no JSON Schema: {why}"));
    if !schema.is_object() {
        return Err(no_schema(format!(
            "it is {}, not a map, for example `{{type: object}}`",
            quoted(schema)
        )));
    }
    // Offline by its build: a `$ref` that leads out of the schema is an error and no request.
    let validator = jsonschema::validator_for(schema).map_err(|error| {
        let at = error.instance_path().as_str();
        no_schema(if at.is_empty() { error.to_string() } else { format!("{at}: {error}") })
    })?;
    let mut given = params.and_then(Json::as_object).cloned().unwrap_or_default();
    given.remove("modes");
    let given = Json::Object(given);
    let problems = validator.iter_errors(&given).map(|error| {
        let pointer = error.instance_path().as_str();
        let found = if error.kind().keyword() == "required" { error.to_string() } else { found(&error) };
        let keyword = error.schema_path().as_str();
        let message = format!("`{pointer}` {found}{}", allowed(schema, keyword));
        match file {
            Some(file) => {
                let (line, column) = place::of(&file.text, &pointed(&error)).unwrap_or((0, 0));
                Problem::at(
                    &file.path,
                    line,
                    column,
                    format!("{message}, says params_schema of `{}`", manifest.id),
                )
            }
            None => own(format!("parameters are not given (params/{}/data.yaml): {message}", manifest.id)),
        }
    });
    Ok(problems.collect())
}

/// The steps to what is meant: of keys that nobody expects, the first itself.
fn pointed(error: &jsonschema::ValidationError<'_>) -> Vec<String> {
    let text = error.instance_path().as_str();
    let steps = text.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    steps.chain(unexpected(error).first().cloned()).collect()
}

fn unexpected<'a>(error: &'a jsonschema::ValidationError<'_>) -> &'a [String] {
    use jsonschema::error::ValidationErrorKind::{AdditionalProperties, UnevaluatedProperties};
    match error.kind() {
        AdditionalProperties { unexpected } | UnevaluatedProperties { unexpected } => unexpected,
        _ => &[],
    }
}

fn found(error: &jsonschema::ValidationError<'_>) -> String {
    match unexpected(error) {
        [] => format!("is {}", quoted(error.instance())),
        keys => format!("has `{}`, which nobody reads", keys.join("`, `")),
    }
}

/// What the schema has at the keyword that refused: the keyword and its value, or for unknown keys the known ones.
fn allowed(schema: &Json, pointer: &str) -> String {
    let (above, keyword) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    let said = match keyword {
        "required" => return String::new(),
        "additionalProperties" | "unevaluatedProperties" => {
            let known = schema.pointer(&format!("{above}/properties")).and_then(Json::as_object);
            known.unwrap_or(&Map::new()).keys().cloned().collect::<Vec<_>>().join(", ")
        }
        _ => match schema.pointer(pointer) {
            Some(Json::String(word)) => format!("{keyword} {word}"),
            Some(value) => format!("{keyword} {}", cut(&value.to_string(), LISTED_MAX)),
            // Behind a `$ref` the pointer ends elsewhere.
            None => keyword.to_owned(),
        },
    };
    format!(" (allowed: {said})")
}

fn quoted(value: &Json) -> String {
    cut(&value.to_string(), QUOTED_MAX)
}

fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
