//! Builtins over texts.

use regorus::Value;

use super::{Built, Cost, TEXT, VALUE, each, text_at};

/// No longer than the text.
pub fn same(args: &[Value]) -> Cost {
    Cost::bytes(text_at(args, 0).len())
}

/// A character for each: to Go, `ß` has no capital and a last `Σ` no letter of its own. `regorus` 0.14.1
/// (`builtins/strings.rs`) writes `SS`, and `ς` at the end of a word.
pub fn upper(args: &[Value]) -> Result<Value, String> {
    cased("upper", args, |char| {
        if newer(char) {
            return char;
        }
        let mut mapped = char.to_uppercase();
        match (mapped.next(), mapped.next(), char) {
            (Some(one), None, _) => one,
            (_, _, '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}') => {
                beyond(char, 8)
            }
            (_, _, '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}') => beyond(char, 9),
            _ => char,
        }
    })
}

pub fn lower(args: &[Value]) -> Result<Value, String> {
    cased("lower", args, |char| match char {
        'İ' => 'i',
        same if newer(same) => same,
        other => other.to_lowercase().next().unwrap_or(other),
    })
}

/// Letters that have another case since Unicode 16 or 17; Go 1.26 is at 15, this compiler beyond.
fn newer(char: char) -> bool {
    matches!(char, '\u{19b}' | '\u{264}' | '\u{1c89}'..='\u{1c8a}' | '\u{a7cb}'..='\u{a7cf}' | '\u{a7d2}'..='\u{a7d5}'
        | '\u{a7da}'..='\u{a7dc}' | '\u{10d50}'..='\u{10d85}' | '\u{16ea0}'..='\u{16ed3}')
}

fn beyond(char: char, places: u32) -> char {
    char::from_u32(u32::from(char) + places).unwrap_or(char)
}

fn cased(name: &'static str, args: &[Value], map: fn(char) -> char) -> Result<Value, String> {
    let Some(Value::String(text)) = args.first() else {
        return Err(format!("builtin `{name}` takes a text"));
    };
    // A character in the other case takes up to three times its bytes.
    let grows = if text.is_ascii() { 1 } else { 3 };
    super::charge(name, Cost::bytes(text.len().saturating_mul(grows)))?;
    Ok(Value::String(text.chars().map(map).collect::<String>().into()))
}

/// Two bytes for each at most, and padding.
pub fn doubled(args: &[Value]) -> Cost {
    Cost::bytes(text_at(args, 0).len().saturating_mul(2).saturating_add(4))
}

/// Each character of the one is looked for in the other.
pub fn trimmed(args: &[Value]) -> Cost {
    let (text, cut) = (text_at(args, 0), text_at(args, 1));
    Cost { bytes: text.len(), steps: compared(text.len(), cut.len()) }
}

pub fn concat(args: &[Value]) -> Cost {
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

pub fn replace(args: &[Value]) -> Cost {
    Cost::bytes(replaced(text_at(args, 0), text_at(args, 1), text_at(args, 2)))
}

/// Bytes of a text in which `old` is replaced by `new`.
fn replaced(text: &str, old: &str, new: &str) -> usize {
    if new.len() <= old.len() {
        return text.len();
    }
    let times = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    text.len().saturating_add(times.saturating_mul(new.len() - old.len()))
}

pub fn split(args: &[Value]) -> Cost {
    let (text, at) = (text_at(args, 0), text_at(args, 1));
    let parts = if at.is_empty() { text.chars().count() } else { text.matches(at).count() + 1 };
    Cost::bytes(text.len().saturating_add(parts.saturating_mul(TEXT)))
}

/// A text is compared at each place where its first byte stands.
///
/// # Errors
/// An empty text is sought, which is everywhere.
pub fn indexes(args: &[Value]) -> Result<Cost, String> {
    let (text, sought) = (text_at(args, 0), text_at(args, 1));
    if matches!(args.get(1), Some(Value::String(_))) && sought.is_empty() {
        return Err("builtin `indexof` seeks no empty text".to_owned());
    }
    let places = match sought.as_bytes().first() {
        Some(first) => text.bytes().filter(|byte| byte == first).count(),
        None => text.chars().count(),
    };
    let steps = text.len().saturating_add(compared(places, sought.len()));
    Ok(Cost { bytes: places.saturating_mul(VALUE), steps })
}

/// `regorus` 0.14.1 (`builtins/strings.rs`) counts texts that overlap, and panics on a blank one.
pub fn count(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "strings.count";
    let (Some(Value::String(text)), Some(Value::String(sought))) = (args.first(), args.get(1)) else {
        return Err(format!("builtin `{NAME}` takes texts"));
    };
    super::charge(NAME, Cost::steps(compared(text.len(), sought.len())))?;
    let blank = sought.is_empty();
    Ok(Value::from(if blank { text.chars().count() + 1 } else { text.matches(&**sought).count() }))
}

/// Steps of comparing a text of `bytes` so many times: sixteen bytes at once.
fn compared(times: usize, bytes: usize) -> usize {
    times.saturating_mul(1 + bytes / 16)
}

/// Each text of the one list with each of the other.
pub fn any_match(args: &[Value]) -> Cost {
    let count = |at: usize| match args.get(at) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Set(items)) => items.len(),
        _ => 1,
    };
    let (texts, ends) = (count(0), count(1));
    let bytes = texts.saturating_add(ends).saturating_mul(16);
    Cost { bytes, steps: texts.saturating_mul(ends).saturating_mul(4) }
}

/// A layout's word is written with at most nine bytes more.
pub fn time_format(args: &[Value]) -> Cost {
    let Some(Value::Array(parts)) = args.first() else { return Cost::bytes(64) };
    let layout = parts.iter().nth(2).map_or(0, |layout| match layout {
        Value::String(layout) => layout.len(),
        _ => 0,
    });
    Cost::bytes(layout.saturating_mul(10).saturating_add(64))
}

/// The format, each argument as it is written, and the widths that the format names.
pub fn sprintf(args: &[Value]) -> Cost {
    let format = text_at(args, 0);
    let mut bytes = format.len().saturating_add(widths(format));
    let quoted = if format.contains('q') { 5 } else { 1 };
    each(args.get(1), |argument| {
        let written = match argument {
            Value::String(text) => text.len().saturating_mul(quoted),
            other => super::json::written(other),
        };
        bytes = bytes.saturating_add(written);
    });
    Cost::bytes(bytes)
}

/// The sum of the numbers that a format holds.
fn widths(format: &str) -> usize {
    let numbers = format.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    numbers.map(|digits| digits.parse().unwrap_or(usize::MAX)).fold(0, usize::saturating_add)
}

/// A text that is built piece by piece.
pub struct Text<'b> {
    text: String,
    built: &'b mut Built,
}

impl<'b> Text<'b> {
    pub fn new(built: &'b mut Built) -> Self {
        Self { text: String::new(), built }
    }

    pub fn push(&mut self, piece: &str) -> Result<(), String> {
        self.built.add(piece.len())?;
        self.text.push_str(piece);
        Ok(())
    }

    pub fn done(self) -> Result<Value, String> {
        self.built.end()?;
        Ok(Value::String(self.text.into()))
    }
}
