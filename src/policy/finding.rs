//! What a rule says, typed. Undefined is not false, and a shape nobody documented is an error, never an allow.

use super::engine::Value;

/// One violation or warning, as a policy put it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Finding {
    /// Where in the object, as `spec.containers[0].image`; empty for the request as a whole.
    pub field: String,
    /// The sentence; it reads on from `observed` where that is given.
    pub msg: String,
    /// What was found there.
    pub observed: Option<String>,
    /// What would have passed; only ever of the namespace's own tenant.
    pub allowed: Vec<String>,
    /// What to do about it.
    pub fix: Option<String>,
}

/// The keys of a finding that is an object.
const KEYS: &str = "msg, field, observed, allowed, fix";

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
    Ok(found)
}

fn finding(rule: &str, value: &Value) -> Result<Finding, String> {
    let fields = match value {
        Value::String(msg) => return Ok(Finding { msg: msg.to_string(), ..Finding::default() }),
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
            Ok("allowed") => finding.allowed = texts(rule, value)?,
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
        Value::String(text) => Ok(text.to_string()),
        other => Err(format!("`{rule}` holds a finding whose {key} is {}, not a string", kind(other))),
    }
}

fn texts(rule: &str, value: &Value) -> Result<Vec<String>, String> {
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
    items.into_iter().map(|item| text(rule, "allowed", item)).collect()
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
