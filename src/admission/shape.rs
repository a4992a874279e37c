//! What every object that an API server lets through looks like, where identity and ownership stand. What does not
//! look like it cannot be judged, and what cannot be judged is not let through.

use super::review::{Gvk, Review};
use super::workload::{ShapeError, member};
use crate::policy::{Operation, Value};

/// The parts of `metadata` that are looked at; they are built for every review.
pub const PARTS: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];

/// What else of an object is looked at, to know that it is the one that was asked about.
pub const NAMES: [&[&str]; 3] = [&["apiVersion"], &["kind"], &["metadata", "name"]];

/// Looks at the object and the old object.
///
/// # Errors
/// The first thing that has a shape no API server would have let through.
pub fn check(review: &Review) -> Result<(), ShapeError> {
    for (object, root) in [(&review.object, "object"), (&review.old_object, "oldObject")] {
        let Some(object) = object else { continue };
        let Some(metadata) = member(object, root, "metadata")? else { continue };
        let path = format!("{root}.metadata");
        for part in PARTS {
            if let Some(value) = member(metadata, &path, part)? {
                looks(value, part, &path)?;
            }
        }
    }
    review.object.as_ref().map_or(Ok(()), |object| is_what_was_asked(review, object))
}

/// On CREATE and UPDATE the object is of the kind and the name that the request names; a Scale, an Eviction, a Binding and a
/// TokenRequest are kinds of their own, which `request.kind` says.
fn is_what_was_asked(review: &Review, object: &Value) -> Result<(), ShapeError> {
    let header = &review.header;
    if !matches!(header.operation(), Some(Operation::Create | Operation::Update))
        || header.kind.kind.is_empty()
    {
        return Ok(());
    }
    let Gvk { group, version, .. } = &header.kind;
    let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
    for (key, wanted) in [("apiVersion", &api_version), ("kind", &header.kind.kind)] {
        let found = member(object, "object", key)?.unwrap_or(&Value::Null);
        if !matches!(found, Value::String(found) if **found == **wanted) {
            return Err(ShapeError::new(format!("object.{key}"), found, "what `request.kind` says"));
        }
    }
    let Some(metadata) = member(object, "object", "metadata")? else { return Ok(()) };
    match member(metadata, "object.metadata", "name")? {
        Some(Value::String(name)) if name.is_empty() || header.name.is_empty() || **name == *header.name => {
            Ok(())
        }
        None => Ok(()),
        Some(other) => Err(ShapeError::new("object.metadata.name", other, "what `request.name` says")),
    }
}

fn looks(value: &Value, part: &str, path: &str) -> Result<(), ShapeError> {
    let wrong = |value: &Value, wanted| Err(ShapeError::new(format!("{path}.{part}"), value, wanted));
    match (value, part) {
        (Value::Object(entries), "labels" | "annotations") => {
            match entries.values().find(|value| value.as_string().is_err()) {
                Some(other) => wrong(other, "a string in each entry"),
                None => Ok(()),
            }
        }
        (other, "labels" | "annotations") => wrong(other, "an object"),
        (Value::Array(items), "finalizers") => match items.iter().find(|item| item.as_string().is_err()) {
            Some(other) => wrong(other, "a list of strings"),
            None => Ok(()),
        },
        (Value::Array(items), _) => match items.iter().find(|item| item.as_object().is_err()) {
            Some(other) => wrong(other, "a list of objects"),
            None => Ok(()),
        },
        (other, _) => wrong(other, "a list"),
    }
}
