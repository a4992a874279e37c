//! What a finding carries for programs: a JSON value, within bounds, with the same bytes each time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use serde::Serialize as _;
use serde_json::Serializer;

use portcullis_rego::Value;
use portcullis_telemetry::mask;
use portcullis_telemetry::visible::Visible;

/// Bytes of the JSON text. Twenty findings with so much each still fit an answer and a line of the decision log.
pub const BYTES_MAX: usize = 1 << 10;

/// Levels of arrays, sets and objects, the outermost included.
const DEPTH_MAX: usize = 16;

/// The `details` of a finding, as compact JSON: keys in order, sets as arrays, what cannot be seen escaped. What exceeds
/// 1,024 bytes or 16 levels is replaced by a text that says so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Details(String);

/// Why details are left out.
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
            Self::Bytes => format!("more than {BYTES_MAX} bytes of JSON"),
            Self::Depth => format!("more than {DEPTH_MAX} levels"),
            Self::Number => "a number is out of range".to_owned(),
        };
        format!("\"left out: {why}\"")
    }
}

impl Details {
    /// Reads what stands under `details`; null and `{}` count as none.
    pub fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Null | Value::Undefined => return None,
            Value::Object(fields) if fields.is_empty() => return None,
            _ => {}
        }
        let mut out = Bounded::default();
        let written = write(value, DEPTH_MAX, &mut out);
        Some(Self(written.map_or_else(Excess::note, |()| out.text())))
    }

    /// JSON on one line, of characters that can be seen.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value; its keys are in order.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Masks the whole, since a policy that reads Secrets in the clear may put a value in any part.
    pub(crate) fn hide(&mut self) {
        if !Excess::ALL.iter().any(|excess| excess.note() == self.0) {
            self.0 = mask::digest(self.0.as_bytes()).to_string();
        }
    }
}

/// The longest text is refused before it is copied.
#[derive(Default)]
struct Bounded(Vec<u8>);

impl Bounded {
    fn text(self) -> String {
        String::from_utf8(self.0).unwrap_or_default()
    }

    fn put(&mut self, text: &str) -> Result<(), Excess> {
        io::Write::write_all(self, text.as_bytes()).map_err(|_| Excess::Bytes)
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends at the first excess, so a value of any size costs no more than one that fits.
fn write(value: &Value, depth: usize, out: &mut Bounded) -> Result<(), Excess> {
    let below = depth.checked_sub(1);
    match value {
        Value::Array(items) => list(items.iter(), below.ok_or(Excess::Depth)?, out),
        Value::Set(items) => list(items.iter(), below.ok_or(Excess::Depth)?, out),
        Value::Object(fields) => {
            let below = below.ok_or(Excess::Depth)?;
            // Each has two quotes, a colon and a comma.
            if fields.len() > BYTES_MAX / 4 {
                return Err(Excess::Bytes);
            }
            // Rego's key 1 and its key "1" are one in JSON, and JSON with a key twice reads differently everywhere.
            let mut sorted: BTreeMap<Cow<'_, str>, &Value> = BTreeMap::new();
            for (key, value) in fields.iter_sorted() {
                sorted.entry(name(key, below)?).or_insert(value);
            }
            out.put("{")?;
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                out.put(if at == 0 { "" } else { "," })?;
                text(&key, out)?;
                out.put(":")?;
                write(value, below, out)?;
            }
            out.put("}")
        }
        Value::String(string) => text(string, out),
        Value::Number(_) => {
            let number = serde_json::to_string(value).map_err(|_| Excess::Number)?;
            out.put(&number)
        }
        Value::Bool(bool) => out.put(if *bool { "true" } else { "false" }),
        Value::Null | Value::Undefined => out.put("null"),
    }
}

fn list<'v>(items: impl Iterator<Item = &'v Value>, below: usize, out: &mut Bounded) -> Result<(), Excess> {
    out.put("[")?;
    for (at, item) in items.enumerate() {
        out.put(if at == 0 { "" } else { "," })?;
        write(item, below, out)?;
    }
    out.put("]")
}

fn text(string: &str, out: &mut Bounded) -> Result<(), Excess> {
    string.serialize(&mut Serializer::with_formatter(out, Visible)).map_err(|_| Excess::Bytes)
}

/// A key as JSON has it: what is no string is written out.
fn name(key: &Value, depth: usize) -> Result<Cow<'_, str>, Excess> {
    if let Value::String(key) = key {
        return Ok(Cow::Borrowed(key));
    }
    let mut out = Bounded::default();
    write(key, depth, &mut out)?;
    Ok(Cow::Owned(out.text()))
}

#[cfg(test)]
mod tests;
