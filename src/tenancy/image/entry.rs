//! An entry of a registry allowlist: a registry, or a path in one, and everything below it.

use super::Image;
use super::grammar::{self, LENGTH_MAX, host_objection, split_port};

use crate::text::quoted;

/// `registry` or `registry/path`, exact, lower case; matches at path boundaries only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistryEntry {
    registry: Box<str>,
    path: Box<str>,
}

/// Why a text is no entry, and what to write instead if that is known. Texts are quoted and cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("registry entry is empty; write a registry such as `registry.example.com` or a path in one")]
    Empty,
    #[error("registry entry has {length} characters (allowed: at most {LENGTH_MAX})")]
    TooLong { length: usize },
    #[error("registry entry {entry} holds {what}; write {instead}")]
    Surplus {
        entry: String,
        /// `a scheme`, `a tag`, `a digest`, `a wildcard`, `a trailing slash`, `upper case`.
        what: &'static str,
        instead: String,
    },
    #[error("registry entry {entry} holds {found} (allowed: lower-case letters, digits and `.:/_-[]`)")]
    Character { entry: String, found: String },
    /// Images are compared in normalised form, so an entry without a registry would never match.
    #[error("registry entry {entry} names no registry; write {instead}")]
    NoRegistry { entry: String, instead: String },
    #[error(
        "registry entry {entry} names no valid registry: {reason} (allowed: a DNS name, an address or `[IPv6]`, with a port from 1 to 65535 if any)"
    )]
    Registry {
        entry: String,
        /// A word of the vocabulary of `images.jsonl`.
        reason: &'static str,
    },
    #[error(
        "registry entry {entry} has an invalid path (allowed: parts of lower-case letters and digits joined by `.`, `_`, `__` or `-`, with one `/` between, at most 255 characters)"
    )]
    Path { entry: String },
}

impl RegistryEntry {
    /// Parses an entry strictly: a mistake must be reported, not silently never match.
    pub fn parse(text: &str) -> Result<Self, EntryError> {
        check_surplus(text)?;
        let (registry, path) = text.split_once('/').unwrap_or((text, ""));
        check_registry(text, registry)?;
        let probe = if path.is_empty() { "x" } else { path };
        let probe = [registry, "/", probe].concat();
        match grammar::read(&probe) {
            Ok(parts) if parts.tag.is_none() && parts.digest.is_none() => {
                Ok(Self { registry: registry.into(), path: path.into() })
            }
            Ok(_) | Err(_) => Err(EntryError::Path { entry: quoted(text) }),
        }
    }

    /// Whether the image is below this entry; never for an image that is not `ok`.
    pub fn admits(&self, image: &Image) -> bool {
        image.ok && *self.registry == *image.registry && self.holds(&image.repository)
    }

    /// Whether everything that this entry admits, `wider` admits too.
    pub fn is_within(&self, wider: &RegistryEntry) -> bool {
        self.registry == wider.registry && wider.holds(&self.path)
    }

    fn holds(&self, path: &str) -> bool {
        let below = path.strip_prefix(&*self.path);
        self.path.is_empty() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl std::fmt::Display for RegistryEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slash = if self.path.is_empty() { "" } else { "/" };
        write!(f, "{}{slash}{}", self.registry, self.path)
    }
}

fn check_surplus(text: &str) -> Result<(), EntryError> {
    let surplus = |what, instead: &str| {
        Err(EntryError::Surplus { entry: quoted(text), what, instead: quoted(instead) })
    };
    if text.is_empty() {
        return Err(EntryError::Empty);
    }
    if text.len() > LENGTH_MAX {
        return Err(EntryError::TooLong { length: text.len() });
    }
    if let Some((_, rest)) = text.split_once("://") {
        return surplus("a scheme", rest.trim_end_matches('/'));
    }
    if let Some((before, _)) = text.split_once('*') {
        let instead = before.trim_end_matches(['/', '.', '-', ':']);
        let instead = if instead.is_empty() { "each registry by name" } else { instead };
        return surplus("a wildcard, and an entry covers what is below it", instead);
    }
    if let Some((before, _)) = text.split_once('@') {
        return surplus("a digest", before);
    }
    if text.ends_with('/') {
        return surplus("a trailing slash", text.trim_end_matches('/'));
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return surplus("upper case", &text.to_ascii_lowercase());
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || ".:/_-[]".contains(*c))) {
        Some(c) => {
            Err(EntryError::Character { entry: quoted(text), found: quoted(c.encode_utf8(&mut [0; 4])) })
        }
        None => check_tag(text),
    }
}

/// A colon after the last slash is a tag, unless the entry is a registry alone and digits follow: then it is a port.
fn check_tag(text: &str) -> Result<(), EntryError> {
    let tail = text.rsplit_once('/').map_or(text, |(_, tail)| tail);
    let alone = tail.len() == text.len();
    let (_, after) =
        if alone { split_port(text) } else { ("", tail.split_once(':').map(|(_, after)| after)) };
    match after {
        Some(tag) if !alone || !tag.bytes().all(|b| b.is_ascii_digit()) => {
            let untagged = text.strip_suffix(tag).unwrap_or(text).trim_end_matches(':');
            Err(EntryError::Surplus { entry: quoted(text), what: "a tag", instead: quoted(untagged) })
        }
        _ => Ok(()),
    }
}

fn check_registry(text: &str, registry: &str) -> Result<(), EntryError> {
    if registry == "index.docker.io" {
        let instead = quoted(text.strip_prefix("index.").unwrap_or(text));
        return Err(EntryError::Surplus { entry: quoted(text), what: "an alias of Docker Hub", instead });
    }
    if registry != "localhost" && !registry.contains(['.', ':']) {
        let library = if registry.len() == text.len() { "library/" } else { "" };
        let instead = quoted(&["docker.io/", library, text].concat());
        return Err(EntryError::NoRegistry { entry: quoted(text), instead });
    }
    let reason = if grammar::is_domain(registry) { host_objection(registry) } else { Some(grammar::INVALID) };
    reason.map_or(Ok(()), |reason| Err(EntryError::Registry { entry: quoted(text), reason }))
}
