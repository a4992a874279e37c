use super::*;
use crate::review::Endpoint;
use crate::tests::{decided, policy_set, review};
use portcullis_tenancy::example;
use serde_json::json;

const LABEL: &str = "merge contains {\"metadata\": {\"labels\": {\"a\": \"1\"}}}";

fn mutated(policies: &[(&str, &str)], operation: &str, object: &Json, old: &Json) -> Verdict {
    decided(&policy_set(policies), &review(Endpoint::Mutate, operation, "configmaps", object, old))
}

/// Compares the patched object, and a substring of each warning.
fn check(policies: &[(&str, &str)], object: &Json, patched: &Json, warnings: &[&str]) {
    let verdict = mutated(policies, "CREATE", object, &Json::Null);
    assert!(verdict.allowed(), "mutating never denies");
    let mut after = object.clone();
    json_patch::patch(&mut after, &json_patch::Patch(verdict.patch.clone())).unwrap();
    assert_eq!(after, *patched, "{:?}", verdict.dropped);
    let lines = verdict.warning_lines();
    let fits =
        lines.len() == warnings.len() && lines.iter().zip(warnings).all(|(line, part)| line.contains(part));
    assert!(fits, "{lines:#?}");
}

#[test]
fn patches_of_policies_are_composed_in_order_of_id() {
    let patch = "patch contains {\"op\": \"add\", \"path\": \"/data\", \"value\": {\"b\": \"2\"}}";
    check(
        &[("z", LABEL), ("a", patch)],
        &json!({"metadata": {}}),
        &json!({"metadata": {"labels": {"a": "1"}}, "data": {"b": "2"}}),
        &[],
    );
    check(
        &[
            ("a", "merge contains {\"data\": {\"a\": \"1\"}}"),
            ("b", "merge contains {\"data\": {\"b\": \"2\"}}"),
        ],
        &json!({}),
        &json!({"data": {"a": "1", "b": "2"}}),
        &[],
    );
}

#[test]
fn equal_values_give_no_patch() {
    let object = json!({"metadata": {"labels": {"a": "1"}}});
    check(&[("a", LABEL)], &object, &object, &[]);
    assert!(mutated(&[("a", LABEL)], "CREATE", &object, &Json::Null).outcomes.is_empty());
}

#[test]
fn only_creates_and_updates_are_patched() {
    let object = json!({"metadata": {}});
    assert_eq!(mutated(&[("a", LABEL)], "UPDATE", &object, &object).patch.len(), 1);
    assert!(mutated(&[("a", LABEL)], "DELETE", &Json::Null, &object).patch.is_empty());
    assert!(mutated(&[("a", LABEL)], "CONNECT", &object, &Json::Null).patch.is_empty());
}

#[test]
fn a_patch_that_would_be_denied_is_dropped_and_named() {
    let denies = "deny contains \"no\" if input.request.object.metadata.labels.a";
    let other = "merge contains {\"data\": {\"b\": \"2\"}}";
    let expected = json!({"metadata": {"name": "x"}, "data": {"b": "2"}});
    let policies = [("labels", LABEL), ("denies", denies), ("other", other)];
    check(
        &policies,
        &json!({"metadata": {"name": "x"}}),
        &expected,
        &["the patch of labels was dropped: denies would deny its result"],
    );
}

#[test]
fn only_a_patch_that_is_sent_counts_as_one() {
    let said = |policies: &[(&str, &str)]| -> Vec<(String, Outcome)> {
        let verdict = mutated(policies, "CREATE", &json!({"metadata": {"name": "x"}}), &Json::Null);
        verdict.outcomes.into_iter().map(|(id, outcome, _)| (id, outcome)).collect()
    };
    let is = |id: &str, outcome| (id.to_owned(), outcome);
    let denies = ("denies", "deny contains \"no\" if input.request.object.metadata.labels.a");
    let other = ("other", "merge contains {\"data\": {\"b\": \"2\"}}");
    assert_eq!(
        said(&[("labels", LABEL), other]),
        [is("labels", Outcome::Patch), is("other", Outcome::Patch)]
    );
    assert_eq!(said(&[("labels", LABEL), denies, other]), [is("other", Outcome::Patch)]);
    let taken = ("taken", "merge contains {\"metadata\": {\"labels\": {\"a\": \"2\"}}}");
    assert_eq!(said(&[("labels", LABEL), taken]), [is("labels", Outcome::Patch)]);
    let fails = (
        "fails",
        "merge contains {\"data\": {\"a\": \"1\"}} if to_number(input.request.object.metadata.name) == 1",
    );
    assert_eq!(said(&[("labels", LABEL), fails]), [is("fails", Outcome::Error)]);
}

#[test]
fn denial_of_the_original_object_does_not_drop_the_patch() {
    let denies = "deny contains \"no\" if input.request.object.metadata.name == \"x\"";
    check(
        &[("labels", LABEL), ("denies", denies)],
        &json!({"metadata": {"name": "x"}}),
        &json!({"metadata": {"name": "x", "labels": {"a": "1"}}}),
        &[],
    );
}

#[test]
fn patch_that_changes_only_details_of_a_denial_is_sent() {
    let denies = "deny contains {\"msg\": \"no\", \"details\": {\"metadata\": input.request.object.metadata}} if input.request.object.metadata.name == \"x\"";
    check(
        &[("labels", LABEL), ("denies", denies)],
        &json!({"metadata": {"name": "x"}}),
        &json!({"metadata": {"name": "x", "labels": {"a": "1"}}}),
        &[],
    );
}

#[test]
fn a_patch_that_adds_a_finding_to_a_denial_is_dropped_too() {
    let denies = "deny contains \"name\" if input.request.object.metadata.name == \"x\"\ndeny contains \"label\" if input.request.object.metadata.labels.a";
    let object = json!({"metadata": {"name": "x"}});
    check(&[("labels", LABEL), ("denies", denies)], &object, &object, &["the patch of labels was dropped"]);
}

#[test]
fn a_patch_that_breaks_a_policy_counts_as_denied() {
    let fails = "deny contains \"no\" if to_number(input.request.object.metadata.labels.n) > 3";
    let patch = "merge contains {\"metadata\": {\"labels\": {\"n\": \"many\"}}}";
    let object = json!({"metadata": {"name": "x"}});
    check(
        &[("patch", patch), ("fails", fails)],
        &object,
        &object,
        &["the patch of patch was dropped: fails would deny"],
    );
}

#[test]
fn policies_see_what_a_patch_changes_as_changed() {
    let denies = "deny contains \"no\" if \"/data\" in input.changed";
    let object = json!({"metadata": {}});
    let verdict = mutated(
        &[("data", "merge contains {\"data\": {\"a\": \"1\"}}"), ("denies", denies)],
        "UPDATE",
        &object,
        &object,
    );
    assert_eq!((verdict.patch.len(), verdict.dropped.len()), (0, 1));
}

#[test]
fn a_patch_does_not_turn_the_removal_of_a_finalizer_into_a_denial() {
    let denies = "deny contains \"no\" if not input.finalizerRemoval";
    let dying = |finalizers: Json| json!({"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z", "finalizers": finalizers}});
    let verdict =
        mutated(&[("labels", LABEL), ("denies", denies)], "UPDATE", &dying(json!([])), &dying(json!(["a"])));
    assert!(verdict.patch.is_empty());
    assert_eq!(verdict.dropped, [("labels".to_owned(), "denies would deny its result".to_owned())]);
}

#[test]
fn conflicting_policies_are_reported() {
    let object = json!({"metadata": {}});
    let patched = json!({"metadata": {"labels": {"a": "1"}}});
    check(
        &[("a", LABEL), ("b", "merge contains {\"metadata\": {\"labels\": {\"a\": \"2\"}}}")],
        &object,
        &patched,
        &["the patch of b was dropped: `/metadata/labels/a` was already changed by `a`"],
    );
}

#[test]
fn a_document_that_is_no_patch_is_dropped_and_the_others_stand() {
    let patched = json!({"metadata": {"labels": {"a": "1"}}});
    check(
        &[("good", LABEL), ("a", "patch contains {\"op\": \"ad\"}")],
        &json!({"metadata": {}}),
        &patched,
        &["the patch of a was dropped: `patch` holds no RFC 6902 operation"],
    );
    check(
        &[("good", LABEL), ("a", "merge contains \"x\"")],
        &json!({"metadata": {}}),
        &patched,
        &["the patch of a was dropped: `merge` holds a fragment that is no object"],
    );
}

#[test]
fn failed_policy_sends_no_patch_and_a_warning() {
    let fails =
        "merge contains {\"data\": {\"a\": \"1\"}} if to_number(input.request.object.metadata.name) == 1";
    let object = json!({"metadata": {"name": "x"}});
    check(
        &[("good", LABEL), ("fails", fails)],
        &object,
        &object,
        &["no patch was made: [fails] could not be evaluated (evaluation)"],
    );
    let verdict = mutated(&[("good", LABEL), ("fails", fails)], "CREATE", &object, &Json::Null);
    assert_eq!(verdict.outcome(), crate::Outcome::Error);
}

#[test]
fn what_only_denies_is_left_to_the_validating_call() {
    let verdict = mutated(
        &[("denies", "deny contains \"no\""), ("warns", "warn contains \"hm\"")],
        "CREATE",
        &json!({}),
        &Json::Null,
    );
    assert!(verdict.denials.is_empty() && verdict.warning_lines().is_empty() && verdict.evaluated == 0);
}

#[test]
fn an_object_that_cannot_be_read_gets_no_patch() {
    let images = "merge contains {\"metadata\": {\"labels\": {\"a\": \"1\"}}} if count(input.images) > 0";
    let review = review(
        Endpoint::Mutate,
        "CREATE",
        "pods",
        &json!({"spec": {"containers": [{"image": 1}]}}),
        &Json::Null,
    );
    let verdict = decided(&policy_set(&[("images", images)]), &review);
    assert!(verdict.allowed() && verdict.patch.is_empty());
    assert!(verdict.warning_lines()[0].starts_with(
        "no patch was made: the object cannot be judged: `spec.containers[0].image` is a number"
    ));
}

const SPINS: &str = "merge contains {\"a\": x} if {\n some x in numbers.range(1, 1000)\n some y in numbers.range(1, 1000)\n some z in numbers.range(1, 1000)\n x * y * z == 0\n}";

#[test]
fn all_patches_of_a_review_have_one_budget() {
    let policies = ["a", "b", "c", "d", "e", "f"].map(|id| (id, SPINS));
    let object = json!({"metadata": {}});
    let review = review(Endpoint::Mutate, "CREATE", "configmaps", &object, &Json::Null);
    let ms = std::time::Duration::from_millis;
    let failed = |budget: portcullis_policy::Budget| {
        let verdict = crate::tests::decided_within(&policy_set(&policies), &review, budget);
        assert!(verdict.allowed() && verdict.patch.is_empty());
        verdict.failures.into_iter().map(|failure| failure.message).collect::<Vec<_>>()
    };
    let budget = portcullis_policy::Budget {
        time: ms(20),
        review: ms(50),
        deadline: ms(20_000),
        instructions: usize::MAX,
    };
    let said = failed(budget);
    assert_eq!(said[0], "stopped: the policy used its 20ms of processor time (--policy-budget, budget_us)");
    assert_eq!(said[5], "stopped: all policies together used their 50ms of processor time");
    assert!(
        failed(portcullis_policy::Budget { deadline: ms(1), ..budget })[5]
            .ends_with("the review's deadline of 1ms has passed")
    );
}

#[test]
fn a_parameter_that_does_not_fit_stops_the_patch() {
    let schema = "#   params_schema: {type: object, properties: {most: {type: integer}}}\n#   match:";
    let text = format!(
        "# METADATA\n# title: t\n# custom:\n#   id: most\n{schema} [{{operations: [CREATE], resources: ['*/*']}}]\npackage portcullis.most\n{LABEL}\n"
    );
    let files = [("most.rego".to_owned(), text.into_bytes())];
    let bundle = portcullis_policy::Bundle::from_files(files).unwrap();
    let set = PolicySet::compile(&bundle, portcullis_policy::set::Options::default(), None).unwrap();
    let review = review(Endpoint::Mutate, "CREATE", "configmaps", &json!({"metadata": {}}), &Json::Null);
    for (most, operations) in [(json!(5), 1), (json!("five"), 0)] {
        let policy_sets = json!([{"name": "s", "origin": "platform", "rules": [{"policy": "most", "params": {"most": most}}]}]);
        let patch = json!({"tenants": {"acme": {"policySets": policy_sets}}});
        let (snapshot, _) = example::snapshot().unwrap().apply(&patch, 43).unwrap();
        let verdict = crate::tests::decided_in(snapshot, &set, &review);
        assert_eq!(verdict.patch.len(), operations, "{most}: {:?}", verdict.failures);
        assert_eq!(verdict.warning_lines().is_empty(), operations == 1, "{:?}", verdict.warning_lines());
    }
}
