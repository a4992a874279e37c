//! Strings: found by their end, checked on the way, and read only where somebody wants them.

pub(super) mod blocks;
mod escapes;

use std::borrow::Cow;

use super::{Error, Reader};
use blocks::{Blocks, padded, stop};
use escapes::{Escapes, escape, escaped, unescape};

const EOF: &str = "EOF while parsing a string";

/// What stands between two quotes.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    all: &'a str,
    start: usize,
    end: usize,
    escapes: Escapes,
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
        shown.last(padded(rest), self.at - start);
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
