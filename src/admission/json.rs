//! A JSON text, read once from front to back, where what is skipped is checked like what is kept.
//!
//! Skipping is most of what the gate does with a review, and no library checks what it skips; so this is our own. It
//! must never fail open: no key twice in one object, because two readers of the same text could disagree about which
//! value counts; nesting as deep as serde_json reads it and no deeper, because the rest of the gate reads with that; no
//! lone surrogate, no control character, no number that 64 bits cannot hold, nothing behind the end. The text is UTF-8
//! before it comes here. Errors say what serde_json says, at the place where it says it: a test compares the two.

mod error;
mod keys;
mod number;
mod skip;
mod text;

pub use error::Error;
pub use number::Number;
pub use text::Text;

use keys::Keys;

/// Objects and lists around a value, itself included; the 128th is refused.
const DEPTH_MAX: u8 = 127;

const EOF_VALUE: &str = "EOF while parsing a value";
const EOF_OBJECT: &str = "EOF while parsing an object";
const EOF_LIST: &str = "EOF while parsing a list";

/// A place in a text.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Objects and lists that are open.
    depth: u8,
    keys: Keys,
}

/// What a value is, by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

impl<'a> Reader<'a> {
    /// At the beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, keys: Keys::default() }
    }

    /// What comes next, which stays to be read.
    pub fn kind(&mut self) -> Result<Kind, Error> {
        Ok(match self.peek(EOF_VALUE)? {
            b'"' => Kind::Text,
            b'{' => Kind::Object,
            b'[' => Kind::List,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => return Err(self.fault("expected value")),
        })
    }

    /// Where the next value begins, for [`Reader::again`].
    pub fn place(&mut self) -> Result<usize, Error> {
        self.peek(EOF_VALUE)?;
        Ok(self.at)
    }

    /// Reads a value that was passed before once more, and comes back.
    pub fn again<T>(&mut self, place: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let (at, depth) = (self.at, self.depth);
        self.at = place;
        let read = read(self);
        (self.at, self.depth) = (at, depth);
        read
    }

    /// Reads an object, which must come next: `member` is called for each, at its value, with its key.
    #[inline]
    pub fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.open()?;
        if self.peek(EOF_OBJECT)? != b'}' {
            self.keys.enter();
            loop {
                let key = self.key()?;
                member(self, key)?;
                if !self.next_member()? {
                    break;
                }
            }
            self.keys.leave();
        }
        self.close();
        Ok(())
    }

    /// Reads a list, which must come next: `element` is called at each.
    #[inline]
    pub fn elements(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.open()?;
        if self.peek(EOF_LIST)? != b']' {
            loop {
                element(self)?;
                if !self.next_element()? {
                    break;
                }
            }
        }
        self.close();
        Ok(())
    }

    /// Reads `null`.
    pub fn null(&mut self) -> Result<(), Error> {
        self.word("null")
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        let value = self.peek(EOF_VALUE)? == b't';
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// That nothing follows.
    pub fn end(&mut self) -> Result<(), Error> {
        while let Some(byte) = self.byte() {
            if !is_blank(byte) {
                return Err(self.fault("trailing characters"));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Error> {
        for letter in word.bytes() {
            match self.byte() {
                Some(byte) if byte == letter => self.at += 1,
                Some(_) => return Err(self.fault("expected ident")),
                None => return Err(self.fault(EOF_VALUE)),
            }
        }
        Ok(())
    }

    /// Reads a key and its colon.
    #[inline(always)]
    fn key(&mut self) -> Result<Text<'a>, Error> {
        if self.byte() != Some(b'"') {
            return Err(self.fault("key must be a string"));
        }
        let (key, hash) = self.hashed_text()?;
        if !self.keys.first(hash) {
            return Err(self.twice(key));
        }
        if self.peek(EOF_OBJECT)? != b':' {
            return Err(self.fault("expected `:`"));
        }
        self.at += 1;
        Ok(key)
    }

    /// Whether another member follows, and goes to its key; else to the end of the object.
    #[inline(always)]
    fn next_member(&mut self) -> Result<bool, Error> {
        match self.peek(EOF_OBJECT)? {
            b',' => self.at += 1,
            b'}' => return Ok(false),
            _ => return Err(self.fault("expected `,` or `}`")),
        }
        match self.peek(EOF_VALUE)? {
            b'}' => Err(self.fault("trailing comma")),
            _ => Ok(true),
        }
    }

    /// Whether another element follows, and goes to it; else to the end of the list.
    #[inline(always)]
    fn next_element(&mut self) -> Result<bool, Error> {
        match self.peek(EOF_LIST)? {
            b',' => self.at += 1,
            b']' => return Ok(false),
            _ => return Err(self.fault("expected `,` or `]`")),
        }
        match self.peek(EOF_VALUE)? {
            b']' => Err(self.fault("trailing comma")),
            _ => Ok(true),
        }
    }

    #[inline(always)]
    fn open(&mut self) -> Result<(), Error> {
        if self.depth == DEPTH_MAX {
            return Err(self.fault("recursion limit exceeded"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn close(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    fn pass_word_or_number(&mut self) -> Result<(), Error> {
        match self.kind()? {
            Kind::Bool => self.boolean().map(drop),
            Kind::Null => self.null(),
            _ => self.pass_number(),
        }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next character that is no blank.
    #[inline]
    fn peek(&mut self, eof: &'static str) -> Result<u8, Error> {
        match self.byte() {
            Some(byte) if byte > b' ' => Ok(byte),
            _ => self.pass_blanks(eof),
        }
    }

    #[cold]
    fn pass_blanks(&mut self, eof: &'static str) -> Result<u8, Error> {
        while let Some(byte) = self.byte() {
            if !is_blank(byte) {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(self.fault(eof))
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

#[cfg(test)]
mod tests;
