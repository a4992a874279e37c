//! What differs between two revisions, as the RFC 6902 operations that turn one into the other, each with what was there.

use json_patch::{Patch, PatchOperation};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `add`, `remove` or `replace`.
    pub op: &'static str,
    /// RFC 6901 pointer into the revision.
    #[schema(example = "/source/containerImage/tag")]
    pub path: String,
    /// What was there; absent for `add`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub before: Option<Value>,
    /// What is there then; absent for `remove`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub after: Option<Value>,
}

/// The differences, in an order in which they can be applied.
pub fn changes(from: &Value, to: &Value) -> Vec<Change> {
    let mut current = from.clone();
    let mut changes = Vec::new();
    for operation in json_patch::diff(from, to).0 {
        let change = match &operation {
            PatchOperation::Add(add) => change("add", add.path.as_str(), None, Some(add.value.clone())),
            PatchOperation::Remove(remove) => {
                let path = remove.path.as_str();
                change("remove", path, current.pointer(path).cloned(), None)
            }
            PatchOperation::Replace(replace) => {
                let path = replace.path.as_str();
                change("replace", path, current.pointer(path).cloned(), Some(replace.value.clone()))
            }
            PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => continue,
        };
        // Positions in a list are those of the moment, so the next operation is read against what this one leaves.
        let _ = json_patch::patch(&mut current, &Patch(vec![operation]));
        changes.push(change);
    }
    changes
}

fn change(op: &'static str, path: &str, before: Option<Value>, after: Option<Value>) -> Change {
    Change { op, path: path.to_owned(), before, after }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_there_is_told_position_by_position() {
        let from = json!({ "a": [1, 2, 3], "b": { "c/d": "x" }, "gone": null });
        let to = json!({ "a": [3], "b": { "c/d": "y" }, "new": 1 });
        let found = changes(&from, &to);
        let mut replayed = from.clone();
        for change in &found {
            assert_eq!(replayed.pointer(&change.path), change.before.as_ref(), "{change:?}");
            let mut operation = json!({ "op": change.op, "path": change.path });
            if let Some(after) = &change.after {
                operation["value"] = after.clone();
            }
            let operation: PatchOperation = serde_json::from_value(operation).unwrap();
            json_patch::patch(&mut replayed, &Patch(vec![operation])).unwrap();
        }
        assert_eq!(replayed, to);
        assert!(found.iter().any(|c| c.path == "/b/c~1d" && c.before == Some(json!("x"))));
        assert_eq!(changes(&to, &to), []);
    }
}
