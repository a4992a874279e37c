//! What every object that an API server lets through looks like, where identity and ownership stand. What does not
//! look like it cannot be judged, and what cannot be judged is not let through.

use super::review::Review;
use super::workload::{ShapeError, member};
use crate::policy::Value;

/// The parts of `metadata` that are looked at; they are built for every review.
pub const PARTS: [&str; 4] = ["labels", "annotations", "finalizers", "ownerReferences"];

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
