//! Strings: scanned to their end and checked, and unescaped only when they are read.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::keys::{Blocks, padded};
use super::{Error, Reader};

const EOF: &str = "EOF while parsing a string";

/// A string literal, without its quotes.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    all: &'a str,
    start: usize,
    end: usize,
    escapes: Escapes,
}

impl<'a> Text<'a> {
    /// The unescaped string.
    #[inline]
    pub fn read(self) -> Cow<'a, str> {
        let raw = self.raw();
        if self.escapes == Escapes::None { Cow::Borrowed(raw) } else { Cow::Owned(unescape(raw)) }
    }

    #[inline]
    fn raw(self) -> &'a str {
        self.all.get(self.start..self.end).unwrap_or_default()
    }
}

impl<'a> Reader<'a> {
    /// Reads a string, which must come next.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'a>, Error> {
        let start = self.at + 1;
        let escapes = self.scan_text(&mut ())?;
        Ok(Text { all: self.text, start, end: self.at - 1, escapes })
    }

    /// Reads a string and its hash. Strings that are equal when unescaped have equal hashes.
    #[inline(always)]
    pub(super) fn hashed_text(&mut self) -> Result<(Text<'a>, u64), Error> {
        let start = self.at + 1;
        let mut hasher = self.keys.hasher();
        let escapes = self.scan_text(&mut hasher)?;
        let text = Text { all: self.text, start, end: self.at - 1, escapes };
        let hash = if escapes == Escapes::Long { self.rehash(text) } else { hasher.hash() };
        Ok((text, hash))
    }

    #[cold]
    fn rehash(&self, text: Text<'_>) -> u64 {
        self.keys.hasher().of(escape(&unescape(text.raw())).as_bytes())
    }

    /// Scans a string from quote to quote and passes its bytes to `blocks`.
    #[inline(always)]
    pub(super) fn scan_text(&mut self, blocks: &mut impl Blocks) -> Result<Escapes, Error> {
        self.at += 1;
        for block in self.rest().as_chunks::<16>().0 {
            let length = first_special(*block, 0);
            if length < 16 {
                if self.text.as_bytes().get(self.at + length) != Some(&b'"') {
                    break;
                }
                blocks.last(*block, length);
                self.at += length + 1;
                return Ok(Escapes::None);
            }
            blocks.next(*block);
            self.at += 16;
        }
        self.scan_escaped(blocks)
    }

    /// Scans the rest of a string, from the block with its first escape.
    #[inline(never)]
    fn scan_escaped(&mut self, blocks: &mut impl Blocks) -> Result<Escapes, Error> {
        let mut escapes = Escapes::None;
        let mut from = 0;
        for block in self.rest().as_chunks::<16>().0 {
            let start = self.at;
            while from < 16 {
                let length = first_special(*block, from);
                from = 16;
                if length == 16 {
                    break;
                }
                self.at = start + length;
                match self.text.as_bytes().get(self.at..) {
                    Some([b'"', ..]) => {
                        self.at += 1;
                        blocks.last(*block, length);
                        return Ok(escapes);
                    }
                    Some([b'\\', b'"' | b'\\' | b'n' | b't', ..]) => {
                        escapes = escapes.max(Escapes::Short);
                        from = length + 2;
                    }
                    _ => {
                        escapes = escapes.max(self.scan_escape()?);
                        from = self.at - start;
                    }
                }
            }
            from -= 16;
            blocks.next(*block);
            self.at = start + 16;
        }
        let (rest, start) = (self.rest(), self.at);
        self.at += from;
        while self.byte() != Some(b'"') {
            match self.byte() {
                Some(b'\\' | ..b' ') => escapes = escapes.max(self.scan_escape()?),
                Some(_) => self.at += 1,
                None => return Err(self.fault(EOF)),
            }
        }
        blocks.last(padded(rest), self.at - start);
        self.at += 1;
        Ok(escapes)
    }

    /// Scans an escape; any other character here is an error.
    fn scan_escape(&mut self) -> Result<Escapes, Error> {
        if self.byte() != Some(b'\\') {
            return Err(self.fault("control character (\\u0000-\\u001F) found while parsing a string"));
        }
        self.at += 1;
        match parse_escape(self.rest()) {
            Ok((_, how, length)) => {
                self.at += length;
                Ok(how)
            }
            Err((what, length)) => {
                let end = self.at + length;
                Err(self.fault_before(if end > self.text.len() { EOF } else { what }, end))
            }
        }
    }

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// The index from `from` on of the first quote, backslash or control character; sixteen where there is none. Works on two
/// 64-bit words, because most strings are short and the branch is predicted.
#[inline(always)]
fn first_special(block: [u8; 16], from: usize) -> usize {
    // Bytes before `from` are replaced by one that never stops.
    let passed = (1u128 << (8 * from)) - 1;
    let block = (u128::from_le_bytes(block) | passed & u128::from_ne_bytes([0x80; 16])).to_le_bytes();
    let ([low, high], _) = block.as_chunks::<8>() else { return 0 };
    let [low, high] = [low, high].map(|word| special_bits(u64::from_le_bytes(*word)));
    let bits = if low != 0 { low.trailing_zeros() } else { 64 + high.trailing_zeros() };
    bits as usize / 8
}

/// Sets the highest bit of each byte that is a quote, a backslash or a control character; after the first such byte there
/// may be false positives. Subtraction sets that bit where a byte was smaller; bytes that had it before are masked.
#[inline]
const fn special_bits(word: u64) -> u64 {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let quotes = (word ^ each(b'"')).wrapping_sub(each(1));
    let backslashes = (word ^ each(b'\\')).wrapping_sub(each(1));
    let controls = word.wrapping_sub(each(b' '));
    (quotes | backslashes | controls) & !word & each(0x80)
}

/// The escapes in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Escapes {
    None,
    /// Only the shortest escapes of quotes, backslashes and control characters.
    Short,
    /// Escapes that have a shorter form: `\/` and `\u0061` are `/` and `a`.
    Long,
}

/// Parses an escape without its backslash: the character, the form and the length. An error has a message and the number
/// of bytes up to it.
fn parse_escape(rest: &[u8]) -> Result<(char, Escapes, usize), (&'static str, usize)> {
    let character = match rest.first() {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'/') => return Ok(('/', Escapes::Long, 1)),
        Some(b'u') => {
            return parse_unicode_escape(rest).map(|(character, length)| (character, Escapes::Long, length));
        }
        _ => return Err(("invalid escape", 1)),
    };
    Ok((character, Escapes::Short, 1))
}

/// Parses `uXXXX`, or the two escapes of a surrogate pair.
fn parse_unicode_escape(rest: &[u8]) -> Result<(char, usize), (&'static str, usize)> {
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

/// Unescapes a string that was scanned before.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    // Escapes are often close together, so this is faster than a search for long texts.
    while let Some(at) = rest.bytes().position(|byte| byte == b'\\') {
        text.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        let (character, _, length) = parse_escape(rest.as_bytes()).unwrap_or(('\u{fffd}', Escapes::Long, 1));
        text.push(character);
        rest = rest.get(length..).unwrap_or_default();
    }
    text.push_str(rest);
    text
}

/// Escapes a string in the shortest form.
fn escape(text: &str) -> String {
    let mut raw = String::with_capacity(text.len() + 8);
    for character in text.chars() {
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
