//! Strings: found by their end, checked on the way, and read only where somebody wants them.

use std::borrow::Cow;

use super::{Error, Reader};

const EOF: &str = "EOF while parsing a string";

/// What stands between two quotes.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    all: &'a str,
    start: usize,
    end: usize,
    escapes: Escapes,
}

/// How a string is written, from what reads like itself to what must be read to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Escapes {
    /// As it reads.
    None,
    /// Quotes, backslashes and control characters in the one way that is short.
    Short,
    /// In one of several ways: `\/` and `\u0061` are also `/` and `a`.
    Long,
}

impl<'a> Text<'a> {
    /// What it says.
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
        let escapes = self.pass_text(&mut ())?;
        Ok(Text { all: self.text, start, end: self.at - 1, escapes })
    }

    /// Reads a string, and a hash that is equal where what two strings say is equal.
    #[inline(always)]
    pub(super) fn hashed_text(&mut self) -> Result<(Text<'a>, u64), Error> {
        let start = self.at + 1;
        let mut mixed = self.keys.mix();
        let escapes = self.pass_text(&mut mixed)?;
        let text = Text { all: self.text, start, end: self.at - 1, escapes };
        let hash = if escapes == Escapes::Long { self.rehash(text) } else { mixed.hash() };
        Ok((text, hash))
    }

    #[cold]
    fn rehash(&self, text: Text<'_>) -> u64 {
        self.keys.mix().of(escape(&unescape(text.raw())).as_bytes())
    }

    /// Passes a string, from its quote to its quote, and shows what is between them.
    #[inline(always)]
    pub(super) fn pass_text(&mut self, shown: &mut impl Blocks) -> Result<Escapes, Error> {
        self.at += 1;
        for block in self.rest().as_chunks::<16>().0 {
            let length = stop(*block, 0);
            if length < 16 {
                if self.text.as_bytes().get(self.at + length) != Some(&b'"') {
                    break;
                }
                shown.last(*block, length);
                self.at += length + 1;
                return Ok(Escapes::None);
            }
            shown.next(*block);
            self.at += 16;
        }
        self.pass_escaped(shown)
    }

    /// The same for a string with escapes, from the block with the first of them.
    #[inline(never)]
    fn pass_escaped(&mut self, shown: &mut impl Blocks) -> Result<Escapes, Error> {
        let mut escapes = Escapes::None;
        let mut from = 0;
        for block in self.rest().as_chunks::<16>().0 {
            let start = self.at;
            while from < 16 {
                let length = stop(*block, from);
                from = 16;
                if length == 16 {
                    break;
                }
                self.at = start + length;
                match self.text.as_bytes().get(self.at..) {
                    Some([b'"', ..]) => {
                        self.at += 1;
                        shown.last(*block, length);
                        return Ok(escapes);
                    }
                    Some([b'\\', b'"' | b'\\' | b'n' | b't', ..]) => {
                        escapes = escapes.max(Escapes::Short);
                        from = length + 2;
                    }
                    _ => {
                        escapes = escapes.max(self.pass_escape()?);
                        from = self.at - start;
                    }
                }
            }
            from -= 16;
            shown.next(*block);
            self.at = start + 16;
        }
        let (rest, start) = (self.rest(), self.at);
        self.at += from;
        while self.byte() != Some(b'"') {
            match self.byte() {
                Some(b'\\' | ..b' ') => escapes = escapes.max(self.pass_escape()?),
                Some(_) => self.at += 1,
                None => return Err(self.fault(EOF)),
            }
        }
        let mut last = [0; 16];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        shown.last(last, self.at - start);
        self.at += 1;
        Ok(escapes)
    }

    /// Passes an escape, or refuses what stands in the place of one.
    fn pass_escape(&mut self) -> Result<Escapes, Error> {
        if self.byte() != Some(b'\\') {
            return Err(self.fault("control character (\\u0000-\\u001F) found while parsing a string"));
        }
        self.at += 1;
        match escaped(self.rest()) {
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

/// Who is shown the bytes of a string, sixteen at a time.
pub(super) trait Blocks {
    /// Sixteen more.
    fn next(&mut self, block: [u8; 16]);

    /// The first `length` of a block, less than sixteen: the last there are.
    fn last(&mut self, block: [u8; 16], length: usize);
}

impl Blocks for () {
    fn next(&mut self, _: [u8; 16]) {}

    fn last(&mut self, _: [u8; 16], _: usize) {}
}

/// The character, or what is wrong and after how many bytes that was plain.
fn escaped(rest: &[u8]) -> Result<(char, Escapes, usize), (&'static str, usize)> {
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
fn unescape(raw: &str) -> String {
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
fn escape(said: &str) -> String {
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
                raw.push_str(&format!("\\u{:04x}", u32::from(character)));
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

/// Where in a block, from a place on, a string ends, an escape begins, or something stands that must not; sixteen where
/// nothing does. Two words at a time, because most strings are shorter, and a branch that is foreseen is free.
#[inline(always)]
fn stop(block: [u8; 16], from: usize) -> usize {
    // What is passed becomes what no text stops at.
    let passed = (1u128 << (8 * from)) - 1;
    let block = (u128::from_le_bytes(block) | passed & u128::from_ne_bytes([0x80; 16])).to_le_bytes();
    let ([low, high], _) = block.as_chunks::<8>() else { return 0 };
    let [low, high] = [low, high].map(|word| stops(u64::from_le_bytes(*word)));
    let bits = if low != 0 { low.trailing_zeros() } else { 64 + high.trailing_zeros() };
    bits as usize / 8
}

/// The highest bit of each byte that is a quote, a backslash or a control character; of those behind the first it may
/// say more than there are. Subtracting sets that bit where a byte was below, and what had it before is left out.
#[inline]
const fn stops(word: u64) -> u64 {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let quotes = (word ^ each(b'"')).wrapping_sub(each(1));
    let backslashes = (word ^ each(b'\\')).wrapping_sub(each(1));
    let controls = word.wrapping_sub(each(b' '));
    (quotes | backslashes | controls) & !word & each(0x80)
}
