//! What every object that an API server lets through looks like, where identity and ownership stand. What does not
//! look like it cannot be judged, and what cannot be judged is not let through.

use super::ask::kinds;
use super::review::{Gvk, Header, Review};
use super::workload::{ShapeError, member};
use portcullis_policy::{Operation, Value};

/// The parts of `metadata` that are looked at; they are built for every review.
pub const PARTS: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];

/// What else of an object is looked at, to know that it is the one that was asked about.
pub const NAMES: [&[&str]; 4] =
    [&["apiVersion"], &["kind"], &["metadata", "name"], &["metadata", "namespace"]];

/// What a subresource that is not known must not change.
const CONTENT: [&str; 3] = ["spec", "template", "data"];

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

/// On CREATE and UPDATE the object is of the kind, the name and the namespace that the request names, and the kind is the
/// resource's; a Scale, an Eviction, a Binding and a TokenRequest are kinds of their own, which `request.kind` says.
fn is_what_was_asked(review: &Review, object: &Value) -> Result<(), ShapeError> {
    let header = &review.header;
    if !matches!(header.operation(), Some(Operation::Create | Operation::Update))
        || header.kind.kind.is_empty()
    {
        return Ok(());
    }
    if !kind_fits(header) {
        let wanted = "the kind of `request.resource`";
        return Err(ShapeError { path: "request.kind".to_owned(), found: "another kind", wanted });
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
        Some(Value::String(name)) if name.is_empty() || header.name.is_empty() || **name == *header.name => {}
        None => {}
        Some(other) => {
            return Err(ShapeError::new("object.metadata.name", other, "what `request.name` says"));
        }
    }
    match member(metadata, "object.metadata", "namespace")? {
        Some(Value::String(namespace)) if namespace.is_empty() || **namespace == *header.namespace => Ok(()),
        None => Ok(()),
        Some(other) => {
            Err(ShapeError::new("object.metadata.namespace", other, "what `request.namespace` says"))
        }
    }
}

/// Whether the kind is one that comes with the resource, of what every cluster has; of others nothing is known.
fn kind_fits(header: &Header) -> bool {
    let (resource, kind) = (&header.resource, &header.kind);
    kinds::fits((&resource.group, &resource.resource, &header.subresource), (&kind.group, &kind.kind))
        .unwrap_or(true)
}

/// Whether a subresource of a kind that every cluster has is not known: what it writes is judged as far as it is metadata,
/// so it is let through only where it changes nothing else.
pub fn unknown_subresource(header: &Header) -> bool {
    let resource = &header.resource;
    matches!(header.operation(), Some(Operation::Create | Operation::Update))
        && kinds::unknown_subresource(&resource.group, &resource.resource, &header.subresource)
}

/// Looks at what an unknown subresource changes; both objects are built whole.
///
/// # Errors
/// It changes more than metadata and status.
pub fn check_unknown_subresource(review: &Review) -> Result<(), ShapeError> {
    let header = &review.header;
    if !unknown_subresource(header) {
        return Ok(());
    }
    let part = |object: &Option<Value>, key: &str| match object {
        Some(object) => member(object, "object", key).map(|found| found.cloned().unwrap_or(Value::Null)),
        None => Ok(Value::Null),
    };
    for key in CONTENT {
        let new = part(&review.object, key)?;
        if new != part(&review.old_object, key)? {
            let wanted = "as it was: the subresource is not known to this version";
            return Err(ShapeError { path: format!("object.{key}"), found: "changed", wanted });
        }
    }
    Ok(())
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
