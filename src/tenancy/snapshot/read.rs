//! Bytes to wire types, JSON or YAML, bounded.
//!
//! The fast way is one typed pass. Only when it fails is the text read again without types, so that every misshapen
//! place can be named and not just the first; what is left then goes on to be checked for its meaning.

use std::collections::BTreeSet;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::error::{Problems, SnapshotError};
use super::shape;
use super::wire::Document;

/// Bytes of a document, at most: 30 times that of 1,000 tenants and 10,000 namespaces.
pub const LENGTH_MAX: usize = 64 * 1024 * 1024;
/// A namespace is 13 nodes and an app 5: room for 100,000 of each.
const YAML_NODES_MAX: usize = 2_000_000;

/// A document, less what was misshapen.
pub(super) struct Reading {
    pub(super) document: Document,
    pub(super) dropped: Dropped,
    pub(super) problems: Problems,
}

/// Entries of the document's maps that were left out as misshapen: to refer to one is no second problem.
#[derive(Debug, Default)]
pub(super) struct Dropped(pub(super) BTreeSet<(String, String)>);

impl Dropped {
    pub(super) fn holds(&self, section: &str, key: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&(section.to_owned(), key.to_owned()))
    }
}

#[derive(Clone, Copy)]
enum Format {
    Json,
    Yaml,
}

struct Broken {
    line: u64,
    column: u64,
    message: String,
}

/// Reads a document; the problems in the result are those of shape.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Reading, SnapshotError> {
    if bytes.len() > LENGTH_MAX {
        return Err(SnapshotError::TooLarge { file: file.to_owned(), length: bytes.len(), max: LENGTH_MAX });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| SnapshotError::Encoding { file: file.to_owned(), offset: error.valid_up_to() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(SnapshotError::Empty { file: file.to_owned() });
    }
    let flow = text.trim_start().starts_with('{');
    let named_yaml = [".yaml", ".yml"].iter().any(|end| file.ends_with(end));
    let format = match flow {
        // `{a: 1}` is YAML too, and only the file's name can say that it was meant.
        true if named_yaml && parse::<IgnoredAny>(Format::Json, text).is_err() => Format::Yaml,
        true => Format::Json,
        false => Format::Yaml,
    };
    typed(file, text, format)
}

fn typed(file: &str, text: &str, format: Format) -> Result<Reading, SnapshotError> {
    let first = match parse::<Document>(format, text) {
        Ok(document) => {
            return Ok(Reading { document, dropped: Dropped::default(), problems: Problems::default() });
        }
        Err(first) => first,
    };
    let syntax = |Broken { line, column, message }: Broken| SnapshotError::Syntax {
        file: file.to_owned(),
        line,
        column,
        message,
    };
    let value = parse::<Value>(format, text).map_err(syntax)?;
    if value.is_null() {
        return Err(SnapshotError::Empty { file: file.to_owned() });
    }
    // Without a misshapen place it is what only the typed pass sees: a field given twice.
    examined(file, value, || syntax(first))
}

/// A document, or a part of one, that is no text any more; the problems in the result are those of shape.
pub(super) fn value(name: &str, value: Value) -> Result<Reading, SnapshotError> {
    match serde_json::from_value::<Document>(value.clone()) {
        Ok(document) => Ok(Reading { document, dropped: Dropped::default(), problems: Problems::default() }),
        Err(error) => examined(name, value, || SnapshotError::Syntax {
            file: name.to_owned(),
            line: 0,
            column: 0,
            message: error.to_string(),
        }),
    }
}

fn examined(
    file: &str,
    value: Value,
    other: impl FnOnce() -> SnapshotError,
) -> Result<Reading, SnapshotError> {
    let mut problems = Problems::default();
    let whole = shape::examine(value, &mut problems);
    if problems.is_empty() {
        return Err(other());
    }
    match whole {
        Some((document, dropped)) => Ok(Reading { document, dropped, problems }),
        None => Err(problems.into_result(file).err().unwrap_or_else(other)),
    }
}

fn parse<T: DeserializeOwned>(format: Format, text: &str) -> Result<T, Broken> {
    match format {
        Format::Json => serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
            Broken { line: error.line() as u64, column: error.column() as u64, message: message.to_owned() }
        }),
        Format::Yaml => serde_saphyr::from_str_with_options(text, yaml_options()).map_err(|error| {
            let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
            Broken { line, column, message: yaml_message(&error) }
        }),
    }
}

fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        // A slug written `017` or `yes` is text in one place and a number in another: quotes settle it.
        no_schema: true,
        with_snippet: false,
        reject_unsupported_tags: true,
        budget: serde_saphyr::budget! {
            max_nodes: YAML_NODES_MAX,
            max_events: 2 * YAML_NODES_MAX,
            max_documents: 1,
        },
    }
}

/// The parser's sentence without the position that it appends, which we name ourselves, and without its advice to
/// whoever calls it, which is not for whoever wrote the document.
fn yaml_message(error: &serde_saphyr::Error) -> String {
    let message = error.to_string();
    let line = message.lines().next().unwrap_or_default();
    let line = line.rsplit_once(" at line ").map_or(line, |(before, _)| before).trim_end_matches(':');
    line.split_once(", set DuplicateKeyPolicy").map_or(line, |(before, _)| before).to_owned()
}
