//! A pull parser for JSON that checks skipped values like the values that it reads.
//!
//! It rejects duplicate keys, because two parsers may disagree on which value counts, and nesting that Kubernetes does not
//! read. All other errors are those of serde_json, with its messages and positions; a test compares the two.

#![expect(clippy::inline_always, reason = "without it the scan is a sixth slower")]

mod error;
mod keys;
mod text;
mod traverse;

pub use error::Error;
pub use text::Text;

use keys::Keys;

/// The deepest nesting. Kubernetes' decoder `sigs.k8s.io/json` reads 10,000 levels, and an AdmissionReview adds two.
const DEPTH_MAX: u16 = 10_002;

/// The nesting up to which [`Reader::deepest`] is not counted. serde_json's limit is the same.
const SHALLOW: u16 = 127;

const EOF_VALUE: &str = "EOF while parsing a value";
const EOF_OBJECT: &str = "EOF while parsing an object";
const EOF_LIST: &str = "EOF while parsing a list";

/// A parser at a position in a text.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The number of open objects and lists.
    depth: u16,
    /// The maximum of `depth`, where it exceeds [`SHALLOW`].
    deepest: u16,
    keys: Keys,
}

/// The type of a value, by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Object,
}

/// A number as in serde_json: an integer where it fits into 64 bits, else a float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Unsigned(u64),
    /// Always negative.
    Signed(i64),
    /// Has a fraction or an exponent, exceeds 64 bits, or is `-0`.
    Float(f64),
}

/// The number of characters of an integer that always fits into 64 bits.
const SHORT_INTEGER: usize = 18;

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, deepest: 0, keys: Keys::default() }
    }

    /// The type of the next value, without reading it.
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

    /// The number of open objects and lists.
    pub const fn depth(&self) -> u16 {
        self.depth
    }

    /// The maximum of [`Reader::depth`]; 0 where it is at most 127.
    pub const fn deepest(&self) -> u16 {
        self.deepest
    }

    /// The offset of the next value, for [`Reader::read_at`].
    pub fn offset(&mut self) -> Result<usize, Error> {
        self.peek(EOF_VALUE)?;
        Ok(self.at)
    }

    /// Reads a value at an earlier offset and returns to the current position.
    pub fn read_at<T>(&mut self, offset: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let (at, depth) = (self.at, self.depth);
        self.at = offset;
        let read = read(self);
        (self.at, self.depth) = (at, depth);
        read
    }

    /// Reads `null`.
    pub fn null(&mut self) -> Result<(), Error> {
        self.literal("null")
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self) -> Result<bool, Error> {
        let value = self.peek(EOF_VALUE)? == b't';
        self.literal(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// Reads a number, which must come next.
    pub fn number(&mut self) -> Result<Number, Error> {
        let start = self.at;
        let (raw, integer) = self.raw_number(start)?;
        if integer {
            if let Ok(value) = raw.parse() {
                return Ok(Number::Unsigned(value));
            }
            // Only a float has a negative zero.
            if let Some(value) = raw.parse().ok().filter(|value| *value != 0) {
                return Ok(Number::Signed(value));
            }
        }
        self.float(raw).map(Number::Float)
    }

    fn skip_number(&mut self) -> Result<(), Error> {
        let (raw, integer) = self.raw_number(self.at)?;
        if integer && raw.len() <= SHORT_INTEGER { Ok(()) } else { self.float(raw).map(drop) }
    }

    fn float(&self, raw: &str) -> Result<f64, Error> {
        match raw.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.fault_before("number out of range", self.at)),
        }
    }

    /// The text of a number, and whether it is an integer.
    fn raw_number(&mut self, start: usize) -> Result<(&'a str, bool), Error> {
        let mut integer = true;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
            if self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(self.fault("invalid number"));
            }
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok((self.text.get(start..self.at).unwrap_or_default(), integer))
    }

    /// Scans one or more digits.
    fn digits(&mut self) -> Result<(), Error> {
        match self.byte() {
            Some(b'0'..=b'9') => self.at += 1,
            Some(_) => return Err(self.fault("invalid number")),
            None => return Err(self.fault(EOF_VALUE)),
        }
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        Ok(())
    }

    /// # Errors
    /// Something other than white space follows.
    pub fn end(&mut self) -> Result<(), Error> {
        while let Some(byte) = self.byte() {
            if !is_blank(byte) {
                return Err(self.fault("trailing characters"));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, literal: &str) -> Result<(), Error> {
        for letter in literal.bytes() {
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

    /// The next character that is not white space.
    #[inline]
    fn peek(&mut self, eof: &'static str) -> Result<u8, Error> {
        match self.byte() {
            Some(byte) if byte > b' ' => Ok(byte),
            _ => self.skip_blanks(eof),
        }
    }

    #[cold]
    fn skip_blanks(&mut self, eof: &'static str) -> Result<u8, Error> {
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
