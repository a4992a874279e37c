//! Problems of a document. The caller of the snapshot logs a `SnapshotError` once.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write as _};

/// Problems in one error; further ones are counted.
pub(super) const PROBLEMS_MAX: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("`{file}` has {length} bytes (allowed: at most {max})")]
    TooLarge { file: String, length: usize, max: usize },
    /// An empty tenancy would release every tenant namespace, so it is never assumed.
    #[error("`{file}` is empty (allowed: a document with `ledger`, `revision` and `tenants`)")]
    Empty { file: String },
    #[error("`{file}` is not UTF-8 from byte {offset} on")]
    Encoding {
        file: String,
        /// Of the first invalid byte, from 0.
        offset: usize,
    },
    #[error("`{file}` line {line}, column {column}: {message}")]
    Syntax {
        file: String,
        /// From 1; 0 if unknown.
        line: u64,
        /// From 1; 0 if unknown.
        column: u64,
        message: String,
    },
    #[error("`{file}` has {total} {}:{}", if *.total == 1 { "problem" } else { "problems" }, list(.problems, *.total))]
    Invalid {
        file: String,
        /// The first 20.
        problems: Vec<Problem>,
        total: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path such as `tenants.acme.registries[1]`.
    pub path: String,
    /// What was found, with the text quoted and cut.
    pub found: String,
    /// What is allowed; empty if `found` says it.
    pub allowed: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.found)?;
        if self.allowed.is_empty() { Ok(()) } else { write!(f, " (allowed: {})", self.allowed) }
    }
}

fn list(problems: &[Problem], total: usize) -> String {
    let mut text = String::new();
    for problem in problems {
        let _ = write!(text, "\n  {problem}");
    }
    if total > problems.len() {
        let _ = write!(text, "\n  and {} more", total - problems.len());
    }
    text
}

/// Section and key of an entry; the key is empty for `settings`, `policies` and others.
pub(super) type EntryKey = (String, String);

/// A path in the document.
pub(super) trait Location: Display {
    /// The entry that contains it.
    fn entry(&self) -> EntryKey {
        let path = self.to_string();
        let section = path.split(['.', '[']).next().unwrap_or_default();
        (section.to_owned(), String::new())
    }
}

impl Location for str {}
impl Location for String {}
impl Location for fmt::Arguments<'_> {}

impl<P: Location + ?Sized> Location for &P {
    fn entry(&self) -> EntryKey {
        (**self).entry()
    }
}

impl Location for At<'_> {
    fn entry(&self) -> EntryKey {
        (self.section.to_owned(), self.key.to_owned())
    }
}

/// Malformed entries that were left out, so that references to them are not reported too.
#[derive(Debug, Default)]
pub(super) struct Dropped(pub(super) BTreeSet<(String, String)>);

impl Dropped {
    pub(super) fn holds(&self, section: &str, key: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&(section.to_owned(), key.to_owned()))
    }
}

/// Collects problems; formats only the first ones.
#[derive(Debug, Default)]
pub(super) struct Problems {
    reported: Vec<Problem>,
    total: usize,
    /// Every entry with a problem, including those that are only counted.
    entries: BTreeSet<EntryKey>,
}

impl Problems {
    pub(super) fn add(&mut self, path: impl Location, found: impl Display, allowed: impl Display) {
        self.entries.insert(path.entry());
        self.keep(path, found, allowed);
    }

    /// As [`Problems::add`], for a path whose entry the caller knows.
    pub(super) fn add_in(
        &mut self,
        entry: EntryKey,
        path: impl Display,
        found: impl Display,
        allowed: impl Display,
    ) {
        self.entries.insert(entry);
        self.keep(path, found, allowed);
    }

    pub(super) const fn entries(&self) -> &BTreeSet<EntryKey> {
        &self.entries
    }

    fn keep(&mut self, path: impl Display, found: impl Display, allowed: impl Display) {
        self.total += 1;
        if self.reported.len() < PROBLEMS_MAX {
            let problem =
                Problem { path: path.to_string(), found: found.to_string(), allowed: allowed.to_string() };
            self.reported.push(problem);
        }
    }

    /// Adds an error whose message names what is allowed.
    pub(super) fn add_error(&mut self, path: impl Location, error: impl Display) {
        self.add(path, error, "");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(super) fn into_result(self, file: &str) -> Result<(), SnapshotError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(SnapshotError::Invalid { file: file.to_owned(), problems: self.reported, total: self.total })
    }
}

/// A path in one of the document's four maps: `tenants.acme.registries[1]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    section: &'static str,
    key: &'a str,
    field: &'static str,
    index: Option<usize>,
    /// A field of the item at `index`.
    within: &'static str,
}

impl<'a> At<'a> {
    pub(super) fn item(section: &'static str, key: &'a str) -> Self {
        Self { section, key, field: "", index: None, within: "" }
    }

    pub(super) fn field(self, field: &'static str) -> Self {
        if self.index.is_some() { Self { within: field, ..self } } else { Self { field, ..self } }
    }

    pub(super) fn index(self, index: usize) -> Self {
        Self { index: Some(index), ..self }
    }
}

impl Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.section)?;
        write_key(f, self.key)?;
        if !self.field.is_empty() {
            write!(f, ".{}", self.field)?;
        }
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))?;
        if self.within.is_empty() { Ok(()) } else { write!(f, ".{}", self.within) }
    }
}

/// `.key`, or `["key"]`, cut and escaped, where a dot would be ambiguous.
pub(super) fn write_key(out: &mut impl fmt::Write, key: &str) -> fmt::Result {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
    if !key.is_empty() && key.len() <= 100 && key.bytes().all(plain) {
        return write!(out, ".{key}");
    }
    let shown = crate::text::quoted(key);
    write!(out, "[\"{}\"]", shown.trim_matches('`'))
}
