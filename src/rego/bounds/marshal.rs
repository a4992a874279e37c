//! Values as JSON and back, as OPA has them (1.22.0, `v1/topdown/json.go`): integers of any size are exact, and what Go
//! escapes for HTML is escaped. `regorus` 0.14.1 (`builtins/encoding.rs`) does neither.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use regorus::Value;

use super::json::{LONG_NUMBER, read, string_end, written};
use super::{Cost, charge, text_at};

/// Digits that fit any integer of 64 bits.
const SHORT: usize = 18;
/// Characters of a number that may be an integer in another notation, `1e23`.
const OTHERWISE: [char; 3] = ['.', 'e', 'E'];

/// `json.marshal`
pub fn marshal(args: &[Value]) -> Result<Value, String> {
    charge("json.marshal", Cost::bytes(args.first().map_or(0, written)))?;
    let mut text = String::new();
    args.iter().for_each(|value| write(&mut text, value));
    Ok(Value::from(text))
}

/// `json.unmarshal`
pub fn unmarshal(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "json.unmarshal";
    charge(NAME, read(args)?)?;
    if !matches!(args.first(), Some(Value::String(_))) {
        return Err(format!("builtin `{NAME}` takes a text"));
    }
    Value::from_json_str(&exact_numbers(text_at(args, 0))).map_err(|error| {
        let error = error.root_cause().to_string();
        format!("builtin `{NAME}` failed: the text is no JSON: {}", error.lines().last().unwrap_or_default())
    })
}

/// A number from its text in JSON; an integer of any size.
pub fn number(text: &str) -> Option<Value> {
    Value::from_json_str(&exact_numbers(text)).ok()
}

/// A text of JSON in which numbers that would lose digits are written as the engine reads them whole.
fn exact_numbers(text: &str) -> Cow<'_, str> {
    let (mut made, mut rest) = (String::new(), text);
    let mut done = 0;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let found = rest.get(at..).unwrap_or_default();
        let start = text.len() - found.len();
        let taken = if found.starts_with('"') { string_end(found) } else { number_end(found) };
        let token = found.get(..taken).unwrap_or_default();
        if (token.len() > SHORT || token.contains(OTHERWISE)) && is_number(token) {
            made.push_str(text.get(done..start).unwrap_or_default());
            // The engine reads `2.0` as a double, whatever its length.
            let whole = token.split_once('.').filter(|(_, part)| part.bytes().all(|digit| digit == b'0'));
            let token = whole.map_or(token, |(whole, _)| whole);
            let _ = write!(made, "{{\"{LONG_NUMBER}\":\"{token}\"}}");
            done = start + taken;
        }
        rest = found.get(taken..).unwrap_or_default();
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    made.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(made)
}

/// As JSON writes numbers: no zero before, no sign but a minus, digits around a point.
fn is_number(token: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let token = token.strip_prefix('-').unwrap_or(token);
    let (mantissa, power) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let leading = whole.len() > 1 && whole.starts_with('0');
    digits(whole) && !leading && digits(part) && digits(power.strip_prefix(['+', '-']).unwrap_or(power))
}

fn number_end(text: &str) -> usize {
    text.find(|c| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(text.len())
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::String(inner) => quote(text, inner),
        Value::Array(items) => {
            text.push('[');
            list(text, items.iter());
            text.push(']');
        }
        Value::Set(items) => {
            // In OPA's order of kinds, which is not the engine's.
            let mut items: Vec<&Value> = items.iter().collect();
            items.sort_by(|left, right| super::arithmetic::compare(left, right));
            text.push('[');
            list(text, items.into_iter());
            text.push(']');
        }
        Value::Object(entries) => {
            let mut keys: BTreeMap<Cow<'_, str>, &Value> = BTreeMap::new();
            for (key, value) in entries.iter_sorted() {
                let key = match key {
                    Value::String(key) => Cow::Borrowed(key.as_ref()),
                    other => {
                        let mut key = String::new();
                        write(&mut key, other);
                        Cow::Owned(key)
                    }
                };
                keys.insert(key, value);
            }
            text.push('{');
            for (at, (key, value)) in keys.into_iter().enumerate() {
                text.push_str(if at > 0 { "," } else { "" });
                quote(text, &key);
                text.push(':');
                write(text, value);
            }
            text.push('}');
        }
        number => text.push_str(&plain(number)),
    }
}

fn list<'v>(text: &mut String, items: impl Iterator<Item = &'v Value>) {
    for (at, item) in items.enumerate() {
        text.push_str(if at > 0 { "," } else { "" });
        write(text, item);
    }
}

/// A number, a boolean or null.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) if value.as_i64().is_err() && number.is_integer() => {
            number.as_big().map_or_else(|| value.to_string(), |large| large.to_string())
        }
        other => other.to_string(),
    }
}

/// As Go's `encoding/json` with its escapes for HTML.
fn quote(text: &mut String, inner: &str) {
    text.push('"');
    for c in inner.chars() {
        let _ = match c {
            '"' => text.write_str("\\\""),
            '\\' => text.write_str("\\\\"),
            '\u{8}' => text.write_str("\\b"),
            '\u{c}' => text.write_str("\\f"),
            '\n' => text.write_str("\\n"),
            '\r' => text.write_str("\\r"),
            '\t' => text.write_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..='\u{1f}' => {
                write!(text, "\\u{:04x}", u32::from(c))
            }
            c => text.write_char(c),
        };
    }
    text.push('"');
}
