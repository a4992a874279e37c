//! What a rule says, typed. Undefined is not false, and a shape nobody documented is an error, never an allow.

mod details;

use std::hash::Hash;

use portcullis_rego::Value;
use portcullis_rego::findings::KEYS;

pub use details::Details;

/// Bytes of one text of a finding. A denial shows 1,000 characters of it, a line of the decision log 512 bytes.
const TEXT_MAX: usize = 2 << 10;

/// Entries of `allowed`; a denial shows eight.
const ALLOWED_MAX: usize = 32;

/// Findings of one rule; a denial shows twenty.
const FINDINGS_MAX: usize = 1000;

/// One violation or warning, as a policy put it. Texts of more than 2 KiB are cut, and end in `…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Finding {
    /// Where in the object, as `spec.containers[0].image`; empty for the request as a whole.
    pub field: String,
    /// The sentence; it reads on from `observed` where that is given.
    pub msg: String,
    /// What was found there.
    pub observed: Option<String>,
    /// What would have passed, the first 32; only ever of the namespace's own tenant.
    pub allowed: Vec<String>,
    /// How many more would have passed.
    pub allowed_omitted: usize,
    /// What to do about it.
    pub fix: Option<String>,
    /// More about it, for programs.
    pub details: Option<Details>,
}

impl Finding {
    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let texts = [&self.field, &self.msg].into_iter().chain(&self.observed).chain(&self.fix);
        let allowed = self.allowed.iter().map(|entry| size_of::<String>() + entry.len());
        let details = self.details.as_ref().map_or(0, |details| details.as_str().len());
        size_of::<Self>() + texts.map(String::len).sum::<usize>() + allowed.sum::<usize>() + details
    }

    /// All of it that is worded. Findings that differ in their details alone are one line of a message.
    pub fn worded(&self) -> impl Eq + Hash + '_ {
        let Self { field, msg, observed, allowed, allowed_omitted, fix, details: _ } = self;
        (field, msg, observed, allowed, allowed_omitted, fix)
    }
}

/// Reads the value of `deny` or `warn`.
///
/// # Errors
/// A value that is no set of findings, said in the author's terms.
pub fn findings(rule: &str, value: &Value) -> Result<Vec<Finding>, String> {
    let found: Result<Vec<Finding>, String> = match value {
        // A partial set without members is empty; the rule itself exists, which compilation has proved.
        Value::Undefined => Ok(Vec::new()),
        Value::Set(set) => set.iter().map(|item| finding(rule, item)).collect(),
        other => Err(format!("`{rule}` is {}, not a set; write `{rule} contains finding if …`", kind(other))),
    };
    let mut found = found?;
    found.sort();
    found.dedup();
    let more = found.len().saturating_sub(FINDINGS_MAX);
    if more > 0 {
        found.truncate(FINDINGS_MAX);
        found.push(Finding { msg: format!("and {more} more findings of this policy"), ..Finding::default() });
    }
    Ok(found)
}

fn finding(rule: &str, value: &Value) -> Result<Finding, String> {
    let fields = match value {
        Value::String(msg) => return Ok(Finding { msg: cut(msg), ..Finding::default() }),
        Value::Object(fields) => fields,
        other => {
            return Err(format!(
                "`{rule}` holds {}; a finding is a string or an object of {KEYS}",
                kind(other)
            ));
        }
    };
    let mut finding = Finding::default();
    for (key, value) in fields.iter() {
        match key.as_string().map(AsRef::as_ref) {
            Ok("msg") => finding.msg = text(rule, "msg", value)?,
            Ok("field") => finding.field = text(rule, "field", value)?,
            Ok("observed") => finding.observed = Some(text(rule, "observed", value)?),
            Ok("fix") => finding.fix = Some(text(rule, "fix", value)?),
            Ok("details") => finding.details = Details::read(value),
            Ok("allowed") => (finding.allowed, finding.allowed_omitted) = texts(rule, value)?,
            _ => return Err(format!("`{rule}` holds a finding with the key {key}; the keys are {KEYS}")),
        }
    }
    if finding.msg.is_empty() {
        return Err(format!("`{rule}` holds a finding without msg; the keys are {KEYS}"));
    }
    Ok(finding)
}

fn text(rule: &str, key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(cut(text)),
        other => Err(format!("`{rule}` holds a finding whose {key} is {}, not a string", kind(other))),
    }
}

/// A copy of a text, cut at a character's boundary: a finding for each container, each with the longest annotation, is
/// more than a gate has memory for.
fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let mut short = text.get(..end).unwrap_or_default().to_owned();
    short.push('…');
    short
}

/// The first of a list of texts, and how many more there are.
fn texts(rule: &str, value: &Value) -> Result<(Vec<String>, usize), String> {
    let items: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Set(items) => items.iter().collect(),
        other => {
            return Err(format!(
                "`{rule}` holds a finding whose allowed is {}, not an array of strings",
                kind(other)
            ));
        }
    };
    let more = items.len().saturating_sub(ALLOWED_MAX);
    let first = items.into_iter().take(ALLOWED_MAX).map(|item| text(rule, "allowed", item));
    Ok((first.collect::<Result<_, _>>()?, more))
}

/// Reads the value of `patch` or `merge`: JSON values in a stable order.
///
/// # Errors
/// A value that is no set.
pub fn documents(rule: &str, value: &Value) -> Result<Vec<serde_json::Value>, String> {
    let items = match value {
        Value::Undefined => return Ok(Vec::new()),
        Value::Set(items) => items,
        other => {
            return Err(format!(
                "`{rule}` is {}, not a set; write `{rule} contains document if …`",
                kind(other)
            ));
        }
    };
    items
        .iter()
        .map(|item| serde_json::to_value(item).map_err(|error| format!("`{rule}`: {error}")))
        .collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object",
        Value::Undefined => "undefined",
    }
}

#[cfg(test)]
mod tests;
