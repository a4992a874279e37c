//! Why a document is no snapshot. `SnapshotError` is for whoever brought the document; the caller logs it once.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write as _};

/// Problems spelt out in one error; the rest is counted.
pub(super) const PROBLEMS_MAX: usize = 20;

/// Why a document was refused. The file name is as given by the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Over 64 MiB; 10,000 namespaces take 2.
    #[error("`{file}` has {length} bytes (allowed: at most {max})")]
    TooLarge {
        /// Where it came from.
        file: String,
        /// Its length in bytes.
        length: usize,
        /// The bound in bytes.
        max: usize,
    },
    /// Nothing in it. An empty world would release every tenant namespace, so it is never assumed.
    #[error("`{file}` is empty (allowed: a document with `ledger`, `revision` and `tenants`)")]
    Empty {
        /// Where it came from.
        file: String,
    },
    /// Not UTF-8.
    #[error("`{file}` is not UTF-8 from byte {offset} on")]
    Encoding {
        /// Where it came from.
        file: String,
        /// Offset of the first byte that is not, from 0.
        offset: usize,
    },
    /// Neither JSON nor YAML, or a key twice.
    #[error("`{file}` line {line}, column {column}: {message}")]
    Syntax {
        /// Where it came from.
        file: String,
        /// From 1; 0 where unknown.
        line: u64,
        /// From 1; 0 where unknown.
        column: u64,
        /// What the parser says.
        message: String,
    },
    /// Well-formed and wrong: every problem, in the document's order of sections.
    #[error("`{file}` has {total} {}:{}", if *.total == 1 { "problem" } else { "problems" }, list(.problems, *.total))]
    Invalid {
        /// Where it came from.
        file: String,
        /// The first 20.
        problems: Vec<Problem>,
        /// How many there are.
        total: usize,
    },
}

/// One thing wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `tenants.acme.registries[1]`.
    pub path: String,
    /// What is there, in words, with the text quoted and cut.
    pub found: String,
    /// What may be there; empty where `found` says it.
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

/// An entry of the document: its section, and its key in the section, which is empty for `settings`, `law` and others.
pub(super) type EntryKey = (String, String);

/// A place in the document, as a problem names it.
pub(super) trait Place: Display {
    /// The entry that it is in.
    fn entry(&self) -> EntryKey {
        let path = self.to_string();
        let section = path.split(['.', '[']).next().unwrap_or_default();
        (section.to_owned(), String::new())
    }
}

impl Place for str {}
impl Place for String {}
impl Place for fmt::Arguments<'_> {}

impl<P: Place + ?Sized> Place for &P {
    fn entry(&self) -> EntryKey {
        (**self).entry()
    }
}

impl Place for At<'_> {
    fn entry(&self) -> EntryKey {
        (self.section.to_owned(), self.key.to_owned())
    }
}

/// Collects problems; formats no more than it keeps.
#[derive(Debug, Default)]
pub(super) struct Problems {
    kept: Vec<Problem>,
    total: usize,
    /// Every entry that has one, those of the problems that are not kept too.
    entries: BTreeSet<EntryKey>,
}

impl Problems {
    pub(super) fn add(&mut self, path: impl Place, found: impl Display, allowed: impl Display) {
        self.entries.insert(path.entry());
        self.keep(path, found, allowed);
    }

    /// The same for a place whose entry the caller knows.
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

    /// Entries that have a problem.
    pub(super) const fn entries(&self) -> &BTreeSet<EntryKey> {
        &self.entries
    }

    fn keep(&mut self, path: impl Display, found: impl Display, allowed: impl Display) {
        self.total += 1;
        if self.kept.len() < PROBLEMS_MAX {
            let problem =
                Problem { path: path.to_string(), found: found.to_string(), allowed: allowed.to_string() };
            self.kept.push(problem);
        }
    }

    /// Adds an error whose own sentence says what is allowed.
    pub(super) fn add_error(&mut self, path: impl Place, error: impl Display) {
        self.add(path, error, "");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(super) fn into_result(self, file: &str) -> Result<(), SnapshotError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(SnapshotError::Invalid { file: file.to_owned(), problems: self.kept, total: self.total })
    }
}

/// A place in one of the document's four maps: `tenants.acme.registries[1]`.
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

/// `.key`, or `["key"]` cut and escaped where the dot would mislead.
pub(super) fn write_key(out: &mut impl fmt::Write, key: &str) -> fmt::Result {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/');
    if !key.is_empty() && key.len() <= 100 && key.bytes().all(plain) {
        return write!(out, ".{key}");
    }
    let shown = crate::text::quoted(key);
    write!(out, "[\"{}\"]", shown.trim_matches('`'))
}
