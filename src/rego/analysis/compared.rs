//! Comparisons of a reference with texts.

use serde_json::{Map, Value as Json};

use super::super::tree::chain;

/// What an object of the tree compares: a reference, and a text that it is held against.
pub(super) fn of(map: &Map<String, Json>) -> Vec<(&Json, String)> {
    let equal = map.get("BoolExpr").filter(|node| node.get("op").and_then(Json::as_str) == Some("Eq"));
    let equal = equal
        .or_else(|| map.get("AssignExpr").filter(|node| node.get("op").and_then(Json::as_str) == Some("Eq")));
    let mut found = Vec::new();
    if let Some((left, right)) = equal.and_then(|node| Some((node.get("lhs")?, node.get("rhs")?))) {
        for (one, other) in [(left, right), (right, left)] {
            found.extend(text(other).filter(|_| is_reference(one)).map(|text| (one, text)));
        }
    }
    let membership = map.get("Membership").filter(|node| node.get("key").is_none_or(Json::is_null));
    if let Some((value, collection)) =
        membership.and_then(|node| Some((node.get("value")?, node.get("collection")?)))
    {
        let items = ["/Set/items", "/Array/items"].iter().find_map(|at| collection.pointer(at)?.as_array());
        let texts = items.into_iter().flatten().filter_map(text);
        found.extend(texts.filter(|_| is_reference(value)).map(|text| (value, text)));
    }
    found
}

fn text(node: &Json) -> Option<String> {
    let text = ["String", "RawString"].iter().find_map(|kind| node.get(kind)?.get("value")?.as_str());
    text.map(str::to_owned)
}

fn is_reference(node: &Json) -> bool {
    chain(node).0.is_some()
}
