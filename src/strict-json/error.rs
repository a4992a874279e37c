//! Errors with line and column, in serde_json's words.

use super::{Kind, Reader, Text};

/// Why a text was rejected. Boxed, because every step of the reader returns a result.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Fault>);

#[derive(Debug, thiserror::Error)]
#[error("{message} at line {line} column {column}")]
struct Fault {
    message: String,
    line: usize,
    column: usize,
    /// The text is valid JSON so far, but its content is rejected.
    semantic: bool,
}

impl Error {
    /// Prefixes a rejection with the field. Syntax errors have line and column only.
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        if self.0.semantic {
            self.0.message = format!("{part}: {}", self.0.message);
        }
        self
    }
}

impl Reader<'_> {
    /// An error at the next character or at the end of the text.
    #[cold]
    pub(super) fn fault(&self, message: &'static str) -> Error {
        self.fault_before(message, self.at + 1)
    }

    /// An error at the character before `end`.
    #[cold]
    pub(super) fn fault_before(&self, message: &str, end: usize) -> Error {
        let bytes = self.text.as_bytes();
        let passed = bytes.get(..end).unwrap_or(bytes);
        let start = passed.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = passed.split(|byte| *byte == b'\n').count();
        let column = passed.len() - start;
        Error(Box::new(Fault { message: message.to_owned(), line, column, semantic: false }))
    }

    #[cold]
    pub(super) fn duplicate_key(&self, key: Text<'_>) -> Error {
        let short: String = key.read().chars().take(64).collect();
        self.semantic(&format!("duplicate key `{}` in one object", short.escape_debug()), self.at)
    }

    /// The next value has another type than `expected`.
    #[cold]
    pub fn unexpected(&mut self, expected: &str) -> Error {
        match self.describe() {
            Ok(found) => self.semantic(&format!("invalid type: {found}, expected {expected}"), self.at),
            Err(error) => error,
        }
    }

    /// Rejects the value that was just read.
    #[cold]
    pub fn refuse(&self, message: &str) -> Error {
        self.semantic(message, self.at)
    }

    fn describe(&mut self) -> Result<String, Error> {
        let kind = self.kind()?;
        let start = self.at;
        self.skip()?;
        let raw = self.text.get(start..self.at).unwrap_or_default();
        Ok(match kind {
            Kind::Null => raw.to_owned(),
            Kind::Bool => format!("boolean `{raw}`"),
            Kind::Number if raw.contains(['.', 'e', 'E']) => format!("floating point `{raw}`"),
            Kind::Number => format!("integer `{raw}`"),
            Kind::Text => format!("string {raw}"),
            Kind::List => "sequence".to_owned(),
            Kind::Object => "map".to_owned(),
        })
    }

    fn semantic(&self, message: &str, end: usize) -> Error {
        let mut error = self.fault_before(message, end);
        error.0.semantic = true;
        error
    }
}
