//! Reads the values of `deny`, `warn`, `patch` and `merge`. A value of another form is an error, never an allow.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::io;

use serde::Serialize as _;
use serde_json::Serializer;

use portcullis_rego::FINDING_KEYS;
use portcullis_rego::Value;
use portcullis_telemetry::escape::EscapeInvisible;
use portcullis_telemetry::mask;

/// Bytes of one string of a finding. A denial shows 1,000 characters, a line of the decision log 512 bytes.
const TEXT_MAX: usize = 2 << 10;

/// Entries of `allowed`; a denial shows eight.
const ALLOWED_MAX: usize = 32;

/// Findings of one rule; a denial shows twenty.
const FINDINGS_MAX: usize = 1000;

/// One violation or warning. A string of more than 2 KiB is cut and ends in `…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Finding {
    /// Path in the object, for example `spec.containers[0].image`; empty for the whole request.
    pub field: String,
    /// The message; a sentence that continues `observed` where that is set.
    pub msg: String,
    /// The value at `field`.
    pub observed: Option<String>,
    /// The first 32 values that pass; only values of the namespace's own tenant.
    pub allowed: Vec<String>,
    /// How many more values pass.
    pub allowed_omitted: usize,
    /// What to change.
    pub fix: Option<String>,
    /// For programs.
    pub details: Option<Details>,
}

impl Finding {
    /// Memory, for the verdict cache.
    pub(crate) fn bytes(&self) -> usize {
        let texts = [&self.field, &self.msg].into_iter().chain(&self.observed).chain(&self.fix);
        let allowed = self.allowed.iter().map(|entry| size_of::<String>() + entry.len());
        let details = self.details.as_ref().map_or(0, |details| details.as_str().len());
        size_of::<Self>() + texts.map(String::len).sum::<usize>() + allowed.sum::<usize>() + details
    }

    /// Everything but `details`. Findings with the same text are one line of a message.
    pub fn text(&self) -> impl Eq + Hash + '_ {
        let Self { field, msg, observed, allowed, allowed_omitted, fix, details: _ } = self;
        (field, msg, observed, allowed, allowed_omitted, fix)
    }
}

/// Reads the value of `deny` or `warn`. An error names the rule and what to write, for the policy's author.
pub(crate) fn findings(rule: &str, value: &Value) -> Result<Vec<Finding>, String> {
    let found: Result<Vec<Finding>, String> = match value {
        // A partial set without members; compilation has checked that the rule exists.
        Value::Undefined => Ok(Vec::new()),
        Value::Set(set) => set.iter().map(|item| finding(rule, item)).collect(),
        other => {
            Err(format!("`{rule}` is {}, not a set; write `{rule} contains finding if …`", type_name(other)))
        }
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
                "`{rule}` holds {}; a finding is a string or an object of {FINDING_KEYS}",
                type_name(other)
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
            _ => {
                return Err(format!(
                    "`{rule}` holds a finding with the key {key}; the keys are {FINDING_KEYS}"
                ));
            }
        }
    }
    if finding.msg.is_empty() {
        return Err(format!("`{rule}` holds a finding without msg; the keys are {FINDING_KEYS}"));
    }
    Ok(finding)
}

fn text(rule: &str, key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(cut(text)),
        other => Err(format!("`{rule}` holds a finding whose {key} is {}, not a string", type_name(other))),
    }
}

/// A copy, cut at a character boundary. Without a bound, findings that quote long annotations could exhaust the memory.
fn cut(text: &str) -> String {
    if text.len() <= TEXT_MAX {
        return text.to_owned();
    }
    let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let mut short = text.get(..end).unwrap_or_default().to_owned();
    short.push('…');
    short
}

/// The first `ALLOWED_MAX` strings, and how many more there are.
fn texts(rule: &str, value: &Value) -> Result<(Vec<String>, usize), String> {
    let items: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Set(items) => items.iter().collect(),
        other => {
            return Err(format!(
                "`{rule}` holds a finding whose allowed is {}, not an array of strings",
                type_name(other)
            ));
        }
    };
    let more = items.len().saturating_sub(ALLOWED_MAX);
    let first = items.into_iter().take(ALLOWED_MAX).map(|item| text(rule, "allowed", item));
    Ok((first.collect::<Result<_, _>>()?, more))
}

/// Reads the value of `patch` or `merge`: JSON values in a stable order.
pub(crate) fn documents(rule: &str, value: &Value) -> Result<Vec<serde_json::Value>, String> {
    let items = match value {
        Value::Undefined => return Ok(Vec::new()),
        Value::Set(items) => items,
        other => {
            return Err(format!(
                "`{rule}` is {}, not a set; write `{rule} contains document if …`",
                type_name(other)
            ));
        }
    };
    items
        .iter()
        .map(|item| serde_json::to_value(item).map_err(|error| format!("`{rule}`: {error}")))
        .collect()
}

fn type_name(value: &Value) -> &'static str {
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

/// Bytes of JSON. Twenty findings of this size still fit a response and a line of the decision log.
const DETAILS_BYTES_MAX: usize = 1 << 10;

/// Levels of arrays, sets and objects, the outermost included.
const DETAILS_DEPTH_MAX: usize = 16;

/// The `details` of a finding as compact JSON: sorted keys, sets as arrays, invisible characters escaped. More than 1,024
/// bytes or 16 levels are replaced by a string that says so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Details(String);

#[derive(Debug, Clone, Copy)]
enum Excess {
    Bytes,
    Depth,
    Number,
}

impl Excess {
    const ALL: [Self; 3] = [Self::Bytes, Self::Depth, Self::Number];

    fn note(self) -> String {
        let why = match self {
            Self::Bytes => format!("more than {DETAILS_BYTES_MAX} bytes of JSON"),
            Self::Depth => format!("more than {DETAILS_DEPTH_MAX} levels"),
            Self::Number => "a number is out of range".to_owned(),
        };
        format!("\"left out: {why}\"")
    }
}

impl Details {
    /// `None` for null and `{}`.
    pub fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Null | Value::Undefined => return None,
            Value::Object(fields) if fields.is_empty() => return None,
            _ => {}
        }
        let mut out = BoundedBuffer::default();
        let written = write_value(value, DETAILS_DEPTH_MAX, &mut out);
        Some(Self(written.map_or_else(Excess::note, |()| out.text())))
    }

    /// JSON on one line, of visible characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Masks all of it: a policy that reads Secrets in the clear may put a secret value in any part.
    pub(crate) fn mask(&mut self) {
        if !Excess::ALL.iter().any(|excess| excess.note() == self.0) {
            self.0 = mask::digest(self.0.as_bytes()).to_string();
        }
    }
}

/// Refuses a write beyond the bound before it copies anything.
#[derive(Default)]
struct BoundedBuffer(Vec<u8>);

impl BoundedBuffer {
    fn text(self) -> String {
        String::from_utf8(self.0).unwrap_or_default()
    }

    fn put(&mut self, text: &str) -> Result<(), Excess> {
        io::Write::write_all(self, text.as_bytes()).map_err(|_| Excess::Bytes)
    }
}

impl io::Write for BoundedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > DETAILS_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Stops at the first excess, so a huge value costs no more than one that fits.
fn write_value(value: &Value, depth: usize, out: &mut BoundedBuffer) -> Result<(), Excess> {
    let below = depth.checked_sub(1);
    match value {
        Value::Array(items) => write_list(items.iter(), below.ok_or(Excess::Depth)?, out),
        Value::Set(items) => write_list(items.iter(), below.ok_or(Excess::Depth)?, out),
        Value::Object(fields) => {
            let below = below.ok_or(Excess::Depth)?;
            // Each field needs two quotes, a colon and a comma.
            if fields.len() > DETAILS_BYTES_MAX / 4 {
                return Err(Excess::Bytes);
            }
            // Rego's keys 1 and "1" are the same key in JSON, and parsers disagree about duplicate keys.
            let mut sorted: BTreeMap<Cow<'_, str>, &Value> = BTreeMap::new();
            for (key, value) in fields.iter_sorted() {
                sorted.entry(json_key(key, below)?).or_insert(value);
            }
            out.put("{")?;
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                out.put(if at == 0 { "" } else { "," })?;
                write_string(&key, out)?;
                out.put(":")?;
                write_value(value, below, out)?;
            }
            out.put("}")
        }
        Value::String(string) => write_string(string, out),
        Value::Number(_) => {
            let number = serde_json::to_string(value).map_err(|_| Excess::Number)?;
            out.put(&number)
        }
        Value::Bool(bool) => out.put(if *bool { "true" } else { "false" }),
        Value::Null | Value::Undefined => out.put("null"),
    }
}

fn write_list<'v>(
    items: impl Iterator<Item = &'v Value>,
    below: usize,
    out: &mut BoundedBuffer,
) -> Result<(), Excess> {
    out.put("[")?;
    for (at, item) in items.enumerate() {
        out.put(if at == 0 { "" } else { "," })?;
        write_value(item, below, out)?;
    }
    out.put("]")
}

fn write_string(string: &str, out: &mut BoundedBuffer) -> Result<(), Excess> {
    string.serialize(&mut Serializer::with_formatter(out, EscapeInvisible)).map_err(|_| Excess::Bytes)
}

/// A JSON key; a key that is not a string is serialized.
fn json_key(key: &Value, depth: usize) -> Result<Cow<'_, str>, Excess> {
    if let Value::String(key) = key {
        return Ok(Cow::Borrowed(key));
    }
    let mut out = BoundedBuffer::default();
    write_value(key, depth, &mut out)?;
    Ok(Cow::Owned(out.text()))
}

#[cfg(test)]
mod details_tests;
#[cfg(test)]
mod tests;
