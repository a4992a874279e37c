use serde_json::{Value as Json, json};

use super::*;
use crate::tests::{decided_with_context, policy_set, review};

const LABEL: &str = "merge contains {\"metadata\": {\"labels\": {\"a\": \"1\"}}}";

/// Policy and second operation of each patch that is not idempotent.
fn repeated(policies: &[(&str, &str)], operation: &str, object: &Json) -> Vec<(String, String)> {
    let set = policy_set(policies);
    let old = if operation == "UPDATE" { object.clone() } else { Json::Null };
    let review = review(Endpoint::Mutate, operation, "configmaps", object, &old);
    let (verdict, context) = decided_with_context(&set, &review);
    repeated_patches(&set, &context, &review, &verdict, Budget::default(), |_| true)
        .into_iter()
        .map(|repeat| {
            assert_eq!(repeat.location, (format!("{}.rego", repeat.policy), 7), "{repeat}");
            (repeat.policy, repeat.second)
        })
        .collect()
}

#[test]
fn patch_that_changes_its_own_result_is_named() {
    let object = json!({"metadata": {"name": "x"}, "list": ["a"]});
    let append = "patch contains {\"op\": \"add\", \"path\": \"/list/-\", \"value\": \"b\"}";
    let count = "merge contains {\"n\": object.get(input.request.object, \"n\", 0) + 1}";
    let guarded = "patch contains {\"op\": \"add\", \"path\": \"/list/-\", \"value\": \"b\"} if not \"b\" in input.request.object.list";
    let same = "patch contains {\"op\": \"add\", \"path\": \"/data\", \"value\": {\"b\": \"2\"}}";
    let remove = "patch contains {\"op\": \"remove\", \"path\": \"/list\"}";
    for operation in ["CREATE", "UPDATE"] {
        let added = "{\"op\":\"add\",\"path\":\"/list/-\",\"value\":\"b\"}";
        assert_eq!(repeated(&[("a", append)], operation, &object), [("a".to_owned(), added.to_owned())]);
        let counted = "{\"op\":\"replace\",\"path\":\"/n\",\"value\":2}";
        assert_eq!(repeated(&[("a", count)], operation, &object), [("a".to_owned(), counted.to_owned())]);
        for idempotent in [guarded, same, LABEL] {
            assert_eq!(repeated(&[("a", idempotent)], operation, &object), []);
        }
        let [(id, why)] = repeated(&[("a", remove)], operation, &object).try_into().unwrap();
        assert!(id == "a" && why.contains("which does not apply"), "{why}");
        // Of several policies only the one that repeats itself.
        let both = repeated(&[("a", LABEL), ("b", append), ("c", guarded)], operation, &object);
        assert_eq!(both.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["b"]);
    }
    assert_eq!(repeated(&[("a", LABEL)], "CREATE", &json!({"metadata": {"labels": {"a": "1"}}})), []);
}
