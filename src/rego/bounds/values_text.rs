//! A value as OPA writes it in a text.

use std::fmt::Write as _;

use regorus::Value;

/// `["a", 1]`, `{"a": 1}`, `set()`: as `ast.Term.String`. The caller has measured it.
pub fn written(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value);
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::String(inner) => text.push_str(&quoted(inner)),
        Value::Array(items) => {
            text.push('[');
            listed(text, items.iter());
            text.push(']');
        }
        Value::Set(items) if items.is_empty() => text.push_str("set()"),
        Value::Set(items) => {
            text.push('{');
            // In OPA's order of kinds, which is not the engine's.
            let mut items: Vec<&Value> = items.iter().collect();
            items.sort_by(|left, right| super::arithmetic::compare(left, right));
            listed(text, items.into_iter());
            text.push('}');
        }
        Value::Object(entries) => {
            text.push('{');
            for (at, (key, value)) in entries.iter_sorted().enumerate() {
                text.push_str(if at > 0 { ", " } else { "" });
                write(text, key);
                text.push_str(": ");
                write(text, value);
            }
            text.push('}');
        }
        other => text.push_str(&super::marshal::plain(other)),
    }
}

fn listed<'v>(text: &mut String, items: impl Iterator<Item = &'v Value>) {
    for (at, item) in items.enumerate() {
        text.push_str(if at > 0 { ", " } else { "" });
        write(text, item);
    }
}

/// As Go's `strconv.Quote`.
pub fn quoted(text: &str) -> String {
    let mut made = String::with_capacity(text.len() + 2);
    made.push('"');
    for char in text.chars() {
        let code = u32::from(char);
        let _ = match char {
            '"' => made.write_str("\\\""),
            '\\' => made.write_str("\\\\"),
            '\u{7}' => made.write_str("\\a"),
            '\u{8}' => made.write_str("\\b"),
            '\u{c}' => made.write_str("\\f"),
            '\n' => made.write_str("\\n"),
            '\r' => made.write_str("\\r"),
            '\t' => made.write_str("\\t"),
            '\u{b}' => made.write_str("\\v"),
            char if printed(char) => made.write_char(char),
            _ if code < 0x80 => write!(made, "\\x{code:02x}"),
            _ if code < 0x1_0000 => write!(made, "\\u{code:04x}"),
            _ => write!(made, "\\U{code:08x}"),
        };
    }
    made.push('"');
    made
}

/// Whether Go prints a character as it is: no control, no space but U+0020, no format, private or blank place.
fn printed(char: char) -> bool {
    let hidden = matches!(u32::from(char), 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e
        | 0x2060..=0x206f | 0xe000..=0xf8ff | 0xfdd0..=0xfdef | 0xfeff | 0xfff0..=0xfffb | 0xe_0000..=0xe_00ff | 0xf_0000..);
    char == ' '
        || !(char.is_control() || char.is_whitespace() || hidden || u32::from(char) & 0xfffe == 0xfffe)
}
