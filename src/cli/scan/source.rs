//! Where the scanned objects come from: files, directories and standard input, read piece by piece, and the objects of a piece.

mod json;
mod yaml;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde_json::Value as Json;

use crate::cli::review::read::{broken, unroll};
use crate::cli::yaml as kubectl_yaml;
use portcullis_admission::kinds::Resource;
use portcullis_admission::review_builder::Document;

/// The API server takes 3 MiB per object, and a YAML `List` is one document.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct Location {
    /// Path as given, `-` or `cluster`.
    pub source: Arc<str>,
    /// From 1; 0 if the source has no lines.
    pub line: usize,
}

/// An unparsed document.
#[derive(Debug)]
pub enum Content {
    /// One JSON value, and what its list says about its items.
    Json(String, Option<Arc<ListDefaults>>),
    /// One YAML document.
    Yaml(String),
    /// The reason why it cannot be read.
    Broken(String),
}

/// Properties that a list states once for all of its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDefaults {
    /// `Pod`
    pub kind: String,
    /// `v1`
    pub api_version: String,
    /// Set if an API server named the resource.
    pub resource: Option<Resource>,
}

#[derive(Debug)]
pub struct Piece {
    pub place: Location,
    pub content: Content,
}

impl Piece {
    pub fn broken(source: &Arc<str>, line: usize, why: impl Into<String>) -> Self {
        let place = Location { source: Arc::clone(source), line };
        Self { place, content: Content::Broken(why.into()) }
    }

    /// Approximate size in bytes.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Json(text, _) | Content::Yaml(text) | Content::Broken(text) => text.len(),
        }
    }
}

/// Receives pieces; an error stops the reader.
pub type Emit<'a> = &'a mut dyn FnMut(Piece) -> anyhow::Result<()>;

/// What the reader skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// Files that are neither YAML nor JSON by name.
    pub other: usize,
    /// Excluded by `--exclude`.
    pub excluded: usize,
    /// Symbolic links, and directories whose name begins with a dot.
    pub hidden: usize,
}

#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    exclude: GlobSet,
}

impl Files {
    pub fn new(paths: Vec<PathBuf>, exclude: &[String]) -> anyhow::Result<Self> {
        for path in paths.iter().filter(|path| path.as_os_str() != "-") {
            std::fs::metadata(path).with_context(|| format!("`{}`", path.display()))?;
        }
        let mut globs = GlobSetBuilder::new();
        for pattern in exclude {
            globs.add(Glob::new(pattern).with_context(|| format!("--exclude `{pattern}`"))?);
        }
        Ok(Self { paths, exclude: globs.build()? })
    }

    /// Whether `--exclude` matches.
    pub fn excludes(&self, name: &str) -> bool {
        self.exclude.is_match(name)
    }

    /// Reads directories in order of name.
    pub fn read(&self, emit: Emit<'_>) -> anyhow::Result<PassedOver> {
        let mut passed = PassedOver::default();
        for path in &self.paths {
            if path.as_os_str() == "-" {
                text(&Arc::from("-"), &mut std::io::stdin().lock(), Form::Unknown, emit)?;
            } else if path.is_dir() {
                self.directory(path, emit, &mut passed)?;
            } else {
                file(path, emit)?;
            }
        }
        Ok(passed)
    }

    fn directory(&self, path: &Path, emit: Emit<'_>, passed: &mut PassedOver) -> anyhow::Result<()> {
        let entries = std::fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return emit(Piece::broken(&name(path), 0, error.to_string())),
        };
        entries.sort_unstable();
        for entry in entries {
            let hidden = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if self.exclude.is_match(&entry)
                || entry.file_name().is_some_and(|name| self.exclude.is_match(name))
            {
                passed.excluded += 1;
            } else if entry.is_dir() && (hidden || entry.is_symlink()) {
                passed.hidden += 1; // a link may lead back here
            } else if entry.is_dir() {
                self.directory(&entry, emit, passed)?;
            } else if Form::of(&entry).is_some() {
                file(&entry, emit)?;
            } else {
                passed.other += 1;
            }
        }
        Ok(())
    }
}

/// The format of a file, from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Yaml,
    Json,
    /// One object per line, so that a broken one affects no other.
    Lines,
    Unknown,
}

impl Form {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Lines),
            _ => None,
        }
    }
}

fn name(path: &Path) -> Arc<str> {
    Arc::from(path.display().to_string())
}

fn file(path: &Path, emit: Emit<'_>) -> anyhow::Result<()> {
    let form = Form::of(path).unwrap_or(Form::Unknown);
    match File::open(path) {
        Ok(file) => text(&name(path), &mut BufReader::with_capacity(64 * 1024, file), form, emit),
        Err(error) => emit(Piece::broken(&name(path), 0, error.to_string())),
    }
}

/// Without a known extension, a text that begins with a brace or bracket is JSON, as for kubectl.
fn text(source: &Arc<str>, reader: &mut dyn BufRead, form: Form, emit: Emit<'_>) -> anyhow::Result<()> {
    match form {
        Form::Lines => json::lines(source, reader, emit),
        Form::Json => json::values(source, reader, emit),
        Form::Yaml => yaml::documents(source, reader, emit),
        Form::Unknown => match first(reader) {
            Ok(Some(b'{' | b'[')) => json::values(source, reader, emit),
            Ok(_) => yaml::documents(source, reader, emit),
            Err(error) => emit(Piece::broken(source, 0, error.to_string())),
        },
    }
}

/// Returns the first byte that is not white space without consuming it.
fn first(reader: &mut dyn BufRead) -> std::io::Result<Option<u8>> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        let spaces = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if let Some(byte) = buffer.get(spaces) {
            return Ok(Some(*byte));
        }
        reader.consume(spaces);
    }
}

/// Reads a line with its line feed, at most `max` bytes.
fn line(reader: &mut dyn BufRead, into: &mut Vec<u8>, max: usize) -> anyhow::Result<usize> {
    let mut read = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n').map_or(buffer.len(), |at| at + 1);
        let Some(part) = buffer.get(..end).filter(|part| !part.is_empty()) else { return Ok(read) };
        if into.len() + part.len() > max {
            bail!("more than {max} bytes in one document; as JSON a `List` is read item by item");
        }
        into.extend_from_slice(part);
        let ended = part.ends_with(b"\n");
        reader.consume(end);
        read += end;
        if ended {
            return Ok(read);
        }
    }
}

/// A `List` of ten thousand Pods has about this many values.
const YAML_NODES_MAX: usize = 4_000_000;

/// An object, or the place and the reason why it cannot be read.
pub type ReadObject = Result<(Document, Option<Resource>), (Location, String)>;

/// A broken object affects no other object.
pub fn objects(piece: Piece) -> Vec<ReadObject> {
    let Piece { place, content } = piece;
    let failed = |line: usize, why: String| vec![Err((Location { line, ..place.clone() }, why))];
    match content {
        Content::Broken(why) => failed(place.line, why),
        Content::Json(text, of) => match serde_json::from_str::<Json>(&text) {
            Ok(value) => match of.as_deref() {
                // An item is never unrolled, even if it looks like a list.
                Some(of) => vec![document(of_list(value, of), place, of.resource.clone())],
                None => unrolled(vec![value], &place, &[]),
            },
            Err(error) => {
                let why = error.to_string();
                let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(before, _)| before);
                failed(place.line + error.line().saturating_sub(1), why.to_owned())
            }
        },
        Content::Yaml(text) => match kubectl_yaml::documents(&text, &options()) {
            Ok(values) => unrolled(values, &place, &item_lines(&text)),
            Err(error) => {
                let within = error.location().map_or(1, |at| usize::try_from(at.line()).unwrap_or(1));
                failed(place.line + within.saturating_sub(1), sentence(&error))
            }
        },
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        legacy_octal_numbers: true, // as kubectl reads `defaultMode: 0644`
        budget: serde_saphyr::budget! {
            max_nodes: YAML_NODES_MAX,
            max_events: 3 * YAML_NODES_MAX,
        },
    }
}

/// The parser's message without its position, which is reported separately, and without its advice to programmers.
fn sentence(error: &serde_saphyr::Error) -> String {
    let message = error.without_snippet().to_string();
    let line = message.lines().next().unwrap_or_default();
    let line = line.rsplit_once(" at line ").map_or(line, |(before, _)| before).trim_end_matches(':');
    line.split_once(", set DuplicateKeyPolicy").map_or(line, |(before, _)| before).to_owned()
}

fn of_list(mut value: Json, of: &ListDefaults) -> Json {
    if let Some(fields) = value.as_object_mut() {
        fields.entry("kind").or_insert_with(|| of.kind.as_str().into());
        fields.entry("apiVersion").or_insert_with(|| of.api_version.as_str().into());
    }
    value
}

fn unrolled(values: Vec<Json>, place: &Location, lines: &[usize]) -> Vec<ReadObject> {
    let mut objects = Vec::new();
    values.into_iter().filter(|value| !value.is_null()).for_each(|value| unroll(value, &mut objects));
    let known = lines.len() == objects.len();
    let at = |index: usize| lines.get(index).filter(|_| known).map_or(place.line, |line| place.line + line);
    let placed = objects.into_iter().enumerate();
    placed
        .map(|(index, value)| document(value, Location { line: at(index), ..place.clone() }, None))
        .collect()
}

fn document(value: Json, place: Location, resource: Option<Resource>) -> ReadObject {
    if let Some(why) = broken(&value) {
        return Err((place, why.to_owned()));
    }
    let source = place.source.to_string();
    Ok((Document { source, number: place.line, value, verbatim: None }, resource))
}

/// Guesses from the indentation on which lines the items of a `List` begin; used only if the count is right.
fn item_lines(text: &str) -> Vec<usize> {
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| line.trim_end() != "items:").skip(1);
    let Some((first, line)) = lines.next() else { return Vec::new() };
    let indent = line.len() - line.trim_start_matches(' ').len();
    let dash = format!("{}- ", " ".repeat(indent));
    if !line.starts_with(&dash) {
        return Vec::new();
    }
    let more = lines.filter(|(_, line)| line.starts_with(&dash)).map(|(at, _)| at);
    std::iter::once(first).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(usize, &str)]) {
        let place = Location { source: Arc::from("x"), line: 10 };
        let found: Vec<(usize, String)> = objects(Piece { place, content: Content::Yaml(text.to_owned()) })
            .into_iter()
            .map(|read| match read {
                Ok((document, _)) => (document.number, document.text("/kind").to_owned()),
                Err((place, why)) => (place.line, why),
            })
            .collect();
        assert_eq!(found.iter().map(|(line, text)| (*line, text.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn objects_with_their_lines() {
        check("apiVersion: v1\nkind: Pod\n", &[(10, "Pod")]);
        let list = "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n- apiVersion: v1\n  kind: Secret\nkind: List\n";
        check(list, &[(12, "Pod"), (14, "Secret")]);
        check("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod}]\n", &[(10, "Pod")]);
        check(
            "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n  a: \"one\n  two\"\n- apiVersion: v1\n  kind: Secret\nkind: List\n",
            &[(12, "Pod"), (16, "Secret")],
        );
        check("a: 1\n", &[(10, "no Kubernetes object; it needs `apiVersion` and `kind`")]);
    }

    #[test]
    fn what_is_broken_is_named_in_its_line() {
        let place = Location { source: Arc::from("x"), line: 10 };
        let read = objects(Piece { place, content: Content::Yaml("a: 1\nb: [\n".to_owned()) });
        assert!(matches!(read.as_slice(), [Err((place, _))] if place.line >= 11), "{read:?}");
    }
}
