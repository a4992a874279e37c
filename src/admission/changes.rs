//! What an UPDATE changes. Read from the body, because the decoder skips most of it. Tenants choose the objects, so all
//! work here is linear in their size.

use std::collections::HashSet;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::decode::DEPTH_MAX;
use super::review::Review;
use super::workload::member;
use portcullis_policy::{Operation, Value};

/// The pointers in `input.changed`.
const POINTERS_MAX: usize = 1000;

/// The bytes of all pointers: a thousand may begin with the same key of a megabyte.
const POINTER_BYTES_MAX: usize = 256 << 10;

/// The stack for an object of 10,000 levels, at 1 KiB a level in a release build and 6 KiB in a debug build.
const STACK: usize = 96 << 20;

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

/// Runs a function with a stack that is large enough for the objects of the review.
pub(crate) fn with_stack<T>(review: &Review, run: impl FnOnce() -> T) -> T {
    if review.depth <= DEPTH_MAX { run() } else { stacker::grow(STACK, run) }
}

/// The whole new object; null where it cannot be read.
pub(crate) fn object(review: &Review) -> Json {
    #[derive(Deserialize)]
    struct Body {
        request: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        object: Json,
    }
    read::<Body>(&review.body).map_or(Json::Null, |body| body.request.object)
}

/// The whole object and old object; see [`with_stack`].
pub(crate) fn objects(review: &Review) -> (Json, Json) {
    // The body was decoded before, so this does not fail. Two nulls would mean no change and no exemption.
    read::<Body>(&review.body)
        .map_or((Json::Null, Json::Null), |body| (body.request.object, body.request.old_object))
}

/// Reads a body whose depth was checked before; see [`with_stack`].
fn read<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    reader.disable_recursion_limit();
    T::deserialize(&mut reader)
}

/// A body with another object, from which `changed` and `templates` can be read.
pub(crate) fn body_with(review: &Review, object: &Json) -> Bytes {
    let (_, old) = objects(review);
    Bytes::from(json!({"request": {"object": object, "oldObject": old}}).to_string())
}

/// The JSON pointers (RFC 6901) of changed fields, sorted; the last is `…` where there are more.
pub fn changed(review: &Review) -> Vec<String> {
    with_stack(review, || {
        let (new, old) = objects(review);
        let mut found = Pointers::default();
        differ(&old, &new, &mut String::new(), &mut found);
        if found.full() {
            found.list.truncate(POINTERS_MAX - 1);
            found.list.push("…".to_owned());
        }
        found.list
    })
}

/// Whether an UPDATE only removes finalizers from an object that is being deleted. It is never denied, because the object
/// could not be deleted otherwise; it must change nothing else (CVE-2023-34091).
pub fn finalizer_removal(review: &Review) -> bool {
    if review.header.operation() != Some(Operation::Update) || !deleting(review.old_object.as_ref()) {
        return false;
    }
    with_stack(review, || {
        let (mut new, mut old) = objects(review);
        let (before, after) = (take_finalizers(&mut old), take_finalizers(&mut new));
        let (Some(before), Some(after)) = (before, after) else { return false };
        let known: HashSet<&Json> = before.iter().collect();
        let removed = after.len() < before.len() && after.iter().all(|name| known.contains(name));
        removed && new == old && !new.is_null()
    })
}

#[derive(Default)]
struct Pointers {
    list: Vec<String>,
    bytes: usize,
}

impl Pointers {
    fn push(&mut self, pointer: &str) {
        self.bytes += pointer.len();
        if !self.full() {
            self.list.push(pointer.to_owned());
        } else if self.list.len() == POINTERS_MAX {
            // The pointer that exceeds the bound is counted only.
            self.bytes = POINTER_BYTES_MAX + 1;
        }
    }

    fn full(&self) -> bool {
        self.list.len() > POINTERS_MAX || self.bytes > POINTER_BYTES_MAX
    }
}

fn deleting(old: Option<&Value>) -> bool {
    let metadata = old.and_then(|old| member(old, "", "metadata").ok().flatten());
    let at = metadata.and_then(|metadata| member(metadata, "", "deletionTimestamp").ok().flatten());
    at.and_then(|at| at.as_string().ok()).is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok())
}

/// Removes and returns the finalizers, and removes the fields that every write changes.
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

fn differ(old: &Json, new: &Json, path: &mut String, found: &mut Pointers) {
    if found.full() {
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
                if found.full() {
                    return;
                }
                step(path, &index.to_string(), |path| match (a.get(index), b.get(index)) {
                    (Some(old), Some(new)) => differ(old, new, path, found),
                    // An additional element is a change even if it is null.
                    _ => found.push(path),
                });
            }
        }
        // Values of different types, or scalars.
        _ if old != new => found.push(path),
        _ => {}
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
