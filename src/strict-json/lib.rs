//! A JSON text, read once from front to back, where what is skipped is checked like what is kept.
//!
//! Skipping is most of what the gate does with a review, and no library checks what it skips; so this is our own. It
//! must never fail open: no key twice in one object, because two readers of the same text could disagree about which
//! value counts; nesting as deep as Kubernetes reads it and no deeper; no
//! lone surrogate, no control character, no number that 64 bits cannot hold, nothing behind the end. The text is UTF-8
//! before it comes here. Errors say what serde_json says, at the place where it says it: a test compares the two.

#![expect(clippy::inline_always, reason = "a scan is one loop; left to the compiler it is a sixth slower")]

mod error;
mod keys;
mod number;
mod skip;
mod text;
mod walk;

pub use error::Error;
pub use number::Number;
pub use text::Text;

use keys::Keys;

/// Objects and lists around a value, itself included. Kubernetes' decoder (`sigs.k8s.io/json`, after Go's `encoding/json`)
/// reads 10,000; an object of a review stands in two more.
const DEPTH_MAX: u16 = 10_002;

/// Up to here nothing is counted: no object of a built-in kind is half as deep, and serde_json reads no deeper either.
const SHALLOW: u16 = 127;

const EOF_VALUE: &str = "EOF while parsing a value";
const EOF_OBJECT: &str = "EOF while parsing an object";
const EOF_LIST: &str = "EOF while parsing a list";

/// A place in a text.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Objects and lists that are open.
    depth: u16,
    /// The most that were, where that is more than [`SHALLOW`].
    deepest: u16,
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
        Self { text, at: 0, depth: 0, deepest: 0, keys: Keys::default() }
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

    /// How many objects and lists are open.
    pub const fn depth(&self) -> u16 {
        self.depth
    }

    /// The most objects and lists that were open; 0 where it were at most 127.
    pub const fn deepest(&self) -> u16 {
        self.deepest
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
