//! Where objects come from: files below a directory, standard input; one document at a time, never a file as a whole.

mod json;
mod yaml;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use globset::{Glob, GlobSet, GlobSetBuilder};
use portcullis_admission::ask::kinds::Resource;

/// Bytes of one document; the API server takes 3 MiB an object, and a YAML `List` is one document.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where something stands.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file as it was given, `-` or `cluster`.
    pub source: Arc<str>,
    /// From 1; 0 where there are no lines.
    pub line: usize,
}

/// A document as it was found, not yet read.
#[derive(Debug)]
pub enum Content {
    /// One JSON value, and what its list says of its items.
    Json(String, Option<Arc<Of>>),
    /// One YAML document.
    Yaml(String),
    /// What cannot be read, and why.
    Broken(String),
}

/// What a list says of its items, which do not say it themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Of {
    /// `Pod`
    pub kind: String,
    /// `v1`
    pub api_version: String,
    /// The resource, where an API server named it.
    pub resource: Option<Resource>,
}

/// A document and its place.
#[derive(Debug)]
pub struct Piece {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub content: Content,
}

impl Piece {
    /// What cannot be read.
    pub fn broken(source: &Arc<str>, line: usize, why: impl Into<String>) -> Self {
        let place = Place { source: Arc::clone(source), line };
        Self { place, content: Content::Broken(why.into()) }
    }

    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Json(text, _) | Content::Yaml(text) | Content::Broken(text) => text.len(),
        }
    }
}

/// Takes pieces; an error ends the reading, because nobody wants more.
pub type Emit<'a> = &'a mut dyn FnMut(Piece) -> anyhow::Result<()>;

/// What was passed over on the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// Files that are neither YAML nor JSON by their name.
    pub other: usize,
    /// Files and directories that `--exclude` names.
    pub excluded: usize,
    /// Directories that are symbolic links, or begin with a dot.
    pub hidden: usize,
}

/// Files, directories and standard input.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    exclude: GlobSet,
}

impl Files {
    /// What was named on the command line.
    ///
    /// # Errors
    /// A path that is not there, a pattern that is none.
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

    /// Whether `--exclude` names this.
    pub fn excludes(&self, name: &str) -> bool {
        self.exclude.is_match(name)
    }

    /// Reads everything, in order of name.
    ///
    /// # Errors
    /// Only that nobody wants more; what cannot be read is a piece itself.
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

/// What a name says of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Yaml,
    Json,
    /// An object a line, so that a broken one spoils no other.
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

/// A text by its form; what says nothing of itself is JSON where it begins with a brace, as kubectl has it.
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

/// The first byte that is no space, still to be read.
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

/// A line with its feed, at most `max` bytes of it.
///
/// # Errors
/// The reader's own, or a line that is longer.
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
