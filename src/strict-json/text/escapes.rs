//! Escapes: what they say, and the one way to write each string that every other is compared by.

use std::fmt::Write as _;

/// How a string is written, from what reads like itself to what must be read to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Escapes {
    /// As it reads.
    None,
    /// Quotes, backslashes and control characters in the one way that is short.
    Short,
    /// In one of several ways: `\/` and `\u0061` are also `/` and `a`.
    Long,
}

/// The character, or what is wrong and after how many bytes that was plain.
pub(super) fn escaped(rest: &[u8]) -> Result<(char, Escapes, usize), (&'static str, usize)> {
    let character = match rest.first() {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'/') => return Ok(('/', Escapes::Long, 1)),
        Some(b'u') => return unicode(rest).map(|(character, length)| (character, Escapes::Long, length)),
        _ => return Err(("invalid escape", 1)),
    };
    Ok((character, Escapes::Short, 1))
}

/// `u` and four digits; or twice that with a backslash between, for what UTF-16 says in two.
fn unicode(rest: &[u8]) -> Result<(char, usize), (&'static str, usize)> {
    const LONE: &str = "lone leading surrogate in hex escape";
    const END: &str = "unexpected end of hex escape";
    let first = hex(rest, 1)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 5));
    }
    if first >= 0xDC00 {
        return Err((LONE, 5));
    }
    match (rest.get(5), rest.get(6)) {
        (Some(b'\\'), Some(b'u')) => {}
        (Some(b'\\'), _) => return Err((END, 7)),
        _ => return Err((END, 6)),
    }
    let second = hex(rest, 7)?;
    let both = char::decode_utf16([first, second].map(|half| u16::try_from(half).unwrap_or_default())).next();
    match both {
        Some(Ok(character)) => Ok((character, 11)),
        _ => Err((LONE, 11)),
    }
}

fn hex(rest: &[u8], start: usize) -> Result<u32, (&'static str, usize)> {
    let Some(digits) = rest.get(start..start + 4) else { return Err(("", rest.len() + 1)) };
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(("invalid escape", start + 4))?;
        Ok(value << 4 | digit)
    })
}

/// What a string says that was passed before.
pub(super) fn unescape(raw: &str) -> String {
    let mut said = String::with_capacity(raw.len());
    let mut rest = raw;
    // Escapes stand close together where there are any, so this is faster than a search made for long texts.
    while let Some(at) = rest.bytes().position(|byte| byte == b'\\') {
        said.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        let (character, _, length) = escaped(rest.as_bytes()).unwrap_or(('\u{fffd}', Escapes::Long, 1));
        said.push(character);
        rest = rest.get(length..).unwrap_or_default();
    }
    said.push_str(rest);
    said
}

/// The shortest way to write it.
pub(super) fn escape(said: &str) -> String {
    let mut raw = String::with_capacity(said.len() + 8);
    for character in said.chars() {
        let short = match character {
            '"' => '"',
            '\\' => '\\',
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\0'..' ' => {
                // Writing to a String does not fail.
                let _ = write!(raw, "\\u{:04x}", u32::from(character));
                continue;
            }
            plain => {
                raw.push(plain);
                continue;
            }
        };
        raw.extend(['\\', short]);
    }
    raw
}
