//! Parses a document, JSON or YAML, into wire types.
//!
//! The fast path is one typed pass. If it fails, the text is parsed as plain values and compared with the schema, so
//! that every malformed value is reported and not just the first.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::problems::{Dropped, Problems, SnapshotError, write_key};
use super::wire::{Document, inlined_schema};
use crate::text::quoted;

/// Longest document, in bytes: 30 times that of 1,000 tenants and 10,000 namespaces.
pub const LENGTH_MAX: usize = 64 * 1024 * 1024;
/// A namespace is 13 nodes and an app 5: room for 100,000 of each.
const YAML_NODES_MAX: usize = 2_000_000;

/// Sections whose malformed entries can be left out, so that the rest is still checked.
const SECTIONS: [&str; 6] = ["tenants", "projects", "apps", "namespaces", "exceptions", "breakglass"];

/// Most unknown keys that are reported.
pub(super) const NAMED_MAX: usize = 20;

/// Longest reported part of an unknown key, in characters.
pub(super) const KEY_CHARS_MAX: usize = 64;

static SCHEMA: LazyLock<Value> = LazyLock::new(inlined_schema);

/// A document without its malformed entries.
pub(super) struct Reading {
    pub(super) document: Document,
    pub(super) dropped: Dropped,
    pub(super) problems: Problems,
}

#[derive(Clone, Copy)]
enum Format {
    Json,
    Yaml,
}

struct Broken {
    line: u64,
    column: u64,
    message: String,
}

/// Parses a document; the result's problems are the malformed values.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Reading, SnapshotError> {
    if bytes.len() > LENGTH_MAX {
        return Err(SnapshotError::TooLarge { file: file.to_owned(), length: bytes.len(), max: LENGTH_MAX });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| SnapshotError::Encoding { file: file.to_owned(), offset: error.valid_up_to() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(SnapshotError::Empty { file: file.to_owned() });
    }
    let flow = text.trim_start().starts_with('{');
    let named_yaml = [".yaml", ".yml"].iter().any(|end| file.ends_with(end));
    let format = match flow {
        // `{a: 1}` is YAML too; the file's name decides.
        true if named_yaml && parse::<IgnoredAny>(Format::Json, text).is_err() => Format::Yaml,
        true => Format::Json,
        false => Format::Yaml,
    };
    typed(file, text, format)
}

fn typed(file: &str, text: &str, format: Format) -> Result<Reading, SnapshotError> {
    let first = match parse::<Document>(format, text) {
        Ok(document) => {
            return Ok(Reading { document, dropped: Dropped::default(), problems: Problems::default() });
        }
        Err(first) => first,
    };
    let syntax = |Broken { line, column, message }: Broken| SnapshotError::Syntax {
        file: file.to_owned(),
        line,
        column,
        message,
    };
    let value = parse::<Value>(format, text).map_err(syntax)?;
    if value.is_null() {
        return Err(SnapshotError::Empty { file: file.to_owned() });
    }
    // If every value is well-formed, the typed pass found a repeated field.
    examined(file, value, || syntax(first))
}

/// Reads a parsed document or a part of one; the result's problems are the malformed values.
pub(super) fn value(name: &str, value: Value) -> Result<Reading, SnapshotError> {
    match serde_json::from_value::<Document>(value.clone()) {
        Ok(document) => Ok(Reading { document, dropped: Dropped::default(), problems: Problems::default() }),
        Err(error) => examined(name, value, || SnapshotError::Syntax {
            file: name.to_owned(),
            line: 0,
            column: 0,
            message: error.to_string(),
        }),
    }
}

fn examined(
    file: &str,
    value: Value,
    other: impl FnOnce() -> SnapshotError,
) -> Result<Reading, SnapshotError> {
    let mut problems = Problems::default();
    let whole = examine(value, &mut problems);
    if problems.is_empty() {
        return Err(other());
    }
    match whole {
        Some((document, dropped)) => Ok(Reading { document, dropped, problems }),
        None => Err(problems.into_result(file).err().unwrap_or_else(other)),
    }
}

fn parse<T: DeserializeOwned>(format: Format, text: &str) -> Result<T, Broken> {
    match format {
        Format::Json => serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
            Broken { line: error.line() as u64, column: error.column() as u64, message: message.to_owned() }
        }),
        Format::Yaml => serde_saphyr::from_str_with_options(text, yaml_options()).map_err(|error| {
            let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
            Broken { line, column, message: yaml_message(&error) }
        }),
    }
}

fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        // Whether an unquoted `017` or `yes` is text depends on the YAML version, so quotes are required.
        no_schema: true,
        with_snippet: false,
        reject_unsupported_tags: true,
        budget: serde_saphyr::budget! {
            max_nodes: YAML_NODES_MAX,
            max_events: 2 * YAML_NODES_MAX,
            max_documents: 1,
        },
    }
}

/// The parser's message without its position, which is reported separately, and without its advice to programmers.
fn yaml_message(error: &serde_saphyr::Error) -> String {
    let message = error.to_string();
    let line = message.lines().next().unwrap_or_default();
    let line = line.rsplit_once(" at line ").map_or(line, |(before, _)| before).trim_end_matches(':');
    line.split_once(", set DuplicateKeyPolicy").map_or(line, |(before, _)| before).to_owned()
}

/// Reports every malformed value. Returns the document without malformed entries, or `None` if the problem is
/// elsewhere.
fn examine(mut value: Value, problems: &mut Problems) -> Option<(Document, Dropped)> {
    let mut examiner = Examiner { path: Vec::new(), problems, dropped: Dropped::default(), whole: true };
    examiner.visit(&SCHEMA, &value);
    if !examiner.whole {
        return None;
    }
    let dropped = examiner.dropped;
    for (section, key) in &dropped.0 {
        value.get_mut(section)?.as_object_mut()?.remove(key);
    }
    serde_json::from_value(value).ok().map(|document| (document, dropped))
}

enum Step {
    Key(String),
    Index(usize),
}

struct Examiner<'a> {
    path: Vec<Step>,
    problems: &'a mut Problems,
    dropped: Dropped,
    /// False if something outside the entries of `SECTIONS` is malformed.
    whole: bool,
}

impl Examiner<'_> {
    fn visit(&mut self, schema: &Value, value: &Value) {
        let alternatives = schema.get("anyOf").and_then(Value::as_array);
        let fitting = match alternatives {
            None => Some(schema).filter(|schema| fits(schema, value)),
            Some(alternatives) => alternatives.iter().find(|alternative| fits(alternative, value)),
        };
        let Some(schema) = fitting else {
            self.add(&shown(value), &expected_type(schema));
            return;
        };
        match value {
            Value::Object(fields) => self.visit_object(schema, fields),
            Value::Array(items) => {
                let Some(item_schema) = schema.get("items") else { return };
                for (index, item) in items.iter().enumerate() {
                    self.within(Step::Index(index), |examiner| examiner.visit(item_schema, item));
                }
            }
            _ => {}
        }
    }

    fn visit_object(&mut self, schema: &Value, fields: &serde_json::Map<String, Value>) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        let names =
            || properties.into_iter().flatten().map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ");
        for (key, value) in fields {
            let known = properties.and_then(|properties| properties.get(key)).or(others);
            self.within(Step::Key(key.clone()), |examiner| match known {
                Some(known) => examiner.visit(known, value),
                None => examiner.add("unknown field", &names()),
            });
        }
        for name in
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
        {
            let Some(known) = properties.and_then(|properties| properties.get(name)) else { continue };
            if !fields.contains_key(name) {
                let expected = expected_type(known);
                self.within(Step::Key(name.to_owned()), |examiner| examiner.add("is missing", &expected));
            }
        }
    }

    fn within(&mut self, step: Step, visit: impl FnOnce(&mut Self)) {
        self.path.push(step);
        visit(self);
        self.path.pop();
    }

    fn add(&mut self, found: &str, allowed: &str) {
        let mut path = String::new();
        for step in &self.path {
            let _ = match step {
                Step::Key(key) => write_key(&mut path, key),
                Step::Index(index) => write!(path, "[{index}]"),
            };
        }
        let path = path.trim_start_matches('.');
        let step = |at: usize| match self.path.get(at) {
            Some(Step::Key(key)) => key.clone(),
            _ => String::new(),
        };
        let shown = if path.is_empty() { "the document" } else { path };
        self.problems.add_in((step(0), step(1)), shown, found, allowed);
        match self.path.as_slice() {
            [Step::Key(section), Step::Key(key), ..] if SECTIONS.contains(&section.as_str()) => {
                self.dropped.0.insert((section.clone(), key.clone()));
            }
            _ => self.whole = false,
        }
    }
}

fn fits(schema: &Value, value: &Value) -> bool {
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("integer") => value.as_u64().is_some_and(|number| {
            // `check` reports the schema's other bounds with better messages.
            schema.get("format").and_then(Value::as_str) != Some("uint16") || u16::try_from(number).is_ok()
        }),
        _ => true,
    }
}

fn expected_type(schema: &Value) -> String {
    let bounds = (schema.get("minimum"), schema.get("maximum"));
    match (schema.get("type").and_then(Value::as_str), bounds) {
        (Some("string"), _) => "text".to_owned(),
        (Some("boolean"), _) => "true or false".to_owned(),
        (Some("array"), _) => "a list".to_owned(),
        (Some("object"), _) => "a map".to_owned(),
        (Some("integer"), (Some(least), Some(most))) => format!("a whole number from {least} to {most}"),
        (Some("integer"), _) => "a whole number, not negative".to_owned(),
        _ => {
            let alternatives = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
            alternatives.map(expected_type).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing (null)".to_owned(),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        scalar => quoted(&scalar.to_string()),
    }
}

/// Removes unknown keys from a document or a merge patch, and returns their paths: `tenants.*.novelty`.
///
/// A newer build raises the format version for every key that affects decisions, so other unknown keys can be
/// skipped. In exemptions they may be conditions; there an unknown key makes the entry invalid.
pub fn drop_unknown_keys(document: &mut Value) -> BTreeSet<String> {
    let mut places = BTreeSet::new();
    visit(&SCHEMA, document, &mut Vec::new(), &mut places);
    places
}

fn visit(schema: &Value, value: &mut Value, path: &mut Vec<String>, places: &mut BTreeSet<String>) {
    if path.first().is_some_and(|section| section == "exceptions" || section == "breakglass") {
        return;
    }
    match value {
        Value::Array(items) => {
            let Some(schema) = of_kind(schema, "array").and_then(|schema| schema.get("items")) else {
                return;
            };
            items.iter_mut().for_each(|item| visit(schema, item, path, places));
        }
        Value::Object(fields) => {
            let Some(schema) = of_kind(schema, "object") else { return };
            let properties = schema.get("properties").and_then(Value::as_object);
            let others = schema.get("additionalProperties");
            let closed = properties.is_some() && others == Some(&Value::Bool(false));
            fields.retain(|key, value| {
                let known = properties.and_then(|properties| properties.get(key));
                let (schema, step) = match (known, others) {
                    (Some(known), _) => (known, key.as_str()),
                    (None, Some(others)) if others.is_object() => (others, "*"),
                    _ => {
                        name(path, key, closed, places);
                        return !closed;
                    }
                };
                path.push(step.to_owned());
                visit(schema, value, path, places);
                path.pop();
                true
            });
        }
        _ => {}
    }
}

fn name(path: &[String], key: &str, closed: bool, places: &mut BTreeSet<String>) {
    if closed && places.len() < NAMED_MAX {
        let key: String = key.chars().filter(|c| !c.is_control()).take(KEY_CHARS_MAX).collect();
        let steps = path.iter().map(String::as_str).chain([key.as_str()]);
        places.insert(steps.collect::<Vec<_>>().join("."));
    }
}

/// The alternative of a schema for a kind of value.
fn of_kind<'a>(schema: &'a Value, kind: &str) -> Option<&'a Value> {
    let is = |schema: &&Value| schema.get("type").and_then(Value::as_str) == Some(kind);
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(alternatives) => alternatives.iter().find(is),
        None => Some(schema).filter(is),
    }
}
