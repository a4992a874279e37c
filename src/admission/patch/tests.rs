use super::*;
use serde_json::json;

/// What a fragment becomes, that it leads where RFC 7396 says, and that a second time is empty.
fn check(object: &Json, fragment: &Json, expected: &Json) {
    let operations = from_merge(object, fragment).unwrap();
    assert_eq!(serde_json::to_value(&operations).unwrap(), *expected, "{object} {fragment}");
    let (mut patched, mut merged) = (object.clone(), object.clone());
    json_patch::patch(&mut patched, &Patch(operations)).unwrap();
    json_patch::merge(&mut merged, fragment);
    assert_eq!(patched, merged, "{object} {fragment}");
    assert_eq!(from_merge(&patched, fragment).unwrap(), [], "{object} {fragment} a second time");
}

fn operations(operations: &Json) -> Vec<PatchOperation> {
    from_operations(operations.as_array().unwrap().clone()).unwrap()
}

/// Operations of policies in turn, and what is said of the last.
fn add(object: &Json, policies: &[Json]) -> (Json, Result<(), PatchError>) {
    let mut composed = Composed::new(object.clone());
    let mut last = Ok(());
    for (index, policy) in policies.iter().enumerate() {
        assert_eq!(last, Ok(()), "before the last");
        last = composed.add(&format!("p{index}"), operations(policy));
    }
    (composed.object, last)
}

fn conflict(path: &str) -> Result<(), PatchError> {
    Err(PatchError::Conflict { path: path.to_owned(), other: "p0".to_owned() })
}

#[test]
fn parents_that_are_missing_are_made() {
    check(
        &json!({}),
        &json!({"a": {"b": {"c": 1}}}),
        &json!([{"op": "add", "path": "/a", "value": {"b": {"c": 1}}}]),
    );
    check(
        &json!({"a": {}}),
        &json!({"a": {"b": {"c": 1}}}),
        &json!([{"op": "add", "path": "/a/b", "value": {"c": 1}}]),
    );
    check(
        &json!({"a": {"x": 1}}),
        &json!({"a": {"b": 2}}),
        &json!([{"op": "add", "path": "/a/b", "value": 2}]),
    );
    check(&json!({}), &json!({"a": {}}), &json!([{"op": "add", "path": "/a", "value": {}}]));
}

#[test]
fn a_map_that_is_null_or_no_map_is_replaced() {
    for there in [json!(null), json!("x"), json!([1])] {
        check(
            &json!({"a": there}),
            &json!({"a": {"b": 1}}),
            &json!([{"op": "replace", "path": "/a", "value": {"b": 1}}]),
        );
    }
    check(
        &json!({"a": {"b": 1}}),
        &json!({"a": [1]}),
        &json!([{"op": "replace", "path": "/a", "value": [1]}]),
    );
}

#[test]
fn tilde_and_slash_are_escaped() {
    check(
        &json!({"a": {}}),
        &json!({"a": {"x.io/~y": "1"}}),
        &json!([{"op": "add", "path": "/a/x.io~1~0y", "value": "1"}]),
    );
    check(
        &json!({"~1": {"b": 1}}),
        &json!({"~1": {"b": 2}}),
        &json!([{"op": "replace", "path": "/~01/b", "value": 2}]),
    );
    check(&json!({"": {"b": 1}}), &json!({"": {"b": null}}), &json!([{"op": "remove", "path": "//b"}]));
}

#[test]
fn nulls_remove_fields_or_are_left_out() {
    check(&json!({"a": 1}), &json!({"a": null}), &json!([{"op": "remove", "path": "/a"}]));
    check(&json!({"a": null}), &json!({"a": null}), &json!([{"op": "remove", "path": "/a"}]));
    check(&json!({}), &json!({"a": null}), &json!([]));
    check(
        &json!({}),
        &json!({"a": {"b": null, "c": {"d": null}}}),
        &json!([{"op": "add", "path": "/a", "value": {"c": {}}}]),
    );
    check(
        &json!({"a": {"b": 1, "c": 2}}),
        &json!({"a": {"b": null}}),
        &json!([{"op": "remove", "path": "/a/b"}]),
    );
}

#[test]
fn equal_values_cost_nothing() {
    let object = json!({"a": {"b": 1, "c": [1, {"d": null}]}, "e": "f"});
    check(&object, &json!({"a": {"b": 1}, "e": "f"}), &json!([]));
    check(&object, &object, &json!([]));
    check(&object, &json!({}), &json!([]));
}

#[test]
fn a_fragment_is_an_object_and_so_is_what_it_falls_on() {
    for fragment in [json!([]), json!("a"), json!(null), json!(1)] {
        assert_eq!(from_merge(&json!({}), &fragment), Err(PatchError::Fragment), "{fragment}");
    }
    assert!(matches!(from_merge(&Json::Null, &json!({"a": 1})), Err(PatchError::Apply(_))));
}

#[test]
fn invalid_operation_is_rejected() {
    for document in [
        json!({}),
        json!("add"),
        json!({"op": "ad", "path": "/a", "value": 1}),
        json!({"op": "add", "path": "a", "value": 1}),
        json!({"op": "add", "path": "/a"}),
    ] {
        let said = from_operations(vec![document.clone()]);
        assert!(matches!(said, Err(PatchError::Operation(_))), "{document}");
    }
}

#[test]
fn policies_that_write_different_things_agree() {
    let object = json!({"metadata": {"labels": {"x": "1"}}});
    let (object, last) = add(
        &object,
        &[
            json!([{"op": "add", "path": "/metadata/labels/a", "value": "1"}]),
            json!([{"op": "add", "path": "/metadata/labels/b", "value": "2"}]),
            json!([{"op": "remove", "path": "/metadata/labels/x"}]),
        ],
    );
    assert_eq!((object, last), (json!({"metadata": {"labels": {"a": "1", "b": "2"}}}), Ok(())));
}

#[test]
fn a_sibling_below_a_parent_that_another_made_is_no_conflict() {
    let (object, last) = add(
        &json!({}),
        &[
            json!([{"op": "add", "path": "/labels", "value": {"a": "1"}}]),
            json!([{"op": "add", "path": "/labels/b", "value": "2"}]),
        ],
    );
    assert_eq!((object, last), (json!({"labels": {"a": "1", "b": "2"}}), Ok(())));
}

#[test]
fn what_another_took_away_below_its_own_parent_is_a_conflict() {
    let (_, last) = add(
        &json!({}),
        &[
            json!([{"op": "add", "path": "/labels", "value": {"a": "1", "b": "1"}}, {"op": "remove", "path": "/labels/b"}]),
            json!([{"op": "add", "path": "/labels/b", "value": "2"}]),
        ],
    );
    assert_eq!(last, conflict("/labels/b"));
}

#[test]
fn what_another_has_written_is_not_overwritten() {
    let first = json!([{"op": "add", "path": "/a", "value": {"b": "1"}}]);
    for (second, path) in [
        (json!([{"op": "replace", "path": "/a", "value": "2"}]), "/a"),
        (json!([{"op": "replace", "path": "/a/b", "value": "2"}]), "/a/b"),
        (json!([{"op": "remove", "path": "/a/b"}]), "/a/b"),
        (json!([{"op": "remove", "path": "/a"}]), "/a"),
        (json!([{"op": "move", "from": "/a/b", "path": "/c"}]), "/a/b"),
    ] {
        let (object, last) = add(&json!({"c": 1}), &[first.clone(), second.clone()]);
        assert_eq!((object, last), (json!({"a": {"b": "1"}, "c": 1}), conflict(path)), "{second}");
    }
    let (_, last) = add(
        &json!({"a": {"b": 1}}),
        &[
            json!([{"op": "replace", "path": "/a/b", "value": 2}]),
            json!([{"op": "replace", "path": "/a", "value": {}}]),
        ],
    );
    assert_eq!(last, conflict("/a"));
}

#[test]
fn a_name_that_begins_alike_is_another() {
    let (_, last) = add(
        &json!({"a": 1, "ab": 1, "metadata": {"names": 1}}),
        &[
            json!([{"op": "replace", "path": "/a", "value": 2}]),
            json!([{"op": "replace", "path": "/ab", "value": 2}, {"op": "replace", "path": "/metadata/names", "value": 2}]),
        ],
    );
    assert_eq!(last, Ok(()));
}

#[test]
fn the_same_operation_twice_is_done_once() {
    for (object, operation, expected) in [
        (json!({"a": [1]}), json!([{"op": "add", "path": "/a/-", "value": 2}]), json!({"a": [1, 2]})),
        (json!({"a": 1}), json!([{"op": "remove", "path": "/a"}]), json!({})),
        (json!({}), json!([{"op": "add", "path": "/a", "value": 1}]), json!({"a": 1})),
    ] {
        assert_eq!(add(&object, &[operation.clone(), operation]), (expected, Ok(())));
    }
}

#[test]
fn what_belongs_to_the_api_server_is_not_touched() {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "managedFields": [{}], "labels": {}}});
    for (operation, forbidden) in [
        (json!({"op": "replace", "path": "/metadata/name", "value": "b"}), "/metadata/name"),
        (json!({"op": "replace", "path": "/metadata/namespace", "value": "b"}), "/metadata/namespace"),
        (json!({"op": "remove", "path": "/metadata/uid"}), "/metadata/uid"),
        (json!({"op": "remove", "path": "/metadata/resourceVersion"}), "/metadata/resourceVersion"),
        (json!({"op": "remove", "path": "/metadata/managedFields/0"}), "/metadata/managedFields"),
        (json!({"op": "replace", "path": "/apiVersion", "value": "v2"}), "/apiVersion"),
        (json!({"op": "replace", "path": "/kind", "value": "Secret"}), "/kind"),
        (json!({"op": "replace", "path": "/metadata", "value": {"name": "b"}}), "/metadata/managedFields"),
        (json!({"op": "remove", "path": "/metadata"}), "/metadata/managedFields"),
        (json!({"op": "replace", "path": "", "value": {}}), "/metadata/managedFields"),
        (json!({"op": "move", "from": "/metadata/name", "path": "/metadata/labels/a"}), "/metadata/name"),
        (json!({"op": "move", "from": "/metadata", "path": "/spec"}), "/metadata/managedFields"),
        (json!({"op": "add", "path": "/metadata/managedFields/-", "value": {}}), "/metadata/managedFields"),
        (json!({"op": "copy", "from": "/metadata/labels", "path": "/metadata/name"}), "/metadata/name"),
    ] {
        let (after, last) = add(&object, &[json!([operation])]);
        assert_eq!(
            (&after, last),
            (&object, Err(PatchError::Forbidden(forbidden.to_owned()))),
            "{operation}"
        );
    }
    for operation in [
        json!({"op": "copy", "from": "/metadata/name", "path": "/metadata/labels/a"}),
        json!({"op": "test", "path": "/metadata/name", "value": "a"}),
        json!({"op": "add", "path": "/metadata/generateName", "value": "a"}),
    ] {
        assert_eq!(add(&object, &[json!([operation])]).1, Ok(()), "{operation}");
    }
    for object in
        [json!({"kind": "Pod"}), json!({"metadata": null}), json!({"metadata": {"labels": {"a": "1"}}})]
    {
        let metadata = |value: Json| json!([{"op": "add", "path": "/metadata", "value": value}]);
        assert_eq!(
            add(&object, &[metadata(json!({"labels": {}}))]).1,
            Ok(()),
            "{object} has nothing there to lose"
        );
        let forbidden = Err(PatchError::Forbidden("/metadata/name".to_owned()));
        assert_eq!(add(&object, &[metadata(json!({"name": "x"}))]).1, forbidden, "{object}");
    }
}

#[test]
fn failed_patch_changes_nothing() {
    let object = json!({"a": 1});
    for operations in [
        json!([{"op": "replace", "path": "/a", "value": 2}, {"op": "remove", "path": "/b"}]),
        json!([{"op": "add", "path": "/b/c", "value": 2}]),
        json!([{"op": "test", "path": "/a", "value": 2}]),
    ] {
        let (after, last) = add(&object, &[operations]);
        assert!(matches!(last, Err(PatchError::Apply(_))), "{last:?}");
        assert_eq!(after, object);
    }
}

#[test]
fn a_patch_has_a_size() {
    let large = |size: usize| json!([{"op": "add", "path": "/a", "value": "x".repeat(size)}]);
    assert_eq!(add(&json!({}), &[large(PATCH_BYTES_MAX - 100)]).1, Ok(()));
    assert_eq!(add(&json!({}), &[large(PATCH_BYTES_MAX)]).1, Err(PatchError::Size));
    let half = |path: &str| json!([{"op": "add", "path": path, "value": "x".repeat(PATCH_BYTES_MAX / 2)}]);
    assert_eq!(add(&json!({}), &[half("/a"), half("/b")]).1, Err(PatchError::Size), "all of them together");
}

#[test]
fn an_insertion_or_a_removal_writes_what_follows_it_in_the_list() {
    let object = json!({"c": [{"i": "a"}, {"i": "b"}], "d": [1, 2]});
    let insert = json!([{"op": "add", "path": "/c/0", "value": {"i": "new"}}]);
    let remove = json!([{"op": "remove", "path": "/c/0"}]);
    let replace = |at: usize| json!([{"op": "replace", "path": format!("/c/{at}/i"), "value": "x"}]);
    for (first, second, path) in [
        (insert.clone(), replace(1), "/c/1/i"),
        (remove.clone(), replace(1), "/c/1/i"),
        (insert.clone(), replace(0), "/c/0/i"),
        (replace(1), insert.clone(), "/c/0"),
        (replace(1), remove, "/c/0"),
        (json!([{"op": "add", "path": "/c/1", "value": 1}]), insert.clone(), "/c/0"),
        (json!([{"op": "move", "from": "/c/0", "path": "/e"}]), replace(1), "/c/1/i"),
        (
            json!([{"op": "add", "path": "/c/-", "value": 1}]),
            json!([{"op": "replace", "path": "/c", "value": []}]),
            "/c",
        ),
    ] {
        let (_, last) = add(&object, &[first.clone(), second.clone()]);
        assert_eq!(last, conflict(path), "{first} {second}");
    }
    for (first, second) in [
        (replace(0), json!([{"op": "add", "path": "/c/1", "value": {"i": "new"}}])),
        (insert, json!([{"op": "replace", "path": "/d/1", "value": 3}])),
        (replace(1), json!([{"op": "add", "path": "/c/-", "value": {"i": "new"}}])),
    ] {
        let (_, last) = add(&object, &[first.clone(), second.clone()]);
        assert_eq!(last, Ok(()), "{first} {second}");
    }
}

#[test]
fn what_policies_append_stands_side_by_side() {
    let append = |value: &str| json!([{"op": "add", "path": "/l/-", "value": value}]);
    let (object, last) = add(&json!({"l": ["a"]}), &[append("b"), append("c"), append("b")]);
    assert_eq!((object, last), (json!({"l": ["a", "b", "c"]}), Ok(())));
    let first = json!([{"op": "add", "path": "/l/0", "value": "first"}]);
    let (object, last) = add(&json!({"l": ["a"]}), &[append("b"), first]);
    assert_eq!((object, last), (json!({"l": ["first", "a", "b"]}), Ok(())));
}
