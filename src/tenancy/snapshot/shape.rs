//! Every misshapen place of a document at once, by the schema that we publish.
//!
//! The typed pass stops at its first error. This one runs only after that, so it may be slow; it knows just the words
//! of JSON Schema that the wire types produce, and a test holds it to agree with them.

use std::fmt::Write as _;

use serde_json::Value;

use super::error::{Problems, write_key};
use super::read::Dropped;
use super::wire::{Document, inlined_schema};
use crate::text::quoted;

/// The document's maps; one misshapen entry of them can be left out and the rest checked for its meaning.
const SECTIONS: [&str; 6] = ["tenants", "projects", "apps", "namespaces", "exceptions", "breakglass"];

/// Names every misshapen place. Gives the document without the misshapen map entries, unless the trouble is elsewhere.
pub(super) fn examine(mut value: Value, problems: &mut Problems) -> Option<(Document, Dropped)> {
    let schema = inlined_schema();
    let mut examiner = Examiner { path: Vec::new(), problems, dropped: Dropped::default(), whole: true };
    examiner.visit(&schema, &value);
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
    /// False once something outside the entries of `SECTIONS` is misshapen.
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
            self.add(&shown(value), &wanted(schema));
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
                let wanted = wanted(known);
                self.within(Step::Key(name.to_owned()), |examiner| examiner.add("is missing", &wanted));
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
            // The tighter bounds of the schema are meaning, and have better sentences in `check`.
            schema.get("format").and_then(Value::as_str) != Some("uint16") || u16::try_from(number).is_ok()
        }),
        _ => true,
    }
}

fn wanted(schema: &Value) -> String {
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
            alternatives.map(wanted).collect::<Vec<_>>().join(" or ")
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
