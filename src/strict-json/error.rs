//! What is wrong with a text, and where.

use super::{Kind, Reader, Text};

/// What is wrong, and where. Small, because every step of the reader returns one or not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Fault>);

#[derive(Debug, thiserror::Error)]
#[error("{what} at line {line} column {column}")]
struct Fault {
    what: String,
    line: usize,
    column: usize,
    /// Whether the text is JSON as far as it was read, and says what it must not.
    meaning: bool,
}

impl Error {
    /// Names the part of the text that does not mean what it must; what is no JSON has its line and column.
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        if self.0.meaning {
            self.0.what = format!("{part}: {}", self.0.what);
        }
        self
    }
}

impl Reader<'_> {
    /// Something wrong with the character that comes next, or with its absence.
    #[cold]
    pub(super) fn fault(&self, what: &'static str) -> Error {
        self.fault_before(what, self.at + 1)
    }

    /// Something wrong with what ends before a place.
    #[cold]
    pub(super) fn fault_before(&self, what: &str, end: usize) -> Error {
        let bytes = self.text.as_bytes();
        let passed = bytes.get(..end).unwrap_or(bytes);
        let start = passed.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = passed.split(|byte| *byte == b'\n').count();
        let column = passed.len() - start;
        Error(Box::new(Fault { what: what.to_owned(), line, column, meaning: false }))
    }

    #[cold]
    pub(super) fn twice(&self, key: Text<'_>) -> Error {
        let short: String = key.read().chars().take(64).collect();
        self.meaning(&format!("key `{}` stands twice in one object", short.escape_debug()), self.at)
    }

    /// The next value is not what is expected, which is said in words.
    #[cold]
    pub fn unexpected(&mut self, expected: &str) -> Error {
        match self.found() {
            Ok(found) => self.meaning(&format!("invalid type: {found}, expected {expected}"), self.at),
            Err(error) => error,
        }
    }

    /// What was just read is JSON and cannot be part of a review.
    #[cold]
    pub fn refuse(&self, what: &str) -> Error {
        self.meaning(what, self.at)
    }

    fn found(&mut self) -> Result<String, Error> {
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

    fn meaning(&self, what: &str, end: usize) -> Error {
        let mut error = self.fault_before(what, end);
        error.0.meaning = true;
        error
    }
}
