//! Objects that no API server would have let through: what cannot be read cannot be judged, and is no allow.

use crate::support::wire::{ALICE, APP, Ask, EVIL, GOOD, SANDBOX, pod, pod_of};
use crate::support::{Gate, Options};

fn replaced(from: &str, to: &str) -> String {
    let pod = pod(EVIL);
    assert!(pod.contains(from), "`{from}` is not in {pod}");
    pod.replacen(from, to, 1)
}

/// Objects of a wrong shape, and what is said of each.
fn shapes() -> Vec<(String, &'static str)> {
    let labels = pod(EVIL).split_once("\"labels\":").unwrap().1.split_once('}').unwrap().0.to_owned() + "}";
    let container = |text: &str| pod_of(text);
    vec![
        ("[]".into(), "`object` is a list, not an object"),
        ("\"Pod\"".into(), "`object` is a string, not an object"),
        ("5".into(), "`object` is a number, not an object"),
        ("true".into(), "`object` is a boolean, not an object"),
        (r#"{"metadata":"web"}"#.into(), "`object.metadata` is a string, not an object"),
        (r#"{"metadata":["web"]}"#.into(), "`object.metadata` is a list, not an object"),
        (replaced(&labels, "[\"app=web\"]"), "`object.metadata.labels` is a list, not an object"),
        (replaced(&labels, "\"app=web\""), "`object.metadata.labels` is a string, not an object"),
        (
            replaced("\"app\":\"web\"", "\"app\":5"),
            "`object.metadata.labels` is a number, not a string in each entry",
        ),
        (
            replaced("\"managedFields\"", "\"annotations\":[],\"managedFields\""),
            "`object.metadata.annotations` is a list, not an object",
        ),
        (
            replaced("\"managedFields\"", "\"finalizers\":{},\"managedFields\""),
            "`object.metadata.finalizers` is an object, not a list",
        ),
        (
            replaced("\"managedFields\"", "\"finalizers\":[5],\"managedFields\""),
            "`object.metadata.finalizers` is a number, not a list of strings",
        ),
        (
            replaced("\"managedFields\"", "\"ownerReferences\":[\"x\"],\"managedFields\""),
            "`object.metadata.ownerReferences` is a string, not a list of objects",
        ),
        (replaced("\"spec\":{", "\"spec\":[],\"was\":{"), "`spec` is a list, not an object"),
        (
            replaced("\"containers\":[", "\"containers\":{},\"was\":["),
            "`spec.containers` is an object, not a list",
        ),
        (
            replaced("\"containers\":[", "\"initContainers\":5,\"containers\":["),
            "`spec.initContainers` is a number, not a list",
        ),
        (container("\"evil.io/web\""), "`spec.containers[0]` is a string, not an object"),
        (container("[]"), "`spec.containers[0]` is a list, not an object"),
        (container(r#"{"name":"app","image":5}"#), "`spec.containers[0].image` is a number, not a string"),
        (
            container(r#"{"name":"app","image":["evil.io/web"]}"#),
            "`spec.containers[0].image` is a list, not a string",
        ),
        (
            container(r#"{"name":5,"image":"evil.io/web"}"#),
            "`spec.containers[0].name` is a number, not a string",
        ),
        (
            replaced("\"restartPolicy\"", "\"volumes\":{\"a\":{}},\"restartPolicy\""),
            "`spec.volumes` is an object, not a list",
        ),
        (
            replaced(
                "\"restartPolicy\"",
                "\"volumes\":[{\"name\":\"v\",\"image\":\"evil.io/v\"}],\"restartPolicy\"",
            ),
            "`spec.volumes[0].image` is a string, not an object",
        ),
    ]
}

#[test]
fn a_wrong_shape_is_a_failure_of_ours_and_no_allow() {
    let mut gate = Gate::start(&Options::default());
    let errors = |gate: &Gate, endpoint: &str| {
        gate.metric(
            "portcullis_admission_requests_total",
            &[&format!("endpoint=\"{endpoint}\""), "verdict=\"error\""],
        )
    };
    let shapes = shapes();
    for (object, sentence) in &shapes {
        let ask = Ask::object(object.clone());
        let answer = gate.ask("validate", &ask.body());
        let response = &answer.json()["response"];
        assert_eq!(answer.uid(), ask.uid);
        assert_eq!(response["allowed"], false, "{object}");
        assert_eq!(
            (&response["status"]["code"], &response["status"]["reason"]),
            (&500.into(), &"InternalError".into()),
            "{object}"
        );
        let decision = response["auditAnnotations"]["decision-id"].as_str().unwrap();
        assert_eq!(
            answer.message(),
            format!("the object cannot be judged: {sentence}\ndecision {decision}"),
            "{object}"
        );

        let answer = gate.ask("mutate", &ask.body());
        assert_eq!(
            (&answer.json()["response"]["allowed"], answer.patch().len()),
            (&true.into(), 0),
            "{object}"
        );
        let said = format!("no patch was made: the object cannot be judged: {sentence}");
        assert!(
            answer.warnings().iter().any(|warning| said.starts_with(warning.trim_end_matches('…'))),
            "{object}: {:?}",
            answer.warnings()
        );
        assert_eq!(answer.json()["response"]["auditAnnotations"]["verdict"], "error");
    }
    for endpoint in ["validate", "mutate"] {
        assert_eq!(errors(&gate, endpoint), shapes.len() as u64);
    }
    gate.is_unharmed();
}

#[test]
fn an_object_that_the_operation_must_carry() {
    let gate = Gate::start(&Options::default());
    let rows = [
        ("CREATE", "null", "null", "CREATE without `request.object`"),
        ("UPDATE", "null", "null", "UPDATE without `request.object`"),
        ("UPDATE", "{}", "null", "UPDATE without `request.oldObject`"),
        ("DELETE", "null", "null", "DELETE without `request.oldObject`"),
    ];
    for (operation, object, old_object, sentence) in rows {
        let ask = Ask { operation, object: object.into(), old_object: old_object.into(), ..Ask::default() };
        let answer = gate.ask("validate", &ask.body());
        assert_eq!(answer.json()["response"]["status"]["code"], 500);
        assert!(answer.message().starts_with(sentence), "{}", answer.message());
        assert_eq!(gate.ask("mutate", &ask.body()).json()["response"]["allowed"], true);
    }
}

/// Elsewhere nothing of ours stands in the way: a gate that denies what it does not understand takes the cluster down.
#[test]
fn outside_the_tenants_namespaces_a_wrong_shape_passes() {
    let gate = Gate::start(&Options::default());
    for object in ["[]", "\"Pod\"", r#"{"metadata":{"labels":[]}}"#] {
        let ask = Ask { namespace: "kube-system".into(), ..Ask::object(object) };
        assert_eq!(gate.ask("validate", &ask.body()).json()["response"]["allowed"], true, "{object}");
    }
}

#[test]
fn an_unknown_namespace_that_looks_like_ours_is_to_be_tried_again() {
    let mut gate = Gate::start(&Options::default());
    for namespace in ["tn-acme-shop-sbx-777", "tn-", "tn-ACME", "tn-\u{0430}cme"] {
        let ask = Ask {
            namespace: namespace.into(),
            object: pod(GOOD).replace(SANDBOX, namespace),
            ..Ask::default()
        };
        let answer = gate.ask("validate", &ask.body());
        assert_eq!(answer.json()["response"]["status"]["code"], 403, "{namespace}");
        assert!(answer.denied_by().contains(&"unregistered-namespace"), "{}", answer.message());
        assert!(answer.message().contains("try again shortly"), "{}", answer.message());
        assert_eq!(gate.ask("mutate", &ask.body()).json()["response"]["allowed"], true);
    }
    gate.is_unharmed();
}

#[test]
fn an_operation_that_nobody_knows_is_denied_where_we_judge() {
    let gate = Gate::start(&Options::default());
    for operation in ["PATCH", "create", "", "CREATE\\u0000"] {
        for (namespace, allowed) in
            [(SANDBOX, false), (APP, false), ("tn-acme-shop-sbx-777", false), ("default", true), ("", false)]
        {
            let ask = Ask { namespace: namespace.into(), user: ALICE, ..Ask::default() };
            let body = ask.with("\"operation\":\"CREATE\"", &format!("\"operation\":\"{operation}\""));
            let answer = gate.ask("validate", &body);
            assert_eq!(answer.json()["response"]["allowed"], allowed, "{operation} in {namespace}");
            if !allowed {
                assert_eq!(answer.json()["response"]["status"]["code"], 403);
                assert!(
                    answer.message().contains(
                        "is not an operation that this gate supports (allowed: CREATE, UPDATE, DELETE, CONNECT)"
                    ),
                    "{}",
                    answer.message()
                );
                assert_eq!(
                    answer.json()["response"]["status"]["details"]["causes"][0]["field"],
                    "request.operation"
                );
            }
            assert_eq!(gate.ask("mutate", &body).json()["response"]["allowed"], true);
        }
    }
    let counted =
        gate.metric("portcullis_admission_requests_total", &["operation=\"other\"", "verdict=\"deny\""]);
    assert_eq!(counted, 4 * 4);
}
