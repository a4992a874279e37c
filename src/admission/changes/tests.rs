use super::*;
use crate::review::Endpoint;
use crate::tests::{review, update};
use serde_json::json;

fn check(old: &Json, new: &Json, pointers: &[&str]) {
    assert_eq!(changed(&update(new, old)), pointers, "{old} {new}");
}

#[test]
fn equal_objects_differ_in_nothing() {
    let object = json!({"metadata": {"labels": {"a": "1"}}, "spec": [1, {"a": null}]});
    check(&object, &object, &[]);
    check(&json!({"a": 1, "b": 2}), &json!({"b": 2, "a": 1}), &[]);
}

#[test]
fn changed_fields_are_sorted_pointers() {
    check(&json!({"a": {"b": 1, "c": 2}}), &json!({"a": {"b": 1, "c": 3}}), &["/a/c"]);
    check(&json!({"b": 1, "a": 1}), &json!({"b": 2, "a": 2, "c": 3}), &["/a", "/b", "/c"]);
    check(&json!({"a": {"b": 1}}), &json!({}), &["/a"]);
    check(&json!({"a": {"b": 1}}), &json!({"a": [1]}), &["/a"]);
    check(&json!({"a": 1}), &json!({"a": "1"}), &["/a"]);
    check(&json!({"x.io/~y": 1}), &json!({"x.io/~y": 2}), &["/x.io~1~0y"]);
}

#[test]
fn lists_are_compared_place_by_place() {
    check(&json!({"a": [1, 2]}), &json!({"a": [1, 3]}), &["/a/1"]);
    check(&json!({"a": [1]}), &json!({"a": [1, 2]}), &["/a/1"]);
    check(&json!({"a": [1, 2]}), &json!({"a": [2]}), &["/a/0", "/a/1"]);
    check(&json!({"a": [{"b": 1}]}), &json!({"a": [{"b": 2}]}), &["/a/0/b"]);
    check(&json!({"a": []}), &json!({"a": [null]}), &["/a/0"]);
}

#[test]
fn absent_and_null_are_the_same_in_a_map() {
    check(&json!({"a": null}), &json!({}), &[]);
}

#[test]
fn more_than_a_thousand_are_counted_no_further() {
    let many = |count: usize, value: u32| json!(vec![value; count]);
    let of = |count| changed(&update(&json!({"a": many(count, 1)}), &json!({"a": many(count, 2)})));
    assert_eq!((of(1000).len(), of(1000)[999].as_str()), (1000, "/a/999"));
    assert_eq!((of(1001).len(), of(1001)[999].as_str()), (1000, "…"));
    assert_eq!(of(5000).len(), 1000);
}

/// Metadata of an object that is being deleted, with these finalizers.
fn dying(finalizers: &Json) -> Json {
    json!({"metadata": {"name": "x", "deletionTimestamp": "2030-01-01T00:00:00Z", "finalizers": finalizers}, "data": {"a": "1"}})
}

fn removal(old: &Json, new: &Json, expected: bool) {
    assert_eq!(finalizer_removal(&update(new, old)), expected, "{old} {new}");
}

#[test]
fn taking_finalizers_off_a_dying_object_is_a_removal() {
    let without =
        json!({"metadata": {"name": "x", "deletionTimestamp": "2030-01-01T00:00:00Z"}, "data": {"a": "1"}});
    removal(&dying(&json!(["a"])), &dying(&json!([])), true);
    removal(&dying(&json!(["a", "b"])), &dying(&json!(["b"])), true);
    removal(&dying(&json!(["a"])), &dying(&Json::Null), true);
    removal(&dying(&json!(["a"])), &without, true);
}

#[test]
fn what_every_write_changes_by_itself_does_not_count() {
    let mut new = dying(&json!([]));
    new["metadata"]["resourceVersion"] = json!("2");
    new["metadata"]["generation"] = json!(2);
    new["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    removal(&dying(&json!(["a"])), &new, true);
}

#[test]
fn whatever_rides_along_makes_it_none() {
    let old = dying(&json!(["a"]));
    for (path, value) in [
        ("/data/a", json!("2")),
        ("/data", json!({})),
        ("/metadata/name", json!("y")),
        ("/metadata/deletionTimestamp", json!("2031-01-01T00:00:00Z")),
        ("/metadata/deletionTimestamp", Json::Null),
    ] {
        let mut new = dying(&json!([]));
        *new.pointer_mut(path).unwrap() = value;
        removal(&old, &new, false);
    }
    for key in ["labels", "annotations", "ownerReferences", "deletionGracePeriodSeconds"] {
        let mut new = dying(&json!([]));
        new["metadata"][key] = json!({"a": "1"});
        removal(&old, &new, false);
    }
    let mut new = dying(&json!([]));
    new["status"] = json!({"phase": "x"});
    removal(&old, &new, false);
}

#[test]
fn only_removed_finalizers_count_as_removal() {
    let old = dying(&json!(["a", "b"]));
    for new in [
        json!(["a", "b"]),
        json!(["b", "a"]),
        json!(["a", "b", "c"]),
        json!(["c"]),
        json!(["a", "c"]),
        json!("a"),
        json!({"a": 1}),
    ] {
        removal(&old, &dying(&new), false);
    }
    removal(&dying(&json!([])), &dying(&json!([])), false);
    removal(&dying(&Json::Null), &dying(&Json::Null), false);
    removal(&dying(&json!("a")), &dying(&json!([])), false);
}

#[test]
fn an_object_that_lives_on_keeps_its_finalizers() {
    let alive = |finalizers: Json| json!({"metadata": {"name": "x", "finalizers": finalizers}});
    removal(&alive(json!(["a"])), &alive(json!([])), false);
    let null = |finalizers: Json| json!({"metadata": {"deletionTimestamp": null, "finalizers": finalizers}});
    removal(&null(json!(["a"])), &null(json!([])), false);
    for odd in [json!(""), json!(0), json!(true), json!({}), json!([]), json!("soon")] {
        let odd =
            |finalizers: Json| json!({"metadata": {"deletionTimestamp": odd, "finalizers": finalizers}});
        removal(&odd(json!(["a"])), &odd(json!([])), false);
    }
    // Only the old object can say that it is dying: the new one is the requester's.
    removal(&alive(json!(["a"])), &dying(&json!([])), false);
}

#[test]
fn only_an_update_is_a_removal() {
    let (old, new) = (dying(&json!(["a"])), dying(&json!([])));
    for operation in ["CREATE", "DELETE", "CONNECT", "PATCH"] {
        let review = review(Endpoint::Validate, operation, "configmaps", &new, &old);
        assert!(!finalizer_removal(&review), "{operation}");
    }
    removal(&old, &Json::Null, false);
    removal(&Json::Null, &new, false);
}

#[test]
fn a_removal_among_very_many_finalizers_is_found() {
    // Compared one by one they would take hours.
    let names = |count: usize| json!((0..count).map(|at| format!("example.com/{at}")).collect::<Vec<_>>());
    removal(&dying(&names(300_000)), &dying(&names(299_999)), true);
    let mut other = names(299_999);
    other[7] = json!("example.com/new");
    removal(&dying(&names(300_000)), &dying(&other), false);
}

#[test]
fn pointers_are_bounded_in_bytes() {
    let key = "k".repeat(POINTER_BYTES_MAX / 10);
    let of = |value: u32| json!({ key.clone(): vec![value; 500] });
    let found = changed(&update(&of(1), &of(2)));
    assert_eq!((found.len(), found.last().map(String::as_str)), (10, Some("…")));
    assert!(found.iter().map(String::len).sum::<usize>() <= POINTER_BYTES_MAX);
}

/// `value` below so many objects.
fn nested(levels: usize, value: &str) -> String {
    format!("{}{value}{}", "{\"a\":".repeat(levels), "}".repeat(levels))
}

#[test]
fn objects_as_deep_as_kubernetes_reads_them_are_compared() {
    let of = |operation: &str, metadata: &str, old: &str, new: &str| {
        let object = |spec: &str| format!(r#"{{"metadata": {metadata}, "spec": {}}}"#, nested(9_998, spec));
        let text = format!(
            r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u",
            "resource": {{"group": "x.io", "version": "v1", "resource": "things"}}, "operation": "{operation}",
            "object": {}, "oldObject": {}}}}}"#,
            object(new),
            object(old).replace("[]", r#"["a"]"#),
        );
        let project = |_: &crate::Header| portcullis_policy::select::Projection::everything();
        crate::review::decode(text.into_bytes().into(), Endpoint::Validate, &project).unwrap()
    };
    let dying = r#"{"deletionTimestamp": "2030-01-01T00:00:00Z", "finalizers": []}"#;
    let removed = of("UPDATE", dying, "1", "1");
    assert!(removed.cut && removed.depth > DEPTH_MAX);
    assert!(finalizer_removal(&removed));
    assert_eq!(changed(&removed), ["/metadata/finalizers/0"]);
    let changed_too = of("UPDATE", dying, "1", "2");
    assert!(!finalizer_removal(&changed_too));
    assert_eq!(changed(&changed_too).len(), 2);
}
