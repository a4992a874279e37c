//! Validates bodies and queries against their own OpenAPI schemas and reports every fault at once.
//!
//! The sentences name what is allowed and never repeat a value, which may be a secret.

use std::collections::HashMap;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{ValidationError, Validator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::fields;
use super::json::escape;
use super::problem::{Fault, Problem};
use super::route::{NamedSchema, Route};

/// Faults in one response; further ones are only counted.
const FAULTS_MAX: usize = 64;

/// The schemas of everything that is taken, compiled.
pub struct Schemas(HashMap<String, Schema>);

struct Schema {
    validator: Validator,
    /// Types by property, to read a query by.
    properties: Map<String, Value>,
}

/// A type of a request whose schema is none.
#[derive(Debug, thiserror::Error)]
#[error("the schema of `{name}` does not compile: {why}")]
pub struct SchemaError {
    name: String,
    why: String,
}

// === impl Schemas ===

impl Schemas {
    /// Compiles what the routes take.
    pub fn compile(routes: &[Route]) -> Result<Self, SchemaError> {
        let taken = routes.iter().flat_map(|route| route.signature.body.iter().chain(&route.signature.query));
        let mut all = HashMap::new();
        for named in taken {
            if !all.contains_key(&named.name) {
                all.insert(named.name.clone(), Schema::compile(named)?);
            }
        }
        Ok(Self(all))
    }

    /// A value that came as JSON, as the type whose schema it fits.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with everything that does not fit.
    pub fn read<T: ToSchema + DeserializeOwned>(&self, value: Value) -> Result<T, Problem> {
        let mut faults = super::json::nul_faults(&value);
        if let Some(schema) = self.0.get(T::name().as_ref()) {
            faults.extend(schema.faults(&value));
        }
        if !faults.is_empty() {
            return Err(Problem::invalid(bounded(faults)));
        }
        serde_json::from_value(value).map_err(|error| {
            let detail: String = error.to_string().chars().take(200).collect();
            Problem::invalid(vec![Fault::new("", format!("the body cannot be read: {detail}"))])
        })
    }

    /// ProjectPath and values of a query, as the type whose schema they fit.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with everything that does not fit; a name that is given twice is one of them.
    pub fn query<T: ToSchema + DeserializeOwned>(&self, pairs: Vec<(String, String)>) -> Result<T, Problem> {
        let schema = self.0.get(T::name().as_ref());
        let mut object = Map::new();
        let mut faults = Vec::new();
        for (name, text) in pairs {
            let kind = schema.and_then(|schema| schema.properties.get(&name)).and_then(|p| p.get("type"));
            let twice = Fault::new(format!("/{}", escape(&name)), "is given twice");
            if object.insert(name, typed(kind, text)).is_some() {
                faults.push(twice);
            }
        }
        let value = Value::Object(object);
        faults.extend(super::json::nul_faults(&value));
        faults.extend(schema.into_iter().flat_map(|schema| schema.faults(&value)));
        for fault in &mut faults {
            fault.pointer = format!("?{}", fault.pointer.trim_start_matches('/'));
        }
        if !faults.is_empty() {
            return Err(Problem::invalid(bounded(faults)));
        }
        serde_json::from_value(value)
            .map_err(|error| Problem::invalid(vec![Fault::new("?", format!("cannot be read: {error}"))]))
    }
}

/// Everything that a value has against a JSON Schema that no route takes by itself, each at this pointer or below it.
///
/// # Errors
/// 500 where the schema does not compile, which a test finds.
pub fn faults_of(schema: &Value, value: &Value, at: &str) -> Result<Vec<Fault>, Problem> {
    let bad =
        |error: jsonschema::ValidationError<'_>| SchemaError { name: at.to_owned(), why: error.to_string() };
    let validator = jsonschema::options().offline().build(schema);
    let validator = validator.map_err(|error| Problem::internal(&bad(error)))?;
    let faults = validator.iter_errors(value).flat_map(|error| faults_of_error(&error));
    let placed = faults.map(|fault| Fault { pointer: format!("{at}{}", fault.pointer), ..fault });
    Ok(bounded(placed.collect()))
}

/// Converts a query value to its parameter's type. An unconvertible value stays text, and validation reports it.
fn typed(kind: Option<&Value>, text: String) -> Value {
    let is = |word: &str| match kind {
        Some(Value::String(one)) => one == word,
        Some(Value::Array(many)) => many.iter().any(|one| one == word),
        _ => false,
    };
    let number = is("integer").then(|| text.parse::<i64>().ok()).flatten();
    let flag = is("boolean").then(|| text.parse::<bool>().ok()).flatten();
    match (number, flag) {
        (Some(number), _) if number.to_string() == text => number.into(),
        (_, Some(flag)) => flag.into(),
        _ => text.into(),
    }
}

fn bounded(mut faults: Vec<Fault>) -> Vec<Fault> {
    let more = faults.len().saturating_sub(FAULTS_MAX);
    if more > 0 {
        faults.truncate(FAULTS_MAX);
        faults.push(Fault::new("", format!("and {more} more")));
    }
    faults
}

/// The schema of a type, for [`faults`].
///
/// # Errors
/// It does not compile.
pub fn compiled<T: ToSchema>() -> Result<Validator, SchemaError> {
    Schema::compile(&NamedSchema::of::<T>()).map(|schema| schema.validator)
}

/// What a schema that was compiled apart has against a value, which stands at `at`.
pub fn faults(schema: &Validator, value: &Value, at: &str) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        schema.iter_errors(value).flat_map(|error| faults_of_error(&error)).collect();
    faults.iter_mut().for_each(|fault| fault.pointer.insert_str(0, at));
    bounded(faults)
}

// === impl Schema ===

impl Schema {
    fn compile(named: &NamedSchema) -> Result<Self, SchemaError> {
        let bad = |why: String| SchemaError { name: named.name.clone(), why };
        let value = |schema| serde_json::to_value(schema).map_err(|error| bad(error.to_string()));
        let mut components = Map::new();
        for (name, schema) in &named.others {
            components.insert(name.clone(), value(schema)?);
        }
        let own = value(&named.schema)?;
        let properties = own.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        components.insert(named.name.clone(), own);
        let reference = format!("#/components/schemas/{}", escape(&named.name));
        let root = json!({"$ref": reference, "components": {"schemas": components}});
        let options = jsonschema::options().offline().should_validate_formats(true);
        let validator = options.build(&root).map_err(|error| bad(error.to_string()))?;
        Ok(Self { validator, properties })
    }

    fn faults(&self, value: &Value) -> Vec<Fault> {
        self.validator.iter_errors(value).flat_map(|error| faults_of_error(&error)).collect()
    }
}

/// The faults that one error comes to.
fn faults_of_error(error: &ValidationError<'_>) -> Vec<Fault> {
    let at = error.instance_path().as_str();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let unknown = |name: &String| Fault::new(format!("{at}/{}", escape(name)), "is unknown");
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
                (Some(branch), None) => branch.iter().flat_map(faults_of_error).collect(),
                _ => vec![Fault::new(at, "matches none of the allowed forms")],
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
        Kind::Type { kind: TypeKind::Single(one) } => format!("must be of type {one}"),
        Kind::Type { kind: TypeKind::Multiple(many) } => {
            let names: Vec<_> = many.iter().map(|one| one.to_string()).collect();
            format!("must be of type {}", names.join(" or "))
        }
        Kind::MaxLength { limit } => format!("is longer than {limit} characters"),
        Kind::MinLength { limit: 1 } => "is empty".to_owned(),
        Kind::MinLength { limit } => format!("is shorter than {limit} characters"),
        Kind::Pattern { pattern } => fields::describe_pattern(pattern)
            .map_or_else(|| format!("does not match `{pattern}`"), |words| format!("is not {words}")),
        Kind::Format { format } => format!("is not a valid {format}"),
        Kind::Enum { options } => format!("must be one of {}", list(options)),
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
        Kind::UniqueItems => "contains a duplicate item".to_owned(),
        Kind::MaxProperties { limit } => format!("has more than {limit} entries"),
        Kind::MinProperties { limit } => format!("has fewer than {limit} entries"),
        Kind::PropertyNames { error } => format!("has a key that {}", sentence(error.kind())),
        Kind::ContentEncoding { content_encoding } => format!("is not encoded as {content_encoding}"),
        Kind::OneOfMultipleValid { .. } => "matches more than one of the allowed forms".to_owned(),
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

#[cfg(test)]
mod tests;
