//! The source of an app: one of six kinds, the same for apps and for catalog items.
//!
//! [`shape`] is its schema, with every bound; what is checked here is what a schema cannot say. Nothing of it repeats a
//! value that somebody sent: what looks like a credential is named by its place alone.

pub mod shape;

pub mod images;

pub mod law;

pub mod secrets;

pub mod check;
mod cluster_scoped;

pub mod reference;

mod neighbours;

pub mod world;

pub use shape::Source;

use serde_json::Value;

use super::problem::Fault;
use portcullis_tenancy::source::SourceKind;

/// Nesting of what an author writes freely (`values`, `manifest`, `parameters`, components): deeper than any chart goes,
/// and far from what a reader's stack could mind.
pub const DEPTH_MAX: usize = 32;

/// Bytes of one source as JSON: an app is kept once more with each revision.
pub const BYTES_MAX: usize = 256 * 1024;

/// The one kind that a source has, or why it has none.
///
/// `at` is where the source stands in what was sent.
///
/// # Errors
/// No kind, or several: one issue for each member that is too many.
pub fn kind(source: &Value, at: &str) -> Result<SourceKind, Vec<Fault>> {
    let kinds = SourceKind::ALL.into_iter().filter(|kind| source.get(kind.as_str()).is_some());
    let kinds: Vec<SourceKind> = kinds.collect();
    match kinds.as_slice() {
        [one] => Ok(*one),
        [] => {
            let words = SourceKind::ALL.map(|kind| format!("`{}`", kind.as_str())).join(", ");
            Err(vec![Fault::new(at, format!("a source has exactly one of {words}; this has none"))])
        }
        several => {
            let words: Vec<String> = several.iter().map(|kind| format!("`{}`", kind.as_str())).collect();
            let detail = format!("a source has exactly one kind; this has {}", words.join(", "));
            let issue = |kind: &SourceKind| Fault::new(join(at, kind.as_str()), detail.clone());
            Err(several.iter().map(issue).collect())
        }
    }
}

/// What is longer or deeper than may be kept.
pub fn bounds(document: &Value, at: &str) -> Vec<Fault> {
    let mut issues = Vec::new();
    if let Some(pointer) = too_deep(document, at, DEPTH_MAX) {
        issues.push(Fault::new(pointer, format!("is nested deeper than {DEPTH_MAX} levels")));
    }
    let length = document.to_string().len();
    if length > BYTES_MAX {
        let detail = format!("has {length} bytes as JSON (allowed: at most {BYTES_MAX})");
        issues.push(Fault::new(at, detail));
    }
    issues
}

/// Where the first value stands that is nested too deep.
fn too_deep(value: &Value, at: &str, left: usize) -> Option<String> {
    let Some(below) = left.checked_sub(1) else {
        return (value.is_object() || value.is_array()).then(|| at.to_owned());
    };
    members(value, at).find_map(|(pointer, member)| too_deep(member, &pointer, below))
}

/// The members of an object or the elements of a list, each with its pointer; none of anything else.
fn members<'a>(value: &'a Value, at: &'a str) -> impl Iterator<Item = (String, &'a Value)> {
    let fields = value.as_object().into_iter().flatten().map(|(key, value)| (join(at, key), value));
    let items = value.as_array().into_iter().flatten().enumerate();
    fields.chain(items.map(move |(index, value)| (format!("{at}/{index}"), value)))
}

/// A pointer, one member further.
pub fn join(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests;
