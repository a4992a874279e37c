//! Patches: merge fragments and operations of policies → RFC 6902 that applies.

use std::collections::{BTreeMap, HashMap, HashSet};

use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value as Json};

/// Bytes of a composed patch; the whole of it goes to the API server's audit log.
pub const PATCH_BYTES_MAX: usize = 256 * 1024;

/// Operations of a composed patch: each may move every element of a list.
pub const OPERATIONS_MAX: usize = 1000;

/// Bytes of one pointer, each of whose parents is looked up.
const POINTER_BYTES_MAX: usize = 4096;

/// Why a policy's patch was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// `patch` holds something that is no RFC 6902 operation.
    #[error("`patch` holds no RFC 6902 operation: {0}")]
    Operation(String),
    /// `merge` holds something that is no object.
    #[error("`merge` holds a fragment that is no object")]
    Fragment,
    /// It does not apply to the object.
    #[error("it does not apply: {0}")]
    Apply(String),
    /// It touches what nobody may.
    #[error("it touches `{0}`, which belongs to the API server")]
    Forbidden(String),
    /// Another policy has written another value there.
    #[error("`{path}` was already changed by `{other}`")]
    Conflict {
        /// JSON pointer.
        path: String,
        /// The policy that came first, by id.
        other: String,
    },
    /// Too large.
    #[error("it has more than {PATCH_BYTES_MAX} bytes")]
    Size,
    /// Too many operations.
    #[error("it has more than {OPERATIONS_MAX} operations")]
    Operations,
    /// A pointer that is too long.
    #[error("it has a pointer of more than {POINTER_BYTES_MAX} bytes")]
    Pointer,
}

/// RFC 7396 → RFC 6902 against an object: parents are created, equal values cost nothing, so a second time is empty.
pub fn from_merge(object: &Json, fragment: &Json) -> Result<Vec<PatchOperation>, PatchError> {
    let Json::Object(fields) = fragment else { return Err(PatchError::Fragment) };
    let mut operations = Vec::new();
    match object {
        Json::Object(target) => merge(target, fields, &mut String::new(), &mut operations)?,
        _ => return Err(PatchError::Apply("the object is no JSON object".to_owned())),
    }
    Ok(operations)
}

fn merge(
    target: &Map<String, Json>,
    fields: &Map<String, Json>,
    path: &mut String,
    out: &mut Vec<PatchOperation>,
) -> Result<(), PatchError> {
    for (key, value) in fields {
        let length = path.len();
        path.push('/');
        path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        match (target.get(key), value) {
            (None, Json::Null) => {}
            (Some(_), Json::Null) => {
                out.push(PatchOperation::Remove(RemoveOperation { path: pointer(path)? }));
            }
            (Some(Json::Object(below)), Json::Object(fields)) => merge(below, fields, path, out)?,
            (Some(there), value) if *there == without_nulls(value) => {}
            (Some(_), value) => out.push(PatchOperation::Replace(ReplaceOperation {
                path: pointer(path)?,
                value: without_nulls(value),
            })),
            (None, value) => out.push(PatchOperation::Add(AddOperation {
                path: pointer(path)?,
                value: without_nulls(value),
            })),
        }
        path.truncate(length);
    }
    Ok(())
}

fn pointer(path: &str) -> Result<json_patch::jsonptr::PointerBuf, PatchError> {
    json_patch::jsonptr::PointerBuf::parse(path.to_owned())
        .map_err(|error| PatchError::Operation(error.to_string()))
}

/// In a fragment that becomes a new value, nulls delete nothing and vanish (RFC 7396 §2).
fn without_nulls(value: &Json) -> Json {
    match value {
        Json::Object(fields) => Json::Object(
            fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), without_nulls(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Reads operations that a policy wrote itself, in order of their position in the set.
pub fn from_operations(documents: Vec<Json>) -> Result<Vec<PatchOperation>, PatchError> {
    serde_json::from_value(Json::Array(documents)).map_err(|error| PatchError::Operation(error.to_string()))
}

/// The operations that were taken, by policy, and the object they lead to.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The object with everything applied.
    pub object: Json,
    /// Operations a policy, in order.
    pub parts: Vec<(String, Vec<PatchOperation>)>,
    /// Every operation as text.
    known: HashSet<String>,
    /// What was written, and by which of the parts first.
    written: BTreeMap<String, usize>,
    /// Lists into which something was put or from which it was taken, by which of the parts first, and the least index from
    /// which what follows has moved; `None` where only the end has grown.
    lists: HashMap<String, (usize, Option<usize>)>,
    bytes: usize,
}

impl Composed {
    /// Nothing applied yet.
    pub fn new(object: Json) -> Self {
        Self {
            object,
            parts: Vec::new(),
            known: HashSet::new(),
            written: BTreeMap::new(),
            lists: HashMap::new(),
            bytes: 0,
        }
    }

    /// Adds a policy's operations, or leaves everything as it was. What an earlier policy has done word for word is done.
    ///
    /// # Errors
    /// Forbidden, in conflict with an earlier policy, too large, or not applicable.
    pub fn add(&mut self, policy: &str, mut operations: Vec<PatchOperation>) -> Result<(), PatchError> {
        if self.known.len() + operations.len() > OPERATIONS_MAX {
            return Err(PatchError::Operations);
        }
        let mut texts = Vec::with_capacity(operations.len());
        // A second time it would append twice, or find nothing to remove.
        operations.retain(|operation| {
            let text = serde_json::to_string(operation).unwrap_or_default();
            let new = !self.known.contains(&text);
            if new {
                texts.push(text);
            }
            new
        });
        let bytes = self.bytes + texts.iter().map(|text| text.len() + 1).sum::<usize>();
        if bytes > PATCH_BYTES_MAX {
            return Err(PatchError::Size);
        }
        let mut writes = Vec::with_capacity(operations.len());
        for operation in &operations {
            for path in written(operation) {
                if path.len() > POINTER_BYTES_MAX {
                    return Err(PatchError::Pointer);
                }
                let write = Write::of(operation, path, &self.object);
                if let Some((other, _)) = self.clash(&write).and_then(|at| self.parts.get(at)) {
                    return Err(PatchError::Conflict { path: path.to_owned(), other: other.clone() });
                }
                writes.push(write);
            }
        }
        let operations = Patch(operations);
        let near = |path: &str| FORBIDDEN.iter().any(|owned| within(path, owned) || within(owned, path));
        let before = operations.iter().flat_map(written).any(near).then(|| self.object.clone());
        // All of it or nothing: what fails half-way is taken back.
        json_patch::patch(&mut self.object, &operations)
            .map_err(|error| PatchError::Apply(error.to_string()))?;
        // Looked at afterwards: a parent that is replaced and a move take it along as well.
        if let Some(before) = before
            && let Some(owned) =
                FORBIDDEN.iter().find(|owned| before.pointer(owned) != self.object.pointer(owned))
        {
            self.object = before;
            return Err(PatchError::Forbidden((*owned).to_owned()));
        }
        writes.into_iter().for_each(|write| self.note(write));
        self.known.extend(texts);
        self.bytes = bytes;
        self.parts.push((policy.to_owned(), operations.0));
        Ok(())
    }

    fn note(&mut self, write: Write) {
        let part = self.parts.len();
        let Some((list, from)) = write.list else {
            self.written.entry(write.path).or_insert(part);
            return;
        };
        // What replaces the list afterwards, or something above it, finds this.
        self.written.entry(format!("{list}/-")).or_insert(part);
        let (first, least) = self.lists.entry(list).or_insert((part, from));
        if let Some(from) = from {
            *first = if least.is_none() { part } else { *first };
            *least = Some(least.map_or(from, |least| least.min(from)));
        }
    }

    /// The first part that has written to a place, above it or below it, or has moved it.
    fn clash(&self, write: &Write) -> Option<usize> {
        let Some((list, from)) = &write.list else {
            return self.moved(&write.path).or_else(|| self.wrote(&write.path));
        };
        // Each policy counted from the list as it was: only what is put at the end is where it was meant to be.
        let same = self.lists.get(list).filter(|(_, moved)| from.is_some() && moved.is_some());
        let follows =
            |done: &str| index_below(done, list).is_some_and(|at| from.is_some_and(|from| at >= from));
        let mut below = self.written.range(format!("{list}/")..).take_while(|(done, _)| within(done, list));
        same.map(|(part, _)| *part)
            .or_else(|| self.moved(list))
            .or_else(|| below.find(|(done, _)| follows(done)).map(|(_, part)| *part))
            .or_else(|| from.and_then(|_| self.replaced(list)))
    }

    /// The part that has put something before a place into a list that it lies in, or taken it from there.
    fn moved(&self, path: &str) -> Option<usize> {
        let lists =
            path.char_indices().filter(|(_, letter)| *letter == '/').filter_map(|(at, _)| path.get(..at));
        lists.into_iter().find_map(|list| match self.lists.get(list)? {
            (part, Some(from)) if index_below(path, list)? >= *from => Some(*part),
            _ => None,
        })
    }

    /// The part that has written a place as a whole, or one above it.
    fn replaced(&self, path: &str) -> Option<usize> {
        let parents = path.char_indices().filter(|(_, letter)| *letter == '/').map(|(at, _)| at);
        let above = parents.filter_map(|at| self.written.get(path.get(..at)?));
        above.chain(self.written.get(path)).min().copied()
    }

    /// The first part that has written to a place, above it or below it.
    fn wrote(&self, path: &str) -> Option<usize> {
        let below = self.written.range(format!("{path}/")..).take_while(|(done, _)| within(done, path));
        let parents = path.char_indices().filter(|(_, letter)| *letter == '/').map(|(at, _)| at);
        // Adding a sibling below a parent that another policy has created is no clash.
        let sibling = self.object.pointer(path).is_none();
        let above = parents.filter(|_| !sibling).filter_map(|at| self.written.get(path.get(..at)?));
        below.map(|(_, at)| at).chain(above).chain(self.written.get(path)).min().copied()
    }

    /// All operations in order.
    pub fn operations(self) -> Vec<PatchOperation> {
        self.parts.into_iter().flat_map(|(_, operations)| operations).collect()
    }
}

/// What a patch may never touch: the API server owns it, or the object's identity hangs on it.
const FORBIDDEN: [&str; 7] = [
    "/metadata/managedFields",
    "/metadata/uid",
    "/metadata/resourceVersion",
    "/metadata/name",
    "/metadata/namespace",
    "/apiVersion",
    "/kind",
];

/// The places that an operation writes: where it says, and where a move takes from.
fn written(operation: &PatchOperation) -> impl Iterator<Item = &str> {
    let (from, to) = match operation {
        PatchOperation::Test(_) => (None, None),
        PatchOperation::Move(moved) => (Some(moved.from.as_str()), Some(moved.path.as_str())),
        other => (None, Some(other.path().as_str())),
    };
    from.into_iter().chain(to)
}

/// A place that is written.
struct Write {
    path: String,
    /// Where an element is put into a list or taken from it: the list, and the index from which what follows moves; `None`
    /// at the end.
    list: Option<(String, Option<usize>)>,
}

impl Write {
    /// What an operation does at a path of an object as it is before.
    fn of(operation: &PatchOperation, path: &str, object: &Json) -> Self {
        let shifts = || {
            let (list, last) = path.rsplit_once('/')?;
            object.pointer(list)?.as_array()?;
            let from = if last == "-" { None } else { Some(last.parse().ok()?) };
            Some((list.to_owned(), from))
        };
        let list = if matches!(operation, PatchOperation::Replace(_)) { None } else { shifts() };
        Self { path: path.to_owned(), list }
    }
}

/// The index of the element of a list that a path lies in.
fn index_below(path: &str, list: &str) -> Option<usize> {
    path.strip_prefix(list)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}

fn within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
