//! Image references, parsed once and normalised, so that no policy compares raw text.
//!
//! `registry.example.com.evil.io/x`, `nginx:1/2` and `registry.example.com:5000` all pass a prefix comparison.
//! Parsing runs for every image of every review, hence no regex and no intermediate copies.

mod entry;
mod grammar;

pub use entry::{EntryError, RegistryEntry};

use grammar::Parts;

/// If `valid` is false, every field except `raw` and `reason` is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// As in the object, any length.
    pub raw: String,
    /// The text matches the grammar of distribution/reference. Policies check `ok`, not this.
    pub valid: bool,
    /// Valid, and every runtime reads it the same way: registry present, lower case, reachable, no local image id.
    pub ok: bool,
    /// Why not `ok`, one word of the vocabulary of `images.jsonl` (`invalid-format`, `empty-registry`, …); empty when `ok`.
    pub reason: String,
    /// Host with its port if written, `docker.io` where the text names none; empty only with reason `empty-registry`.
    pub registry: String,
    /// Path inside the registry, at most 255 bytes, `library/` inserted for Docker Hub.
    pub repository: String,
    /// Tag, at most 128 bytes; `latest` where neither tag nor digest is written; empty with a digest alone.
    pub tag: String,
    /// The tag `latest` was filled in.
    pub tag_defaulted: bool,
    /// `sha256:` with 64 or `sha512:` with 128 lower-case hex digits, or empty.
    pub digest: String,
    /// `registry/repository[:tag][@digest]`; reading it again gives the same parts.
    pub canonical: String,
}

impl Image {
    /// Parses a reference of any length. Never fails: policies check `ok` and `reason`.
    pub fn parse(raw: &str) -> Self {
        match grammar::read(raw) {
            Ok(parts) => Self::of(raw, &parts),
            Err(reason) => Self {
                raw: raw.to_owned(),
                valid: false,
                ok: false,
                reason: reason.to_owned(),
                registry: String::new(),
                repository: String::new(),
                tag: String::new(),
                tag_defaulted: false,
                digest: String::new(),
                canonical: String::new(),
            },
        }
    }

    fn of(raw: &str, parts: &Parts<'_>) -> Self {
        let reason = grammar::objection(parts).unwrap_or_default();
        let tag_defaulted = parts.tag.is_none() && parts.digest.is_none();
        let tag = if tag_defaulted { "latest" } else { parts.tag.unwrap_or_default() };
        let digest = parts.digest.unwrap_or_default();
        let repository = [parts.path_prefix, parts.path].concat();
        Self {
            canonical: canonical(parts.registry, &repository, tag, digest),
            raw: raw.to_owned(),
            valid: true,
            ok: reason.is_empty(),
            reason: reason.to_owned(),
            registry: parts.registry.to_owned(),
            repository,
            tag: tag.to_owned(),
            tag_defaulted,
            digest: digest.to_owned(),
        }
    }
}

fn canonical(registry: &str, repository: &str, tag: &str, digest: &str) -> String {
    let slash = if registry.is_empty() { "" } else { "/" };
    let colon = if tag.is_empty() { "" } else { ":" };
    let at = if digest.is_empty() { "" } else { "@" };
    [registry, slash, repository, colon, tag, at, digest].concat()
}

#[cfg(test)]
mod tests;
