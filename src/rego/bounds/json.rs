//! Builtins that read and write JSON and numbers.

use regorus::Value;

use super::{Cost, DIGITS_MAX, VALUE, marshal, text_at};

/// Bytes of a value, and of what holds it.
const ITEM: usize = 2 * VALUE;
/// Bytes of a list or a map itself, and of an entry of a map beyond its value.
const HOLDER: usize = 3 * VALUE;
/// What a reader of JSON takes for a number of any length, wherever it stands as the first key of a map.
pub const LONG_NUMBER: &str = "$serde_json::private::Number";

/// A text that is read as a number: its digits and its exponent are bounded, since `1e2000000000` has as many digits.
pub fn number(args: &[Value]) -> Result<Cost, String> {
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

/// A number as Go's `strconv.ParseFloat` reads it, but for hexadecimal ones. `regorus` 0.14.1 (`builtins/conversions.rs`)
/// reads JSON, which may have space around it and no `+`, no zero before and no point at an end.
pub fn to_number(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "to_number";
    let text = match args.first() {
        Some(Value::Null | Value::Bool(false)) => return Ok(Value::from(0_u64)),
        Some(Value::Bool(true)) => return Ok(Value::from(1_u64)),
        Some(number @ Value::Number(_)) => return Ok(number.clone()),
        Some(Value::String(text)) => text,
        _ => return Err(format!("builtin `{NAME}` takes a text, a number, a boolean or null")),
    };
    super::charge(NAME, number(args)?)?;
    let none = || format!("builtin `{NAME}` failed: the text is no number");
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
    match marshal::number(&json) {
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

/// What a text of JSON becomes: counted by its commas, colons and brackets.
pub fn read(args: &[Value]) -> Result<Cost, String> {
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

/// Where the string ends at whose quote a text begins.
pub fn string_end(text: &str) -> usize {
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

/// Bytes of a value as it is written out, as JSON or by `%v`.
pub fn written(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        // A whole number of 64 bits has twenty digits, a float written out at most 330.
        Value::Number(_) if value.as_i64().is_ok() || value.as_u64().is_ok() => 20,
        Value::Number(_) => 330.max(value.to_string().len()),
        Value::String(text) => quoted(text),
        Value::Array(items) => items.iter().fold(2, |sum, item| sum.saturating_add(written(item) + 2)),
        Value::Set(items) => items.iter().fold(2, |sum, item| sum.saturating_add(written(item) + 2)),
        Value::Object(entries) => entries.iter().fold(2_usize, |sum, (key, value)| {
            sum.saturating_add(written(key)).saturating_add(written(value) + 4)
        }),
        Value::Undefined => 10,
    }
}

/// A control character takes six bytes, a quote two.
fn quoted(text: &str) -> usize {
    let more = text.bytes().map(|byte| match byte {
        0..=31 | 127 => 5,
        b'"' | b'\\' => 1,
        // `json.marshal` escapes them for HTML.
        b'<' | b'>' | b'&' => 5,
        _ => 0,
    });
    text.len() + 2 + more.sum::<usize>()
}
