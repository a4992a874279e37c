//! The structure of a source: its kind, its size and depth, and JSON pointers into it.

use serde_json::Value;

use crate::problem::Fault;
use portcullis_tenancy::source::SourceKind;

/// Nesting of what an author writes freely (`values`, `manifest`, `parameters`, components): deeper than any chart goes,
/// and far from what a reader's stack could mind.
pub const DEPTH_MAX: usize = 32;

/// Bytes of one source as JSON; every revision of an app stores a copy.
pub const BYTES_MAX: usize = 256 * 1024;

/// The kind of a source at the pointer `at`.
///
/// # Errors
/// No kind, or several: then one fault per kind.
pub fn kind(source: &Value, at: &str) -> Result<SourceKind, Vec<Fault>> {
    let kinds = SourceKind::ALL.into_iter().filter(|kind| source.get(kind.as_str()).is_some());
    let kinds: Vec<SourceKind> = kinds.collect();
    match kinds.as_slice() {
        [one] => Ok(*one),
        [] => {
            let words = SourceKind::ALL.map(|kind| format!("`{}`", kind.as_str())).join(", ");
            Err(vec![Fault::new(at, format!("must have exactly one of {words}"))])
        }
        several => {
            let words: Vec<String> = several.iter().map(|kind| format!("`{}`", kind.as_str())).collect();
            let detail = format!("must have exactly one kind, but has {}", words.join(", "));
            let issue = |kind: &SourceKind| Fault::new(join(at, kind.as_str()), detail.clone());
            Err(several.iter().map(issue).collect())
        }
    }
}

/// The faults of size and depth.
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

/// Pointer of the first value that is nested too deep.
fn too_deep(value: &Value, at: &str, left: usize) -> Option<String> {
    let Some(below) = left.checked_sub(1) else {
        return (value.is_object() || value.is_array()).then(|| at.to_owned());
    };
    members(value, at).find_map(|(pointer, member)| too_deep(member, &pointer, below))
}

/// The members of an object or the elements of a list, each with its pointer; none of anything else.
pub(crate) fn members<'a>(value: &'a Value, at: &'a str) -> impl Iterator<Item = (String, &'a Value)> {
    let fields = value.as_object().into_iter().flatten().map(|(key, value)| (join(at, key), value));
    let items = value.as_array().into_iter().flatten().enumerate();
    fields.chain(items.map(move |(index, value)| (format!("{at}/{index}"), value)))
}

/// A pointer, one member further.
pub fn join(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}
