//! Composes the merge fragments and operations of policies into one JSON patch (RFC 6902).

use std::collections::{BTreeMap, HashMap, HashSet};

use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value as Json};

/// The bytes of a composed patch; the API server writes it to its audit log.
pub const PATCH_BYTES_MAX: usize = 256 * 1024;

/// The operations of a composed patch; each may move every element of a list.
pub const OPERATIONS_MAX: usize = 1000;

/// The bytes of a pointer; each of its parents is looked up.
const POINTER_BYTES_MAX: usize = 4096;

/// Why a policy's patch was dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    #[error("`patch` holds no RFC 6902 operation: {0}")]
    Operation(String),
    #[error("`merge` holds a fragment that is no object")]
    Fragment,
    #[error("it does not apply: {0}")]
    Apply(String),
    #[error("it touches `{0}`, which belongs to the API server")]
    Forbidden(String),
    #[error("`{path}` was already changed by `{other}`")]
    Conflict {
        path: String,
        /// The id of the earlier policy.
        other: String,
    },
    #[error("it has more than {PATCH_BYTES_MAX} bytes")]
    Size,
    #[error("it has more than {OPERATIONS_MAX} operations")]
    Operations,
    #[error("it has a pointer of more than {POINTER_BYTES_MAX} bytes")]
    Pointer,
}

/// The operations that merge a fragment (RFC 7396) into an object. Equal values need none, so merging twice adds nothing.
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

/// Nulls in a fragment that becomes a new value are left out (RFC 7396 §2).
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

/// Reads the operations of a `patch` rule, in the order of the set.
pub fn from_operations(documents: Vec<Json>) -> Result<Vec<PatchOperation>, PatchError> {
    serde_json::from_value(Json::Array(documents)).map_err(|error| PatchError::Operation(error.to_string()))
}

/// The accepted operations by policy, and the patched object.
#[derive(Debug, Clone)]
pub struct Composed {
    pub object: Json,
    /// Policy and operations, in order.
    pub parts: Vec<(String, Vec<PatchOperation>)>,
    /// Every accepted operation as text.
    known: HashSet<String>,
    /// The written paths, and the first part that wrote each.
    written: BTreeMap<String, usize>,
    /// The lists whose elements moved: the first part that did so, and the lowest index that moved; `None` where elements
    /// were only appended.
    lists: HashMap<String, (usize, Option<usize>)>,
    bytes: usize,
}

impl Composed {
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

    /// Adds all operations of a policy or none. Operations equal to those of an earlier policy are left out.
    ///
    /// # Errors
    /// See [`PatchError`].
    pub fn add(&mut self, policy: &str, mut operations: Vec<PatchOperation>) -> Result<(), PatchError> {
        if self.known.len() + operations.len() > OPERATIONS_MAX {
            return Err(PatchError::Operations);
        }
        let mut texts = Vec::with_capacity(operations.len());
        // An equal operation would append twice, or find nothing to remove.
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
                if let Some((other, _)) = self.conflict(&write).and_then(|at| self.parts.get(at)) {
                    return Err(PatchError::Conflict { path: path.to_owned(), other: other.clone() });
                }
                writes.push(write);
            }
        }
        let operations = Patch(operations);
        let affects = |path: &str| FORBIDDEN.iter().any(|owned| within(path, owned) || within(owned, path));
        let before = operations.iter().flat_map(written).any(affects).then(|| self.object.clone());
        // A failure reverts the operations before it.
        json_patch::patch(&mut self.object, &operations)
            .map_err(|error| PatchError::Apply(error.to_string()))?;
        // Compared after the patch, because replacing or moving a parent changes these fields too.
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
        // A later write to the list or a parent conflicts with this one.
        self.written.entry(format!("{list}/-")).or_insert(part);
        let (first, least) = self.lists.entry(list).or_insert((part, from));
        if let Some(from) = from {
            *first = if least.is_none() { part } else { *first };
            *least = Some(least.map_or(from, |least| least.min(from)));
        }
    }

    /// The first part that conflicts with a write: it wrote the path, a parent or a child, or moved it.
    fn conflict(&self, write: &Write) -> Option<usize> {
        let Some((list, from)) = &write.list else {
            return self.moved(&write.path).or_else(|| self.wrote(&write.path));
        };
        // Each policy computed its indices on the original list, so only appending is safe.
        let same = self.lists.get(list).filter(|(_, moved)| from.is_some() && moved.is_some());
        let follows =
            |done: &str| index_below(done, list).is_some_and(|at| from.is_some_and(|from| at >= from));
        let mut below = self.written.range(format!("{list}/")..).take_while(|(done, _)| within(done, list));
        same.map(|(part, _)| *part)
            .or_else(|| self.moved(list))
            .or_else(|| below.find(|(done, _)| follows(done)).map(|(_, part)| *part))
            .or_else(|| from.and_then(|_| self.replaced(list)))
    }

    /// The part that inserted or removed an element before the path in a list that contains it.
    fn moved(&self, path: &str) -> Option<usize> {
        let lists =
            path.char_indices().filter(|(_, letter)| *letter == '/').filter_map(|(at, _)| path.get(..at));
        lists.into_iter().find_map(|list| match self.lists.get(list)? {
            (part, Some(from)) if index_below(path, list)? >= *from => Some(*part),
            _ => None,
        })
    }

    /// The part that wrote the path or a parent.
    fn replaced(&self, path: &str) -> Option<usize> {
        let parents = path.char_indices().filter(|(_, letter)| *letter == '/').map(|(at, _)| at);
        let above = parents.filter_map(|at| self.written.get(path.get(..at)?));
        above.chain(self.written.get(path)).min().copied()
    }

    /// The first part that wrote the path, a parent or a child.
    fn wrote(&self, path: &str) -> Option<usize> {
        let below = self.written.range(format!("{path}/")..).take_while(|(done, _)| within(done, path));
        let parents = path.char_indices().filter(|(_, letter)| *letter == '/').map(|(at, _)| at);
        // Adding a field to a parent that another policy created is no conflict.
        let sibling = self.object.pointer(path).is_none();
        let above = parents.filter(|_| !sibling).filter_map(|at| self.written.get(path.get(..at)?));
        below.map(|(_, at)| at).chain(above).chain(self.written.get(path)).min().copied()
    }

    pub fn operations(self) -> Vec<PatchOperation> {
        self.parts.into_iter().flat_map(|(_, operations)| operations).collect()
    }
}

/// The fields that a patch must not change: the API server owns them, or they identify the object.
const FORBIDDEN: [&str; 7] = [
    "/metadata/managedFields",
    "/metadata/uid",
    "/metadata/resourceVersion",
    "/metadata/name",
    "/metadata/namespace",
    "/apiVersion",
    "/kind",
];

/// The paths that an operation writes; a move writes two.
fn written(operation: &PatchOperation) -> impl Iterator<Item = &str> {
    let (from, to) = match operation {
        PatchOperation::Test(_) => (None, None),
        PatchOperation::Move(moved) => (Some(moved.from.as_str()), Some(moved.path.as_str())),
        other => (None, Some(other.path().as_str())),
    };
    from.into_iter().chain(to)
}

struct Write {
    path: String,
    /// For an element of a list: the list, and the index from which elements move; `None` at the end.
    list: Option<(String, Option<usize>)>,
}

impl Write {
    /// The write of an operation to an object that is not patched yet.
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

/// The index of the list element that contains the path.
fn index_below(path: &str, list: &str) -> Option<usize> {
    path.strip_prefix(list)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}

fn within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
