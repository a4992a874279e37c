//! Builtins over strings.

use regorus::Value;

use super::cost::{ByteCounter, Cost, TEXT, VALUE, charge, each, text_at};

/// The result is no longer than the string.
pub(crate) fn same(args: &[Value]) -> Cost {
    Cost::bytes(text_at(args, 0).len())
}

/// Maps each character to one: in Go, `ß` has no capital and a final `Σ` no form of its own. `regorus` 0.14.1
/// (`builtins/strings.rs`) writes `SS`, and `ς` at the end of a word.
pub(crate) fn upper(args: &[Value]) -> Result<Value, String> {
    cased("upper", args, |char| {
        if newer(char) {
            return char;
        }
        let mut mapped = char.to_uppercase();
        match (mapped.next(), mapped.next(), char) {
            (Some(one), None, _) => one,
            (_, _, '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}') => {
                shifted(char, 8)
            }
            (_, _, '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}') => shifted(char, 9),
            _ => char,
        }
    })
}

pub(crate) fn lower(args: &[Value]) -> Result<Value, String> {
    cased("lower", args, |char| match char {
        'İ' => 'i',
        same if newer(same) => same,
        other => other.to_lowercase().next().unwrap_or(other),
    })
}

/// Letters that got another case in Unicode 16 or 17; Go 1.26 has Unicode 15, this compiler a later one.
fn newer(char: char) -> bool {
    matches!(char, '\u{19b}' | '\u{264}' | '\u{1c89}'..='\u{1c8a}' | '\u{a7cb}'..='\u{a7cf}' | '\u{a7d2}'..='\u{a7d5}'
        | '\u{a7da}'..='\u{a7dc}' | '\u{10d50}'..='\u{10d85}' | '\u{16ea0}'..='\u{16ed3}')
}

fn shifted(char: char, distance: u32) -> char {
    char::from_u32(u32::from(char) + distance).unwrap_or(char)
}

fn cased(name: &'static str, args: &[Value], map: fn(char) -> char) -> Result<Value, String> {
    let Some(Value::String(text)) = args.first() else {
        return Err(format!("builtin `{name}` takes a string"));
    };
    // A character may take three times its bytes in the other case.
    let grows = if text.is_ascii() { 1 } else { 3 };
    charge(name, Cost::bytes(text.len().saturating_mul(grows)))?;
    Ok(Value::String(text.chars().map(map).collect::<String>().into()))
}

/// At most two bytes for each, and padding.
pub(crate) fn doubled(args: &[Value]) -> Cost {
    Cost::bytes(text_at(args, 0).len().saturating_mul(2).saturating_add(4))
}

/// Each character of the string is compared with each of the cutset.
pub(crate) fn trimmed(args: &[Value]) -> Cost {
    let (text, cut) = (text_at(args, 0), text_at(args, 1));
    Cost { bytes: text.len(), steps: compared(text.len(), cut.len()) }
}

pub(crate) fn concat(args: &[Value]) -> Cost {
    let between = text_at(args, 0).len();
    let (mut count, mut bytes) = (0_usize, 0_usize);
    each(args.get(1), |item| {
        count += 1;
        if let Value::String(text) = item {
            bytes = bytes.saturating_add(text.len());
        }
    });
    Cost::bytes(bytes.saturating_add(between.saturating_mul(count.saturating_sub(1))))
}

pub(crate) fn replace(args: &[Value]) -> Cost {
    Cost::bytes(replaced(text_at(args, 0), text_at(args, 1), text_at(args, 2)))
}

fn replaced(text: &str, old: &str, new: &str) -> usize {
    if new.len() <= old.len() {
        return text.len();
    }
    let times = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    text.len().saturating_add(times.saturating_mul(new.len() - old.len()))
}

pub(crate) fn split(args: &[Value]) -> Cost {
    let (text, at) = (text_at(args, 0), text_at(args, 1));
    let parts = if at.is_empty() { text.chars().count() } else { text.matches(at).count() + 1 };
    Cost::bytes(text.len().saturating_add(parts.saturating_mul(TEXT)))
}

/// The substring is compared at each position of its first byte.
pub(crate) fn indexes(args: &[Value]) -> Result<Cost, String> {
    let (text, sought) = (text_at(args, 0), text_at(args, 1));
    if matches!(args.get(1), Some(Value::String(_))) && sought.is_empty() {
        return Err("builtin `indexof` does not search for an empty string".to_owned());
    }
    let candidates = match sought.as_bytes().first() {
        Some(first) => text.bytes().filter(|byte| byte == first).count(),
        None => text.chars().count(),
    };
    let steps = text.len().saturating_add(compared(candidates, sought.len()));
    Ok(Cost { bytes: candidates.saturating_mul(VALUE), steps })
}

/// `regorus` 0.14.1 (`builtins/strings.rs`) counts overlapping matches, and panics on an empty substring.
pub(crate) fn count(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "strings.count";
    let (Some(Value::String(text)), Some(Value::String(sought))) = (args.first(), args.get(1)) else {
        return Err(format!("builtin `{NAME}` takes strings"));
    };
    charge(NAME, Cost::steps(compared(text.len(), sought.len())))?;
    let blank = sought.is_empty();
    Ok(Value::from(if blank { text.chars().count() + 1 } else { text.matches(&**sought).count() }))
}

/// Steps of comparing `bytes` bytes so many times, sixteen bytes at once.
fn compared(times: usize, bytes: usize) -> usize {
    times.saturating_mul(1 + bytes / 16)
}

/// Each string of one array is compared with each of the other.
pub(crate) fn any_match(args: &[Value]) -> Cost {
    let count = |at: usize| match args.get(at) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Set(items)) => items.len(),
        _ => 1,
    };
    let (texts, ends) = (count(0), count(1));
    let bytes = texts.saturating_add(ends).saturating_mul(16);
    Cost { bytes, steps: texts.saturating_mul(ends).saturating_mul(4) }
}

/// A word of the layout grows by at most nine bytes.
pub(crate) fn time_format(args: &[Value]) -> Cost {
    let Some(Value::Array(parts)) = args.first() else { return Cost::bytes(64) };
    let layout = parts.iter().nth(2).map_or(0, |layout| match layout {
        Value::String(layout) => layout.len(),
        _ => 0,
    });
    Cost::bytes(layout.saturating_mul(10).saturating_add(64))
}

/// The format, each argument as written, and the widths in the format.
pub(crate) fn sprintf(args: &[Value]) -> Cost {
    let format = text_at(args, 0);
    let mut bytes = format.len().saturating_add(widths(format));
    let quoted = if format.contains('q') { 5 } else { 1 };
    each(args.get(1), |argument| {
        let written = match argument {
            Value::String(text) => text.len().saturating_mul(quoted),
            other => super::json::written_bytes(other),
        };
        bytes = bytes.saturating_add(written);
    });
    Cost::bytes(bytes)
}

/// The sum of the numbers in a format.
fn widths(format: &str) -> usize {
    let numbers = format.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    numbers.map(|digits| digits.parse().unwrap_or(usize::MAX)).fold(0, usize::saturating_add)
}

/// Builds a string piece by piece.
pub(crate) struct StringBuilder<'b> {
    text: String,
    built: &'b mut ByteCounter,
}

impl<'b> StringBuilder<'b> {
    pub(crate) fn new(built: &'b mut ByteCounter) -> Self {
        Self { text: String::new(), built }
    }

    pub(crate) fn push(&mut self, piece: &str) -> Result<(), String> {
        self.built.add(piece.len())?;
        self.text.push_str(piece);
        Ok(())
    }

    pub(crate) fn done(self) -> Result<Value, String> {
        self.built.end()?;
        Ok(Value::String(self.text.into()))
    }
}

const REPLACE_N: &str = "strings.replace_n";

pub(crate) fn replace_n(args: &[Value]) -> Result<Value, String> {
    let (Some(Value::Object(pairs)), Some(Value::String(text))) = (args.first(), args.get(1)) else {
        return Err(format!("builtin `{REPLACE_N}` takes an object and a string"));
    };
    let mut known: Vec<(&str, &str)> = Vec::new();
    for (old, new) in pairs.iter_sorted() {
        let (Value::String(old), Value::String(new)) = (old, new) else {
            return Err(format!("builtin `{REPLACE_N}` takes strings as keys and values"));
        };
        // A key that begins with an earlier one never matches: the earlier one matches at the same position.
        if known.last().is_none_or(|(before, _)| before.is_empty() || !old.starts_with(before)) {
            known.push((old, new));
        }
    }
    let blank = known.first().filter(|(old, _)| old.is_empty()).map(|(_, new)| *new);
    if blank.is_some() {
        known.remove(0);
    }
    if blank.is_some() && !text.is_ascii() {
        return Err(format!(
            "builtin `{REPLACE_N}` cannot replace the empty string in a string with characters outside ASCII"
        ));
    }
    let longest = known.iter().map(|(old, _)| old.len()).max().unwrap_or(0);
    let halvings = usize::try_from(known.len().checked_ilog2().unwrap_or(0)).unwrap_or(0) + 1;
    charge(REPLACE_N, Cost::steps(text.len().saturating_mul(halvings).saturating_mul(1 + longest / 16)))?;
    replace_keys(text, &known, blank)
}

/// The key at a position, by binary search: no key begins with another, so it is the last one that is not greater.
fn standing<'k>(known: &[(&'k str, &'k str)], rest: &str) -> Option<(&'k str, &'k str)> {
    let beyond = known.partition_point(|(old, _)| *old <= rest);
    let (old, new) = *known.get(beyond.checked_sub(1)?)?;
    rest.starts_with(old).then_some((old, new))
}

fn replace_keys(text: &str, known: &[(&str, &str)], blank: Option<&str>) -> Result<Value, String> {
    let mut built = ByteCounter::new(REPLACE_N);
    let mut made = StringBuilder::new(&mut built);
    let (mut from, mut at, mut after_blank) = (0, 0, false);
    while let Some(rest) = text.get(at..) {
        // The empty key is first in order, but matches only once per position.
        let found = match blank {
            Some(new) if !after_blank => Some(("", new)),
            _ => standing(known, rest),
        };
        after_blank = found.is_some_and(|(old, _)| old.is_empty());
        if let Some((old, new)) = found {
            made.push(text.get(from..at).unwrap_or_default())?;
            made.push(new)?;
            at += old.len();
            from = at;
            continue;
        }
        at += rest.chars().next().map_or(1, char::len_utf8);
    }
    made.push(text.get(from..).unwrap_or_default())?;
    made.done()
}
