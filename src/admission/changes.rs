//! What an UPDATE changes. Read from the body again, and only where somebody asks: the decoder has thrown most of it away.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::review::Review;
use super::workload::member;
use crate::policy::{Operation, Value};

/// Pointers told at most; the law asks whether something changed, not for a full diff of a large object.
const POINTERS_MAX: usize = 1000;

#[derive(Deserialize)]
struct Body {
    request: Objects,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Objects {
    #[serde(default)]
    object: Json,
    #[serde(default)]
    old_object: Json,
}

/// The new object alone, whole; null where it is no object that can be read.
pub fn object(review: &Review) -> Json {
    #[derive(Deserialize)]
    struct Body {
        request: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        object: Json,
    }
    serde_json::from_slice::<Body>(&review.body).map_or(Json::Null, |body| body.request.object)
}

/// Object and old object, whole.
pub fn objects(review: &Review) -> (Json, Json) {
    // It has been decoded once, so it decodes; were it not to, two nulls differ from nothing and nothing is exempt.
    serde_json::from_slice::<Body>(&review.body)
        .map_or((Json::Null, Json::Null), |body| (body.request.object, body.request.old_object))
}

/// A body with another object in the place of the review's own, for those who read from it what has changed.
pub fn body_with(review: &Review, object: &Json) -> Bytes {
    let (_, old) = objects(review);
    Bytes::from(json!({"request": {"object": object, "oldObject": old}}).to_string())
}

/// JSON pointers (RFC 6901) that differ between the old object and the new, in order; the last is `…` where there are more.
pub fn changed(review: &Review) -> Vec<String> {
    let (new, old) = objects(review);
    let mut found = Vec::new();
    differ(&old, &new, &mut String::new(), &mut found);
    if found.len() > POINTERS_MAX {
        found.truncate(POINTERS_MAX - 1);
        found.push("…".to_owned());
    }
    found
}

/// Whether an UPDATE does nothing but take finalizers off an object that is being deleted. Such an update is never
/// denied, or the object could not be deleted any more; CVE-2023-34091 is why nothing else may ride along.
pub fn finalizer_removal(review: &Review) -> bool {
    if review.header.operation() != Some(Operation::Update) || !deleting(review.old_object.as_ref()) {
        return false;
    }
    let (mut new, mut old) = objects(review);
    let (before, after) = (take_finalizers(&mut old), take_finalizers(&mut new));
    let (Some(before), Some(after)) = (before, after) else { return false };
    let removed = after.len() < before.len() && after.iter().all(|name| before.contains(name));
    removed && new == old && !new.is_null()
}

fn deleting(old: Option<&Value>) -> bool {
    let metadata = old.and_then(|old| member(old, "", "metadata").ok().flatten());
    metadata.and_then(|metadata| member(metadata, "", "deletionTimestamp").ok().flatten()).is_some()
}

/// The finalizers of an object, which it then is without, as it is without what every write changes by itself.
fn take_finalizers(object: &mut Json) -> Option<Vec<Json>> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    for key in ["managedFields", "resourceVersion", "generation"] {
        metadata.remove(key);
    }
    match metadata.remove("finalizers") {
        Some(Json::Array(names)) => Some(names),
        None | Some(Json::Null) => Some(Vec::new()),
        Some(_) => None,
    }
}

fn differ(old: &Json, new: &Json, path: &mut String, found: &mut Vec<String>) {
    if found.len() > POINTERS_MAX || old == new {
        return;
    }
    match (old, new) {
        (Json::Object(a), Json::Object(b)) => {
            let mut keys: Vec<&String> =
                a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                step(path, &key.replace('~', "~0").replace('/', "~1"), |path| {
                    differ(a.get(key).unwrap_or(&Json::Null), b.get(key).unwrap_or(&Json::Null), path, found);
                });
            }
        }
        (Json::Array(a), Json::Array(b)) => {
            for index in 0..a.len().max(b.len()) {
                step(path, &index.to_string(), |path| match (a.get(index), b.get(index)) {
                    (Some(old), Some(new)) => differ(old, new, path, found),
                    // An element too many is a change also where it is null.
                    _ if found.len() <= POINTERS_MAX => found.push(path.clone()),
                    _ => {}
                });
            }
        }
        _ => found.push(path.clone()),
    }
}

fn step(path: &mut String, part: &str, visit: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push('/');
    path.push_str(part);
    visit(path);
    path.truncate(length);
}

#[cfg(test)]
mod tests;
