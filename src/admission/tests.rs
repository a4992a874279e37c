//! Helpers for the tests of this crate, and the verdicts of `decide` before policies run.

use portcullis_tenancy::example;
use serde_json::{Value as Json, json};

use super::*;
use portcullis_policy::Bundle;
use portcullis_policy::select::Projection;
use portcullis_policy::set::Options;
use portcullis_tenancy::snapshot::Snapshot;

/// A sandbox of `acme`.
pub(super) const NAMESPACE: &str = "tn-acme-shop-sbx-001";

/// A review by a developer of `acme` in [`NAMESPACE`], everything built. `resource` is as in `deployments.apps/scale`.
pub(super) fn review(
    endpoint: Endpoint,
    operation: &str,
    resource: &str,
    object: &Json,
    old: &Json,
) -> Review {
    let (whole, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = whole.split_once('.').unwrap_or((whole, ""));
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "resource": {"group": group, "version": "v1", "resource": resource},
        "subResource": subresource, "namespace": NAMESPACE, "operation": operation,
        "userInfo": {"username": "alice@acme.io", "groups": ["acme-devs"]}, "object": object, "oldObject": old}});
    let body = serde_json::to_vec(&body).unwrap().into();
    review::decode(body, endpoint, &|_| Projection::everything()).unwrap()
}

pub(super) fn update(object: &Json, old: &Json) -> Review {
    review(Endpoint::Validate, "UPDATE", "configmaps", object, old)
}

/// A policy that is asked about everything: its id and its rules.
pub(super) fn policy_set(policies: &[(&str, &str)]) -> PolicySet {
    let files = policies.iter().map(|(id, rules)| {
        let text = format!(
            "# METADATA\n# title: t\n# custom:\n#   id: {id}\n#   match: [{{operations: [CREATE, UPDATE, DELETE, CONNECT], resources: ['*/*']}}]\npackage portcullis.{}\n{rules}\n",
            id.replace('-', "_")
        );
        (format!("{id}.rego"), text.into_bytes())
    });
    PolicySet::compile(&Bundle::from_files(files).unwrap(), Options::default(), None).unwrap()
}

pub(super) fn decided(set: &PolicySet, review: &Review) -> Verdict {
    decided_in(example::snapshot().unwrap(), set, review)
}

pub(super) fn decided_with_context(set: &PolicySet, review: &Review) -> (Verdict, ReviewContext) {
    let prepared = PreparedSnapshot::new(std::sync::Arc::new(example::snapshot().unwrap()));
    let context =
        ReviewContext::gather(&prepared, review, "d-1".to_owned(), "2030-01-01T00:00:00Z".to_owned())
            .unwrap();
    (decide(set, &context, review, Budget::default()), context)
}

pub(super) fn decided_in(snapshot: Snapshot, set: &PolicySet, review: &Review) -> Verdict {
    let prepared = PreparedSnapshot::new(std::sync::Arc::new(snapshot));
    let context =
        ReviewContext::gather(&prepared, review, "d-1".to_owned(), "2030-01-01T00:00:00Z".to_owned())
            .unwrap();
    let seconds = std::time::Duration::from_secs;
    let budget = Budget { time: seconds(5), review: seconds(20), deadline: seconds(60), ..Budget::default() };
    decide(set, &context, review, budget)
}

pub(super) fn decided_within(set: &PolicySet, review: &Review, budget: Budget) -> Verdict {
    let prepared = PreparedSnapshot::new(std::sync::Arc::new(example::snapshot().unwrap()));
    let context =
        ReviewContext::gather(&prepared, review, "d-1".to_owned(), "2030-01-01T00:00:00Z".to_owned())
            .unwrap();
    decide(set, &context, review, budget)
}

/// A verdict with nothing found.
pub(super) fn blank(endpoint: Endpoint) -> Verdict {
    let review = review(endpoint, "CREATE", "pods", &json!({}), &Json::Null);
    let mut verdict = Verdict::failed(&review, "d-1".to_owned(), "x", String::new());
    verdict.failures.clear();
    verdict
}

fn check(operation: &str, object: &Json, old: &Json, expected: Outcome, says: &str) {
    let set = policy_set(&[("none", "deny contains \"never\" if input.now == \"\"")]);
    let verdict = decided(&set, &review(Endpoint::Validate, operation, "configmaps", object, old));
    assert_eq!(verdict.outcome(), expected, "{operation} {object} {old}");
    assert!(message::denial(&verdict).contains(says), "{}", message::denial(&verdict));
}

#[test]
fn an_operation_without_its_object_is_a_failure() {
    let (some, none) = (&json!({"metadata": {}}), &Json::Null);
    check("CREATE", some, none, Outcome::Allow, "");
    check("UPDATE", some, some, Outcome::Allow, "");
    check("DELETE", none, some, Outcome::Allow, "");
    check("CREATE", none, none, Outcome::Error, "CREATE without `request.object`");
    check("UPDATE", none, some, Outcome::Error, "UPDATE without `request.object`");
    check("UPDATE", some, none, Outcome::Error, "UPDATE without `request.oldObject`");
    check("DELETE", none, none, Outcome::Error, "DELETE without `request.oldObject`");
}

#[test]
fn unknown_operation_is_denied() {
    let some = &json!({});
    for operation in ["PATCH", "create", "", "GET"] {
        check(operation, some, some, Outcome::Deny, "is not an operation that this gate supports");
    }
}

#[test]
fn an_object_of_a_shape_no_api_server_lets_through_is_a_failure() {
    for (metadata, says) in [
        (json!({"labels": ["a"]}), "`object.metadata.labels` is a list, not an object"),
        (json!({"labels": {"a": 1}}), "`object.metadata.labels` is a number, not a string in each entry"),
        (json!({"annotations": "a"}), "`object.metadata.annotations` is a string"),
        (json!({"finalizers": {}}), "`object.metadata.finalizers` is an object, not a list"),
        (json!({"finalizers": [1]}), "`object.metadata.finalizers` is a number, not a list of strings"),
        (
            json!({"ownerReferences": ["a"]}),
            "`object.metadata.ownerReferences` is a string, not a list of objects",
        ),
        (json!("a"), "`object.metadata` is a string, not an object"),
    ] {
        check("CREATE", &json!({"metadata": metadata}), &Json::Null, Outcome::Error, says);
        let old = says.replace("`object.", "`oldObject.");
        check("DELETE", &Json::Null, &json!({"metadata": metadata}), Outcome::Error, &old);
    }
    check("CREATE", &json!([]), &Json::Null, Outcome::Error, "`object` is a list, not an object");
}

/// What is said of a review in `kube-system`, where policies match.
fn in_platform(operation: &str, user: &str, object: &Json, old: &Json) -> String {
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "resource": {"group": "", "version": "v1", "resource": "configmaps"}, "namespace": "kube-system",
        "operation": operation, "userInfo": {"username": user}, "object": object, "oldObject": old}});
    let body = serde_json::to_vec(&body).unwrap().into();
    let review = review::decode(body, Endpoint::Validate, &|_| Projection::everything()).unwrap();
    let verdict = decided(&policy_set(&[("none", "deny contains \"never\" if input.now == \"\"")]), &review);
    if verdict.outcome() == Outcome::Allow { "allowed".to_owned() } else { message::denial(&verdict) }
}

/// A gate that denies there what it does not understand takes the cluster down.
#[test]
fn what_cannot_be_judged_passes_in_platform_namespaces() {
    let none = Json::Null;
    for (operation, object) in [
        ("CREATE", json!({"metadata": {}})),
        ("PATCH", json!({"metadata": {}})),
        ("CREATE", json!([])),
        ("CREATE", json!({"metadata": {"labels": []}})),
    ] {
        assert_eq!(
            in_platform(operation, "alice@acme.io", &object, &none),
            "allowed",
            "{operation} {object}"
        );
    }
}

#[test]
fn a_sandbox_expires_by_the_time_of_the_review() {
    let set = policy_set(&[("e", "deny contains \"over\" if input.tenancy.namespace.expired == true")]);
    let review = review(Endpoint::Validate, "CREATE", "configmaps", &json!({}), &Json::Null);
    for (at, expected) in [
        (Json::Null, Outcome::Allow),
        (json!("2030-01-01T00:00:00.001Z"), Outcome::Allow),
        (json!("2030-01-01T00:00:00Z"), Outcome::Deny),
        (json!("2030-01-01T01:00:00+02:00"), Outcome::Deny),
        (json!("2029-12-31T23:00:00-02:00"), Outcome::Allow),
    ] {
        let patch = json!({"namespaces": {NAMESPACE: {"expiresAt": at}}});
        let (snapshot, _) = example::snapshot().unwrap().apply(&patch, 43).unwrap();
        assert_eq!(decided_in(snapshot, &set, &review).outcome(), expected, "{at}");
    }
}

#[test]
fn a_set_of_the_platform_that_does_not_fit_denies_by_the_policy_it_is_for() {
    let rules = "deny contains \"never\" if input.request.object.never";
    let schema = "#   params_schema: {type: object, properties: {most: {type: integer}}}\n#   match:";
    let text = format!(
        "# METADATA\n# title: t\n# custom:\n#   id: most\n{schema} [{{operations: [CREATE], resources: ['*/*']}}]\npackage portcullis.most\n{rules}\n"
    );
    let files = [("most.rego".to_owned(), text.into_bytes())];
    let set = PolicySet::compile(&Bundle::from_files(files).unwrap(), Options::default(), None).unwrap();
    let review = review(Endpoint::Validate, "CREATE", "configmaps", &json!({}), &Json::Null);
    for (most, expected) in [(json!(5), Outcome::Allow), (json!("five"), Outcome::Error)] {
        let policy_sets = json!([{"name": "s", "origin": "platform", "rules": [{"policy": "most", "params": {"most": most}}]}]);
        let patch = json!({"tenants": {"acme": {"policySets": policy_sets}}});
        let (snapshot, _) = example::snapshot().unwrap().apply(&patch, 43).unwrap();
        assert_eq!(decided_in(snapshot, &set, &review).outcome(), expected, "{most}");
    }
}

/// An object whose `spec` nests so deep, and has a field beside it.
fn deep(levels: usize) -> String {
    format!(
        r#"{{"metadata": {{}}, "spec": {{"a": 1, "deep": {}{}}}}}"#,
        "[".repeat(levels),
        "]".repeat(levels)
    )
}

/// The verdict on a deep object under a policy that reads `reads`.
fn judge_deep(endpoint: Endpoint, operation: &str, user: &str, reads: &str) -> Verdict {
    let set = policy_set(&[("reads", &format!("deny contains \"no\" if input.request.{reads} == \"x\""))]);
    let (object, old) = match operation {
        "CREATE" => (deep(5_000), "null".to_owned()),
        "DELETE" => ("null".to_owned(), deep(5_000)),
        _ => (deep(5_000), deep(5_000)),
    };
    let groups = if user.starts_with("system:serviceaccount:kube-system") {
        r#"["system:serviceaccounts", "system:serviceaccounts:kube-system"]"#
    } else {
        r#"["acme-devs"]"#
    };
    let body = format!(
        r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u",
        "resource": {{"group": "example.com", "version": "v1", "resource": "things"}}, "namespace": "{NAMESPACE}",
        "operation": "{operation}", "userInfo": {{"username": "{user}", "groups": {groups}}},
        "object": {object}, "oldObject": {old}}}}}"#
    );
    let prepared = PreparedSnapshot::new(std::sync::Arc::new(example::snapshot().unwrap()));
    let project = |header: &Header| projection::projection(&set, &prepared, header);
    let review = review::decode(body.into_bytes().into(), endpoint, &project).unwrap();
    decided(&set, &review)
}

#[test]
fn an_object_may_be_as_deep_as_kubernetes_reads_where_no_policy_reads_it() {
    let (alice, collector) = ("alice@acme.io", "system:serviceaccount:kube-system:generic-garbage-collector");
    for (operation, user, reads, expected) in [
        ("CREATE", alice, "object.spec.a", Outcome::Allow),
        ("UPDATE", alice, "object.spec.a", Outcome::Allow),
        ("DELETE", alice, "oldObject.spec.a", Outcome::Allow),
        ("CREATE", alice, "object.spec", Outcome::Deny),
        ("CREATE", alice, "object", Outcome::Deny),
        ("UPDATE", alice, "oldObject.spec.deep", Outcome::Deny),
        ("DELETE", alice, "oldObject", Outcome::Allow),
        ("UPDATE", collector, "object.spec", Outcome::Allow),
    ] {
        let verdict = judge_deep(Endpoint::Validate, operation, user, reads);
        assert_eq!(verdict.outcome(), expected, "{operation} {user} {reads}: {:?}", verdict.failures);
        let says = "[protocol] a part of the object that a policy reads is nested more than 127 levels deep";
        assert_eq!(message::denial(&verdict).contains(says), expected == Outcome::Deny);
    }
    let patched = judge_deep(Endpoint::Mutate, "CREATE", alice, "object.spec");
    assert!(patched.allowed() && patched.patch.is_empty(), "{patched:?}");
}

#[test]
fn a_deep_object_is_patched() {
    let set = policy_set(&[("label", "merge contains {\"metadata\": {\"labels\": {\"a\": \"1\"}}}")]);
    let body = format!(
        r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u",
        "resource": {{"group": "example.com", "version": "v1", "resource": "things"}}, "namespace": "{NAMESPACE}",
        "operation": "CREATE", "userInfo": {{"username": "alice@acme.io", "groups": ["acme-devs"]}},
        "object": {}}}}}"#,
        deep(9_990)
    );
    let prepared = PreparedSnapshot::new(std::sync::Arc::new(example::snapshot().unwrap()));
    let project = |header: &Header| projection::projection(&set, &prepared, header);
    let review = review::decode(body.into_bytes().into(), Endpoint::Mutate, &project).unwrap();
    assert_eq!(decided(&set, &review).patch.len(), 1);
}

#[test]
fn a_review_beyond_the_bounds_of_kubernetes_is_refused() {
    let long = |length: usize| "x".repeat(length);
    let many = |count: usize| serde_json::to_string(&vec!["g"; count]).unwrap();
    let of = |field: &str, value: &str| {
        let text = format!(
            r#"{{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {{"uid": "u", "{field}": {value}}}}}"#
        );
        let decoded =
            review::decode(text.into_bytes().into(), Endpoint::Validate, &|_| Projection::everything());
        decoded.map(drop).map_err(|error| error.to_string())
    };
    let resource = |part: &str, length| format!(r#"{{"{part}": "{}"}}"#, long(length));
    for (field, fits, too_long) in [
        ("resource", resource("resource", 63), resource("resource", 64)),
        ("resource", resource("group", 253), resource("group", 254)),
        ("resource", resource("version", 63), resource("version", 64)),
        ("kind", resource("kind", 63), resource("kind", 12 << 20)),
        ("subResource", format!("\"{}\"", long(63)), format!("\"{}\"", long(64))),
        ("namespace", format!("\"{}\"", long(8192)), format!("\"{}\"", long(8193))),
        ("operation", format!("\"{}\"", long(63)), format!("\"{}\"", long(64))),
        ("name", format!("\"{}\"", long(8192)), format!("\"{}\"", long(8193))),
        ("userInfo", resource("username", 8192), resource("username", 8193)),
        ("userInfo", format!(r#"{{"groups": {}}}"#, many(5000)), format!(r#"{{"groups": {}}}"#, many(5001))),
    ] {
        assert_eq!(of(field, &fits), Ok(()), "{field}");
        let said = of(field, &too_long).unwrap_err();
        assert!(said.contains(&format!("request.{field}")) && said.len() < 300, "{said}");
    }
    let fields = |count: usize| (0..count).map(|at| format!("\"f{at}\": 1")).collect::<Vec<_>>().join(", ");
    assert_eq!(of("x", &format!("1, {}", fields(60))), Ok(()));
    assert!(of("x", &format!("1, {}", fields(100))).unwrap_err().contains("more than 64 fields"));
}

#[test]
fn id_label_of_namespace_resolves_to_its_owner() {
    let id = |end: &str| format!("018f2b7c-0000-7000-8000-0000000000{end}");
    let prepared = PreparedSnapshot::new(std::sync::Arc::new(example::snapshot().unwrap()));
    let gathered = |resource: &str, namespace: &str, labels: &Json| {
        let name = if resource == "namespaces" { namespace } else { "x" };
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "resource": {"group": "", "version": "v1", "resource": resource}, "namespace": namespace,
            "operation": "CREATE", "userInfo": {"username": "alice@acme.io", "groups": ["acme-devs"]},
            "object": {"metadata": {"name": name, "labels": labels}}}});
        let body = serde_json::to_vec(&body).unwrap().into();
        let review = review::decode(body, Endpoint::Validate, &|_| Projection::everything()).unwrap();
        let now = "2030-01-01T00:00:00Z".to_owned();
        let context = ReviewContext::gather(&prepared, &review, "d-1".to_owned(), now).unwrap();
        let ids = serde_json::to_value(&context.tenancy).unwrap()["ids"].clone();
        (ids, context.tenancy_digest)
    };
    let labels = json!({"kubenova.io/tenant-id": id("02"), "kubenova.io/project-id": id("99"),
        "kubenova.io/app-id": id("32"), "example.com/app-id": id("31")});
    let sandbox = json!({"kind": "sandbox", "tenant": "globex", "project": "web", "sandbox": 1});
    let expected = json!({id("02"): {"kind": "tenant", "tenant": "globex"}, id("32"): sandbox});
    let new = "tn-acme-shop-app-new";
    let (ids, digest) = gathered("namespaces", new, &labels);
    assert_eq!(ids, expected);
    assert_eq!(gathered("configmaps", new, &labels).0, expected);
    assert_eq!(gathered("configmaps", NAMESPACE, &labels).0, json!({}));
    // Answers are remembered by the digest.
    let mut other = labels.clone();
    other["kubenova.io/app-id"] = json!(id("31"));
    assert_ne!(gathered("namespaces", new, &other).1, digest);
    assert_eq!(gathered("namespaces", new, &labels).1, digest);
}
