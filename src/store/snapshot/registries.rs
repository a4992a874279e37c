//! Which registries a tenant really has: what it was given, narrowed by itself, inside the ceiling.

use serde_json::Value;

use crate::tenancy::Entry;

/// The effective list; `None` where the tenant has no registry policy.
///
/// The ceiling may have been lowered since a list was written, and a list outside it would make the whole document
/// invalid; so what is left is what both admit, at path boundaries.
pub(super) fn effective(
    given: Option<&Value>,
    narrowed: Option<&Value>,
    ceiling: &[String],
) -> Option<Vec<String>> {
    let base = match given? {
        Value::Array(list) => within(&texts(list), ceiling),
        // The word `inherit`.
        Value::String(_) => ceiling.to_vec(),
        _ => return None,
    };
    Some(match narrowed {
        Some(Value::Array(list)) => within(&texts(list), &base),
        _ => base,
    })
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What both lists admit: of two entries of which one covers the other, the narrower.
fn within(list: &[String], bound: &[String]) -> Vec<String> {
    let read = |texts: &[String]| -> Vec<(String, Entry)> {
        texts.iter().filter_map(|text| Some((text.clone(), Entry::parse(text).ok()?))).collect()
    };
    let bound = read(bound);
    let mut kept: Vec<String> = Vec::new();
    for (text, entry) in read(list) {
        for (wider_text, wider) in &bound {
            let narrower = match (entry.is_within(wider), wider.is_within(&entry)) {
                (true, _) => &text,
                (false, true) => wider_text,
                (false, false) => continue,
            };
            if !kept.contains(narrower) {
                kept.push(narrower.clone());
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(given: Value, narrowed: Value, expected: Option<&[&str]>) {
        let ceiling = ["registry.example.com".to_owned(), "docker.io/library".to_owned()];
        let some = |value: &Value| if value.is_null() { None } else { Some(value.clone()) };
        let found = effective(some(&given).as_ref(), some(&narrowed).as_ref(), &ceiling);
        let expected = expected.map(|list| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, expected, "{given} narrowed to {narrowed}");
    }

    #[test]
    fn what_is_left_is_inside_everything() {
        check(json!(null), json!(null), None);
        check(json!([]), json!(null), Some(&[]));
        check(json!("inherit"), json!(null), Some(&["registry.example.com", "docker.io/library"]));
        check(json!("inherit"), json!(["registry.example.com/a"]), Some(&["registry.example.com/a"]));
        check(json!(["docker.io"]), json!(null), Some(&["docker.io/library"]));
        check(json!(["docker.io/library/nginx", "ghcr.io"]), json!(null), Some(&["docker.io/library/nginx"]));
        check(json!(["registry.example.com/a"]), json!(["registry.example.com/b"]), Some(&[]));
        check(json!(["registry.example.com/a"]), json!(["registry.example.com/ab"]), Some(&[]));
    }
}
