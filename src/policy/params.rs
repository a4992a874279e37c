//! Parameters of policies (`data.params`): their bounds, the modes that they override, and their check by `params_schema`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use serde_saphyr::Spanned;

use super::manifest::{Manifest, Mode};
use portcullis_rego::{Module, Problem};
use portcullis_tenancy::snapshot::Kind;

/// Entries of one list. A policy iterates over it for each object, image or label, so a longer one would exhaust its budget.
const LIST_MAX: usize = 1000;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` has {length} entries; a list has at most {LIST_MAX}; use a map, whose keys are looked up without iterating",
    .steps.join(".")
)]
pub(crate) struct LongList {
    pub(crate) steps: Vec<String>,
    length: usize,
}

/// The first list that is too long.
pub(crate) fn long_list(value: &Json) -> Option<LongList> {
    let inside = |step: String, value: &Json| {
        let mut found = long_list(value)?;
        found.steps.insert(0, step);
        Some(found)
    };
    match value {
        Json::Array(items) if items.len() > LIST_MAX => {
            Some(LongList { steps: Vec::new(), length: items.len() })
        }
        Json::Array(items) => items.iter().enumerate().find_map(|(at, item)| inside(at.to_string(), item)),
        Json::Object(entries) => entries.iter().find_map(|(key, value)| inside(key.clone(), value)),
        _ => None,
    }
}

/// Line and column of a value in a parameter file; zeros where it is not found.
pub(crate) fn location_of(text: &str, steps: &[String]) -> (u32, u32) {
    locate(text, steps).unwrap_or_default()
}

/// Overrides of one policy's mode, the most specific first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Modes(Vec<ModeOverride>);

#[derive(Debug, Clone)]
struct ModeOverride {
    tenant: Option<String>,
    kind: Option<Kind>,
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OverrideFields {
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    namespace_kind: Option<String>,
    #[serde(deserialize_with = "mode_word")]
    mode: String,
}

/// YAML 1.1 reads `off` as false.
fn mode_word<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Json::deserialize(deserializer)? {
        Json::Bool(false) => Ok(Mode::Off.as_str().to_owned()),
        Json::String(word) => Ok(word),
        other => Err(serde::de::Error::custom(format_args!("mode is {other}, not a word"))),
    }
}

impl Modes {
    /// Reads `modes` of a policy's parameters: `[{mode, tenant?, namespaceKind?}]`.
    pub(crate) fn parse(file: &str, params: Option<&Json>) -> Result<Self, Problem> {
        let Some(entries) = params.and_then(|params| params.get("modes")) else { return Ok(Self::default()) };
        let problem = |message: String| Problem::of(file, message);
        let entries_read: Vec<OverrideFields> = Vec::deserialize(entries).map_err(|error| {
            problem(format!(
                "modes: {error}; an entry is `{{mode: warn, tenant: acme, namespaceKind: sandbox}}`"
            ))
        })?;
        let mut overrides: BTreeMap<(Option<String>, Option<Kind>), Mode> = BTreeMap::new();
        for (index, entry) in entries_read.into_iter().enumerate() {
            let mode = Mode::parse(&entry.mode).ok_or_else(|| {
                problem(format!(
                    "modes[{index}].mode `{}` is not one of {}",
                    entry.mode,
                    words(Mode::ALL, Mode::as_str)
                ))
            })?;
            let kind = entry.namespace_kind.as_deref().map(|word| {
                Kind::ALL.iter().copied().find(|kind| kind.as_str() == word).ok_or_else(|| {
                    problem(format!(
                        "modes[{index}].namespaceKind `{word}` is not one of {}",
                        words(Kind::ALL, Kind::as_str)
                    ))
                })
            });
            let kind = kind.transpose()?;
            if overrides.insert((entry.tenant, kind), mode).is_some() {
                return Err(problem(format!(
                    "modes[{index}] repeats the tenant and namespaceKind of an earlier entry"
                )));
            }
        }
        let mut list: Vec<ModeOverride> =
            overrides.into_iter().map(|((tenant, kind), mode)| ModeOverride { tenant, kind, mode }).collect();
        list.sort_by_key(|entry| (entry.tenant.is_none(), entry.kind.is_none()));
        Ok(Self(list))
    }

    /// The mode in a tenant's namespace of a kind. Precedence: tenant and kind, tenant, kind, neither.
    pub(crate) fn mode(&self, default: Mode, tenant: Option<&str>, kind: Kind) -> Mode {
        let fits = |entry: &&ModeOverride| {
            entry.tenant.as_deref().is_none_or(|name| Some(name) == tenant)
                && entry.kind.is_none_or(|known| known == kind)
        };
        self.0.iter().find(fits).map_or(default, |entry| entry.mode)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn words<T: Copy>(all: &[T], name: fn(T) -> &'static str) -> String {
    all.iter().map(|item| name(*item)).collect::<Vec<_>>().join(", ")
}

/// Characters of a quoted value.
const QUOTED_MAX: usize = 100;
/// Characters of the allowed values.
const LISTED_MAX: usize = 200;

/// Checks a policy's parameters, `{}` by default, against `params_schema`. The schema does not cover `modes`.
///
/// # Errors
/// `params_schema` is not a JSON Schema.
pub(crate) fn check_schema(
    manifest: &Manifest,
    file: Option<&Module>,
    params: Option<&Json>,
) -> Result<Vec<Problem>, Problem> {
    let Some(schema) = manifest.params_schema.as_deref() else { return Ok(Vec::new()) };
    let (line, column) = manifest.params_schema_location;
    let own = |message: String| Problem::at(&manifest.location.0, line, column, message);
    let no_schema = |why: String| own(format!("params_schema is not a JSON Schema: {why}"));
    if !schema.is_object() {
        return Err(no_schema(format!(
            "it is {}, not a map, for example `{{type: object}}`",
            quoted(schema)
        )));
    }
    // Built without a network client: a `$ref` out of the schema is an error.
    let validator = jsonschema::validator_for(schema).map_err(|error| {
        let at = error.instance_path().as_str();
        no_schema(if at.is_empty() { error.to_string() } else { format!("{at}: {error}") })
    })?;
    let mut given = params.and_then(Json::as_object).cloned().unwrap_or_default();
    given.remove("modes");
    let given = Json::Object(given);
    let problems = validator.iter_errors(&given).map(|error| {
        let pointer = error.instance_path().as_str();
        let found =
            if error.kind().keyword() == "required" { error.to_string() } else { offending_value(&error) };
        let keyword = error.schema_path().as_str();
        let message = format!("`{pointer}` {found}{}", allowed_values(schema, keyword));
        match file {
            Some(file) => {
                let (line, column) = locate(&file.text, &error_path(&error)).unwrap_or((0, 0));
                Problem::at(
                    &file.path,
                    line,
                    column,
                    format!("{message}, by params_schema of `{}`", manifest.id),
                )
            }
            None => own(format!("parameters are missing (params/{}/data.yaml): {message}", manifest.id)),
        }
    });
    Ok(problems.collect())
}

/// Path to the offending value; of unexpected keys, to the first.
fn error_path(error: &jsonschema::ValidationError<'_>) -> Vec<String> {
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

fn offending_value(error: &jsonschema::ValidationError<'_>) -> String {
    match unexpected(error) {
        [] => format!("is {}", quoted(error.instance())),
        keys => format!("has unknown keys `{}`", keys.join("`, `")),
    }
}

/// The keyword of the schema that failed with its value, or for unknown keys the known ones.
fn allowed_values(schema: &Json, pointer: &str) -> String {
    let (above, keyword) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    let text = match keyword {
        "required" => return String::new(),
        "additionalProperties" | "unevaluatedProperties" => {
            let known = schema.pointer(&format!("{above}/properties")).and_then(Json::as_object);
            known.unwrap_or(&Map::new()).keys().cloned().collect::<Vec<_>>().join(", ")
        }
        _ => match schema.pointer(pointer) {
            Some(Json::String(word)) => format!("{keyword} {word}"),
            Some(value) => format!("{keyword} {}", cut(&value.to_string(), LISTED_MAX)),
            // The pointer does not resolve through a `$ref`.
            None => keyword.to_owned(),
        },
    };
    format!(" (allowed: {text})")
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

/// The structure of a document with the locations of its parts.
enum Node {
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Scalar,
}

/// Line and column of a value, or of the key of a map entry; from 1. For a missing value, those of its deepest existing
/// parent. `None` where the text cannot be parsed.
fn locate(text: &str, steps: &[String]) -> Option<(u32, u32)> {
    let whole: Spanned<Node> = serde_saphyr::from_str(text).ok()?;
    let mut place = whole.referenced;
    let mut node = &whole.value;
    for step in steps {
        let next = match node {
            Node::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.value == *step)
                .map(|(key, value)| (key.referenced, &value.value)),
            Node::List(items) => step
                .parse::<usize>()
                .ok()
                .and_then(|at| items.get(at))
                .map(|item| (item.referenced, &item.value)),
            Node::Scalar => None,
        };
        let Some(found) = next else { break };
        (place, node) = found;
    }
    Some((u32::try_from(place.line()).ok()?, u32::try_from(place.column()).ok()?))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

macro_rules! scalars {
    ($($name:ident: $type:ty),+) => {
        $(fn $name<E>(self, _: $type) -> Result<Node, E> {
            Ok(Node::Scalar)
        })+
    };
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64, visit_str: &str);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        Node::deserialize(inner)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(inner).map(|_| Node::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
