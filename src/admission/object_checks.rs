//! Checks the identity and ownership fields of an object. Every object that passed an API server's validation has them in
//! this form; the gate fails closed for any other.

use super::kinds;
use super::review::{Gvk, Header, Review};
use super::workload::{ShapeError, member};
use portcullis_policy::{Operation, Value};

/// The fields of `metadata` that are checked; they are decoded for every review.
pub(crate) const METADATA_FIELDS: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];

/// The fields that must agree with the request.
pub(crate) const IDENTITY_FIELDS: [&[&str]; 4] =
    [&["apiVersion"], &["kind"], &["metadata", "name"], &["metadata", "namespace"]];

/// The fields that an unknown subresource must not change.
const CONTENT: [&str; 3] = ["spec", "template", "data"];

/// Checks the object and the old object.
///
/// # Errors
/// The first field that no API server would have accepted.
pub(crate) fn check(review: &Review) -> Result<(), ShapeError> {
    for (object, root) in [(&review.object, "object"), (&review.old_object, "oldObject")] {
        let Some(object) = object else { continue };
        let Some(metadata) = member(object, root, "metadata")? else { continue };
        let path = format!("{root}.metadata");
        for field in METADATA_FIELDS {
            if let Some(value) = member(metadata, &path, field)? {
                check_field(value, field, &path)?;
            }
        }
    }
    review.object.as_ref().map_or(Ok(()), |object| check_identity(review, object))
}

/// On CREATE and UPDATE the object's kind, name and namespace are those of the request, and the kind is that of the
/// resource or of its subresource, as Scale, Eviction, Binding and TokenRequest are.
fn check_identity(review: &Review, object: &Value) -> Result<(), ShapeError> {
    let header = &review.header;
    if !matches!(header.operation(), Some(Operation::Create | Operation::Update))
        || header.kind.kind.is_empty()
    {
        return Ok(());
    }
    if !kind_fits(header) {
        let expected = "the kind of `request.resource`";
        return Err(ShapeError { path: "request.kind".to_owned(), found: "another kind", expected });
    }
    let Gvk { group, version, .. } = &header.kind;
    let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
    for (key, expected) in [("apiVersion", &api_version), ("kind", &header.kind.kind)] {
        let found = member(object, "object", key)?.unwrap_or(&Value::Null);
        if !matches!(found, Value::String(found) if **found == **expected) {
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

/// Whether the kind belongs to the resource. Unknown, and so accepted, for what is not built in.
fn kind_fits(header: &Header) -> bool {
    let (resource, kind) = (&header.resource, &header.kind);
    kinds::fits((&resource.group, &resource.resource, &header.subresource), (&kind.group, &kind.kind))
        .unwrap_or(true)
}

/// Whether a built-in resource has a subresource that this version does not know. Policies see its metadata only, so it
/// may change nothing else.
pub(crate) fn unknown_subresource(header: &Header) -> bool {
    let resource = &header.resource;
    matches!(header.operation(), Some(Operation::Create | Operation::Update))
        && kinds::unknown_subresource(&resource.group, &resource.resource, &header.subresource)
}

/// Compares the objects of an unknown subresource; both are decoded whole.
///
/// # Errors
/// It changes more than metadata and status.
pub(crate) fn check_unknown_subresource(review: &Review) -> Result<(), ShapeError> {
    let header = &review.header;
    if !unknown_subresource(header) {
        return Ok(());
    }
    let field = |object: &Option<Value>, key: &str| match object {
        Some(object) => member(object, "object", key).map(|found| found.cloned().unwrap_or(Value::Null)),
        None => Ok(Value::Null),
    };
    for key in CONTENT {
        let new = field(&review.object, key)?;
        if new != field(&review.old_object, key)? {
            let expected = "as before; this version does not know the subresource";
            return Err(ShapeError { path: format!("object.{key}"), found: "changed", expected });
        }
    }
    Ok(())
}

fn check_field(value: &Value, field: &str, path: &str) -> Result<(), ShapeError> {
    let wrong = |value: &Value, expected| Err(ShapeError::new(format!("{path}.{field}"), value, expected));
    match (value, field) {
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
