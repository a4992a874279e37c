//! Numbers: by the grammar of JSON, and within what 64 bits hold.

use super::{EOF_VALUE, Error, Reader};

/// A number as serde_json has it: whole where 64 bits hold it, else a float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Not negative.
    Unsigned(u64),
    /// Negative.
    Signed(i64),
    /// With a point or an exponent, beyond 64 bits, or `-0`.
    Float(f64),
}

/// Digits that fit into any 64 bits.
const SHORT: usize = 18;

impl<'a> Reader<'a> {
    /// Reads a number.
    pub fn number(&mut self) -> Result<Number, Error> {
        let start = self.at;
        let (raw, whole) = self.raw_number(start)?;
        if whole {
            if let Ok(value) = raw.parse() {
                return Ok(Number::Unsigned(value));
            }
            // Zero has a sign as a float only.
            if let Some(value) = raw.parse().ok().filter(|value| *value != 0) {
                return Ok(Number::Signed(value));
            }
        }
        self.float(raw).map(Number::Float)
    }

    pub(super) fn pass_number(&mut self) -> Result<(), Error> {
        let (raw, whole) = self.raw_number(self.at)?;
        if whole && raw.len() <= SHORT { Ok(()) } else { self.float(raw).map(drop) }
    }

    fn float(&self, raw: &str) -> Result<f64, Error> {
        match raw.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.fault_before("number out of range", self.at)),
        }
    }

    /// The text of a number, and whether it is a whole one.
    fn raw_number(&mut self, start: usize) -> Result<(&'a str, bool), Error> {
        let mut whole = true;
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
            whole = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok((self.text.get(start..self.at).unwrap_or_default(), whole))
    }

    /// One digit or more.
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
}
