//! Builtins over texts.

use regorus::Value;

use super::{Built, CALL_BYTES_MAX, Cost, STEPS_MAX, TEXT, VALUE, each, text_at};

/// No longer than the text.
pub fn same(args: &[Value]) -> Cost {
    Cost::bytes(text_at(args, 0).len())
}

/// A character in the other case takes up to three times its bytes.
pub fn cased(args: &[Value]) -> Cost {
    let text = text_at(args, 0);
    let grows = if text.is_ascii() { 1 } else { 3 };
    Cost::bytes(text.len().saturating_mul(grows))
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

/// One after the other, in the order of the keys, each upon what the one before made.
pub fn replace_n(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "strings.replace_n";
    let (Some(Value::Object(pairs)), Some(Value::String(text))) = (args.first(), args.get(1)) else {
        return Err(format!("builtin `{NAME}` takes an object and a text"));
    };
    let mut text = text.to_string();
    let mut steps = 0_usize;
    for (old, new) in pairs.iter_sorted() {
        let (Value::String(old), Value::String(new)) = (old, new) else {
            return Err(format!("builtin `{NAME}` takes texts as keys and values"));
        };
        steps = steps.saturating_add(text.len());
        let bytes = replaced(&text, old, new);
        if bytes > CALL_BYTES_MAX || steps > STEPS_MAX {
            super::charge(NAME, Cost { bytes, steps })?;
        }
        text = text.replace(&**old, new);
    }
    super::charge(NAME, Cost { bytes: text.len(), steps })?;
    Ok(Value::String(text.into()))
}

pub fn split(args: &[Value]) -> Cost {
    let (text, at) = (text_at(args, 0), text_at(args, 1));
    let parts = if at.is_empty() { text.chars().count() } else { text.matches(at).count() + 1 };
    Cost::bytes(text.len().saturating_add(parts.saturating_mul(TEXT)))
}

/// A text is compared at each place where its first byte stands.
pub fn indexes(args: &[Value]) -> Cost {
    let (text, sought) = (text_at(args, 0), text_at(args, 1));
    let places = match sought.as_bytes().first() {
        Some(first) => text.bytes().filter(|byte| byte == first).count(),
        None => text.chars().count(),
    };
    let steps = text.len().saturating_add(compared(places, sought.len()));
    Cost { bytes: places.saturating_mul(VALUE), steps }
}

pub fn count(args: &[Value]) -> Cost {
    Cost::steps(compared(text_at(args, 0).len(), text_at(args, 1).len()))
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
