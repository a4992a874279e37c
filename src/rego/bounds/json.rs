//! Builtins that read and write JSON and numbers, as OPA does (1.22.0, `v1/topdown/json.go`): integers of any size are
//! exact, and what Go escapes for HTML is escaped. `regorus` 0.14.1 (`builtins/encoding.rs`) does neither.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use regorus::Value;

use super::cost::{Cost, DIGITS_MAX, VALUE, charge, text_at};

/// Bytes of a value and of its slot.
const ITEM: usize = 2 * VALUE;
/// Bytes of an array or an object itself, and of an entry of an object beyond its value.
const HOLDER: usize = 3 * VALUE;
/// As the first key of an object, `serde_json` takes it for a number of any length.
pub(crate) const LONG_NUMBER: &str = "$serde_json::private::Number";

/// Bounds the digits and the exponent of a number to parse: `1e2000000000` has as many digits.
pub(crate) fn number(args: &[Value]) -> Result<Cost, String> {
    let text = text_at(args, 0);
    if text.len() > DIGITS_MAX {
        return Err(format!(
            "a number of {} bytes is not read; at most {DIGITS_MAX} are allowed",
            text.len()
        ));
    }
    exponent(text)?;
    Ok(Cost::bytes(DIGITS_MAX))
}

/// Reads a number as Go's `strconv.ParseFloat`, except hexadecimal ones. `regorus` 0.14.1 (`builtins/conversions.rs`)
/// reads JSON instead, which allows space around a number and no `+`, no leading zero and no point at either end.
pub(crate) fn to_number(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "to_number";
    let text = match args.first() {
        Some(Value::Null | Value::Bool(false)) => return Ok(Value::from(0_u64)),
        Some(Value::Bool(true)) => return Ok(Value::from(1_u64)),
        Some(number @ Value::Number(_)) => return Ok(number.clone()),
        Some(Value::String(text)) => text,
        _ => return Err(format!("builtin `{NAME}` takes a string, a number, a boolean or null")),
    };
    charge(NAME, number(args)?)?;
    let none = || format!("builtin `{NAME}` failed: the string is not a number");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, power) =
        digits.split_once(['e', 'E']).map_or((digits, None), |(digits, power)| (digits, Some(power)));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let power_fits = power.is_none_or(|power| {
        let power = power.strip_prefix(['+', '-']).unwrap_or(power);
        !power.is_empty() && digits(power)
    });
    if !digits(whole) || !digits(part) || (whole.is_empty() && part.is_empty()) || !power_fits {
        return Err(none());
    }
    let whole = whole.trim_start_matches('0');
    let mut json = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
    if !part.is_empty() {
        json.extend([".", part]);
    }
    if let Some(power) = power {
        json.extend(["e", power]);
    }
    match exact_number(&json) {
        Some(number @ Value::Number(_)) if json.parse::<f64>().is_ok_and(f64::is_finite) => Ok(number),
        _ => Err(none()),
    }
}

fn exponent(text: &str) -> Result<(), String> {
    let Some((_, power)) = text.split_once(['e', 'E']) else { return Ok(()) };
    let digits: String = power
        .trim_start_matches(['+', '-'])
        .chars()
        .filter(|c| *c != '_')
        .take_while(char::is_ascii_digit)
        .collect();
    match digits.trim_start_matches('0').parse::<usize>() {
        Ok(power) if power > DIGITS_MAX => {
            Err(format!("a number with the exponent {power} is not read; at most {DIGITS_MAX} is allowed"))
        }
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => {
            Err(format!("a number with an exponent of {} digits is not read", digits.len()))
        }
        _ => Ok(()),
    }
}

/// The cost of parsing JSON, counted by its commas, colons and brackets.
pub(crate) fn read_cost(args: &[Value]) -> Result<Cost, String> {
    let text = text_at(args, 0);
    let mut bytes = text.len().saturating_add(ITEM);
    let mut rest = text;
    let mut opened = false;
    while let Some(c) = rest.chars().next() {
        let after_brace = opened;
        opened = c == '{' || (opened && c.is_ascii_whitespace());
        let taken = match c {
            '"' => {
                let end = string_end(rest);
                if after_brace && is_long_number(rest.get(..end).unwrap_or_default()) {
                    return Err(format!("an object with the key `{LONG_NUMBER}` is not read"));
                }
                end
            }
            '0'..='9' | '-' => {
                let end = rest
                    .find(|c| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
                    .unwrap_or(rest.len());
                number(&[Value::from(rest.get(..end).unwrap_or_default())])?;
                end
            }
            _ => {
                bytes = bytes.saturating_add(match c {
                    ',' => ITEM,
                    ':' => HOLDER,
                    '[' | '{' => ITEM + HOLDER,
                    _ => 0,
                });
                c.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(Cost::bytes(bytes))
}

/// The end of the string whose opening quote is the first byte of `text`.
pub(crate) fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_long_number(quoted: &str) -> bool {
    let plain = quoted.trim_matches('"');
    plain == LONG_NUMBER
        || (plain.contains('\\')
            && serde_json::from_str::<String>(quoted).is_ok_and(|unescaped| unescaped == LONG_NUMBER))
}

/// An upper bound of the bytes of a value written as JSON or by `%v`.
pub(crate) fn written_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        // An integer of 64 bits has twenty digits, a float at most 330.
        Value::Number(_) if value.as_i64().is_ok() || value.as_u64().is_ok() => 20,
        Value::Number(_) => 330.max(value.to_string().len()),
        Value::String(text) => quoted_bytes(text),
        Value::Array(items) => items.iter().fold(2, |sum, item| sum.saturating_add(written_bytes(item) + 2)),
        Value::Set(items) => items.iter().fold(2, |sum, item| sum.saturating_add(written_bytes(item) + 2)),
        Value::Object(entries) => entries.iter().fold(2_usize, |sum, (key, value)| {
            sum.saturating_add(written_bytes(key)).saturating_add(written_bytes(value) + 4)
        }),
        Value::Undefined => 10,
    }
}

/// A control character takes six bytes, a quote two.
fn quoted_bytes(text: &str) -> usize {
    let more = text.bytes().map(|byte| match byte {
        0..=31 | 127 => 5,
        b'"' | b'\\' => 1,
        // `json.marshal` escapes them for HTML.
        b'<' | b'>' | b'&' => 5,
        _ => 0,
    });
    text.len() + 2 + more.sum::<usize>()
}

/// So many digits always fit an integer of 64 bits.
const SHORT: usize = 18;
/// Characters of numbers that may be integers in another notation, `1e23`.
const OTHERWISE: [char; 3] = ['.', 'e', 'E'];

pub(crate) fn marshal(args: &[Value]) -> Result<Value, String> {
    charge("json.marshal", Cost::bytes(args.first().map_or(0, written_bytes)))?;
    let mut text = String::new();
    args.iter().for_each(|value| write(&mut text, value));
    Ok(Value::from(text))
}

pub(crate) fn unmarshal(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "json.unmarshal";
    charge(NAME, read_cost(args)?)?;
    if !matches!(args.first(), Some(Value::String(_))) {
        return Err(format!("builtin `{NAME}` takes a string"));
    }
    Value::from_json_str(&exact_numbers(text_at(args, 0))).map_err(|error| {
        let error = error.root_cause().to_string();
        format!(
            "builtin `{NAME}` failed: the string is not JSON: {}",
            error.lines().last().unwrap_or_default()
        )
    })
}

/// Parses a JSON number; integers of any size are exact.
pub(crate) fn exact_number(text: &str) -> Option<Value> {
    Value::from_json_str(&exact_numbers(text)).ok()
}

/// JSON in which numbers that would lose digits are written so that the engine reads all digits.
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
            // The engine reads `2.0` as a double, however long it is.
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

/// Whether JSON allows the number: no leading zero, no `+`, digits on both sides of a point.
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
            // In OPA's order of types, which is not the engine's.
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

/// Writes a number, a boolean or null.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) if value.as_i64().is_err() && number.is_integer() => {
            number.as_big().map_or_else(|| value.to_string(), |large| large.to_string())
        }
        other => other.to_string(),
    }
}

/// Quotes as Go's `encoding/json` does with HTML escapes.
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
