//! What an UPDATE changes. Read from the body again, and only where a policy asks: the decoder has skipped most of it.
//!
//! Objects are a tenant's, so everything here takes time in proportion to their bytes.

use std::collections::HashSet;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::decode::DEPTH_MAX;
use super::review::Review;
use super::workload::member;
use portcullis_policy::{Operation, Value};

/// Pointers listed at most; policies ask whether something changed, not for a full diff of a large object.
const POINTERS_MAX: usize = 1000;

/// Bytes of all pointers together: a thousand of them can begin with the same key of a megabyte.
const POINTER_BYTES_MAX: usize = 256 << 10;

/// Stack for an object of 10,000 levels, at some 1 KiB a level in a release and six in a debug build. Only what is used
/// of it takes memory.
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

/// Runs what reads objects whole with a stack that is large enough for them.
pub fn with_stack<T>(review: &Review, run: impl FnOnce() -> T) -> T {
    if review.depth <= DEPTH_MAX { run() } else { stacker::grow(STACK, run) }
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
    read::<Body>(&review.body).map_or(Json::Null, |body| body.request.object)
}

/// Object and old object, whole; see [`with_stack`].
pub fn objects(review: &Review) -> (Json, Json) {
    // It has been decoded once, so it decodes; were it not to, two nulls differ from nothing and nothing is exempt.
    read::<Body>(&review.body)
        .map_or((Json::Null, Json::Null), |body| (body.request.object, body.request.old_object))
}

/// A body whose depth the decoder has measured; see [`with_stack`].
fn read<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    reader.disable_recursion_limit();
    T::deserialize(&mut reader)
}

/// A body with another object in the place of the review's own, for reading from it what has changed.
pub fn body_with(review: &Review, object: &Json) -> Bytes {
    let (_, old) = objects(review);
    Bytes::from(json!({"request": {"object": object, "oldObject": old}}).to_string())
}

/// JSON pointers (RFC 6901) that differ between the old object and the new, in order; the last is `…` where there are more.
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

/// Whether an UPDATE does nothing but take finalizers off an object that is being deleted. Such an update is never
/// denied, or the object could not be deleted any more; CVE-2023-34091 is why nothing else may ride along.
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

/// Pointers within their bounds.
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
            // The one that makes it full is counted, not kept.
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
                    // An element too many is a change also where it is null.
                    _ => found.push(path),
                });
            }
        }
        // Of two kinds, or without parts: an object here is compared with something else, and not twice.
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
