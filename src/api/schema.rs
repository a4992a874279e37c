//! Bodies and queries against their own OpenAPI schemas: every fault at once, each with its pointer.

mod sentence;

use std::collections::HashMap;

use jsonschema::Validator;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::problem::{Fault, Problem};
use super::route::{Named, Route};

/// More than anybody reads; the rest is counted.
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
pub struct BadSchema {
    name: String,
    why: String,
}

// === impl Schemas ===

impl Schemas {
    /// Compiles what the routes take.
    pub fn compile(routes: &[Route]) -> Result<Self, BadSchema> {
        let taken = routes.iter().flat_map(|route| route.shape.body.iter().chain(&route.shape.query));
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

    /// Names and values of a query, as the type whose schema they fit.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with everything that does not fit; a name that stands twice is one of them.
    pub fn query<T: ToSchema + DeserializeOwned>(&self, pairs: Vec<(String, String)>) -> Result<T, Problem> {
        let schema = self.0.get(T::name().as_ref());
        let mut object = Map::new();
        let mut faults = Vec::new();
        for (name, text) in pairs {
            let kind = schema.and_then(|schema| schema.properties.get(&name)).and_then(|p| p.get("type"));
            let twice = Fault::new(format!("/{}", super::json::escape(&name)), "stands twice");
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
        |error: jsonschema::ValidationError<'_>| BadSchema { name: at.to_owned(), why: error.to_string() };
    let validator = jsonschema::options().offline().build(schema);
    let validator = validator.map_err(|error| Problem::internal(&bad(error)))?;
    let faults = validator.iter_errors(value).flat_map(|error| sentence::faults(&error));
    let placed = faults.map(|fault| Fault { pointer: format!("{at}{}", fault.pointer), ..fault });
    Ok(bounded(placed.collect()))
}

/// A text of the query as what its parameter is; left a text where it is none of that, and the schema then says so.
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

/// The schema of a type, to be asked by [`faults`].
///
/// # Errors
/// It does not compile.
pub fn compiled<T: ToSchema>() -> Result<Validator, BadSchema> {
    Schema::compile(&Named::of::<T>()).map(|schema| schema.validator)
}

/// What a schema that was compiled apart has against a value, which stands at `at`.
pub fn faults(schema: &Validator, value: &Value, at: &str) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        schema.iter_errors(value).flat_map(|error| sentence::faults(&error)).collect();
    faults.iter_mut().for_each(|fault| fault.pointer.insert_str(0, at));
    bounded(faults)
}

// === impl Schema ===

impl Schema {
    fn compile(named: &Named) -> Result<Self, BadSchema> {
        let bad = |why: String| BadSchema { name: named.name.clone(), why };
        let value = |schema| serde_json::to_value(schema).map_err(|error| bad(error.to_string()));
        let mut components = Map::new();
        for (name, schema) in &named.others {
            components.insert(name.clone(), value(schema)?);
        }
        let own = value(&named.schema)?;
        let properties = own.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        components.insert(named.name.clone(), own);
        let reference = format!("#/components/schemas/{}", super::json::escape(&named.name));
        let root = json!({"$ref": reference, "components": {"schemas": components}});
        let options = jsonschema::options().offline().should_validate_formats(true);
        let validator = options.build(&root).map_err(|error| bad(error.to_string()))?;
        Ok(Self { validator, properties })
    }

    fn faults(&self, value: &Value) -> Vec<Fault> {
        self.validator.iter_errors(value).flat_map(|error| sentence::faults(&error)).collect()
    }
}

#[cfg(test)]
mod tests;
