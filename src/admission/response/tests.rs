use super::*;
use crate::tests::blank;
use crate::verdict::{Failure, OVERLOADED};
use portcullis_policy::{Details, Finding, Value};
use serde_json::{Value as Json, json};

fn named(policy: &str, msg: &str) -> Named {
    Named {
        policy: policy.to_owned(),
        finding: Finding { msg: msg.to_owned(), field: "spec.a".to_owned(), ..Finding::default() },
    }
}

fn failure(reason: &'static str, denies: bool) -> Failure {
    Failure { policy: "f".to_owned(), reason, message: "m".to_owned(), denies }
}

fn answer(verdict: &Verdict) -> Json {
    let answer: Json = serde_json::from_slice(&encode(verdict)).unwrap();
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    answer["response"].clone()
}

/// What is answered: allowed, code and reason; code 0 where there is no status.
fn check(endpoint: Endpoint, denials: &[&str], failures: Vec<Failure>, expected: (bool, u16, &str)) {
    let denials = denials.iter().map(|policy| named(policy, "no")).collect();
    let answer = answer(&Verdict { denials, failures, ..blank(endpoint) });
    let status = &answer["status"];
    let code = u16::try_from(status["code"].as_u64().unwrap_or(0)).unwrap();
    let found = (answer["allowed"].as_bool().unwrap(), code, status["reason"].as_str().unwrap_or(""));
    assert_eq!(found, expected, "{answer}");
    assert_eq!(status.is_object(), !expected.0);
    assert_eq!(answer["uid"], "u");
}

#[test]
fn a_denial_is_403_and_a_failure_500_and_a_full_gate_503() {
    let validate = Endpoint::Validate;
    check(validate, &[], vec![], (true, 0, ""));
    check(validate, &["a"], vec![], (false, 403, "Forbidden"));
    check(validate, &["a"], vec![failure("budget", true)], (false, 403, "Forbidden"));
    check(validate, &[], vec![failure("budget", true)], (false, 500, "InternalError"));
    check(validate, &[], vec![failure("budget", false)], (true, 0, ""));
    check(validate, &[], vec![failure(OVERLOADED, true)], (false, 503, "InternalError"));
}

#[test]
fn mutating_always_allows() {
    let mutate = Endpoint::Mutate;
    check(mutate, &[], vec![failure("budget", true)], (true, 0, ""));
    check(mutate, &[], vec![failure(OVERLOADED, true)], (true, 0, ""));
    check(mutate, &["a"], vec![], (true, 0, ""));
}

#[test]
fn status_names_findings_and_fields() {
    let answer =
        answer(&Verdict { denials: vec![named("b", "x\ny"), named("a", "z")], ..blank(Endpoint::Validate) });
    assert_eq!(
        answer["status"],
        json!({
            "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "[b] spec.a: x\\u{a}y\n[a] spec.a: z\ndecision d-1",
            "details": {"causes": [
                {"reason": "b", "message": "[b] spec.a: x\\u{a}y", "field": "spec.a"},
                {"reason": "a", "message": "[a] spec.a: z", "field": "spec.a"},
            ]},
        })
    );
}

#[test]
fn a_failure_has_no_causes_and_a_finding_without_a_field_no_field() {
    let failed = answer(&Verdict { failures: vec![failure("budget", true)], ..blank(Endpoint::Validate) });
    assert_eq!(failed["status"].get("details"), None);
    let finding = Finding { msg: "no".to_owned(), ..Finding::default() };
    let denials = vec![Named { policy: "a".to_owned(), finding }];
    let denied = answer(&Verdict { denials, ..blank(Endpoint::Validate) });
    assert_eq!(denied["status"]["details"]["causes"], json!([{"reason": "a", "message": "[a] no"}]));
}

#[test]
fn the_patch_type_stands_exactly_where_a_patch_does() {
    let patch: Vec<json_patch::PatchOperation> =
        serde_json::from_value(json!([{"op": "add", "path": "/a", "value": 1}])).unwrap();
    let with = answer(&Verdict { patch: patch.clone(), ..blank(Endpoint::Mutate) });
    assert_eq!(with["patchType"], "JSONPatch");
    let bytes = STANDARD.decode(with["patch"].as_str().unwrap()).unwrap();
    assert_eq!(bytes, br#"[{"op":"add","path":"/a","value":1}]"#);
    for verdict in [blank(Endpoint::Mutate), Verdict { patch, ..blank(Endpoint::Validate) }] {
        let without = answer(&verdict);
        assert_eq!((without.get("patch"), without.get("patchType")), (None, None));
    }
}

#[test]
fn warnings_stand_where_there_are_some() {
    assert_eq!(answer(&blank(Endpoint::Validate)).get("warnings"), None);
    let warned = answer(&Verdict { warnings: vec![named("a", "hm")], ..blank(Endpoint::Validate) });
    assert_eq!((&warned["allowed"], &warned["warnings"]), (&json!(true), &json!(["[a] spec.a: hm"])));
}

#[test]
fn audit_annotations_name_verdict_policies_revision_and_decision() {
    let verdict = Verdict {
        denials: vec![named("b", "1"), named("b", "2")],
        warnings: vec![named("a", "1"), named("b", "3")],
        audited: vec![named("c", "1")],
        failures: vec![failure("budget", false)],
        revision: "0123abcd/42".to_owned(),
        ..blank(Endpoint::Validate)
    };
    assert_eq!(
        answer(&verdict)["auditAnnotations"],
        json!({
            "verdict": "deny", "policies": "a=warn,b=deny,b=warn,c=audit,f=error", "revision": "0123abcd/42", "decision-id": "d-1",
        })
    );
    let quiet = answer(&blank(Endpoint::Validate));
    assert_eq!(
        quiet["auditAnnotations"],
        json!({"verdict": "allow", "policies": "", "revision": "-/-", "decision-id": "d-1"})
    );
}

#[test]
fn mutate_annotations_are_equal_on_both_calls() {
    let first = blank(Endpoint::Mutate);
    let again = Verdict { decision_id: "d-2".to_owned(), ..first.clone() };
    assert_eq!(annotations(&first), annotations(&again));
    assert!(!annotations(&first).contains_key("decision-id"));
}

#[test]
fn a_long_list_of_policies_is_cut_at_a_whole_one() {
    let denials = (0..200).map(|at| named(&format!("policy-{at:03}"), "no")).collect();
    let found = annotations(&Verdict { denials, ..blank(Endpoint::Validate) });
    let policies = &found["policies"];
    assert!(policies.len() <= 530 && policies.ends_with("=deny,…"), "{policies}");
}

#[test]
fn details_follow_the_sentence_of_a_cause_and_are_not_in_the_message() {
    let with = |details: Json| Named {
        policy: "a".to_owned(),
        finding: Finding { details: Details::read(&Value::from(details)), ..named("a", "no").finding },
    };
    let causes = |details: Json| {
        let denied = answer(&Verdict { denials: vec![with(details)], ..blank(Endpoint::Validate) });
        assert_eq!(denied["status"]["message"], "[a] spec.a: no\ndecision d-1");
        denied["status"]["details"]["causes"].clone()
    };
    let message =
        |text: &str| json!([{"reason": "a", "field": "spec.a", "message": format!("[a] spec.a: no{text}")}]);
    assert_eq!(
        causes(json!({"b": [1, null], "a": "x\ny\u{202e}"})),
        message(r#"; details: {"a":"x\ny\u202e","b":[1,null]}"#)
    );
    assert_eq!(causes(json!({})), message(""));
    assert_eq!(
        causes(json!("x".repeat(1 << 20))),
        message(r#"; details: "left out: more than 1024 bytes of JSON""#)
    );
}

#[test]
fn the_causes_of_long_findings_with_long_details_are_bounded() {
    let long = Finding {
        msg: "漢".repeat(1000),
        details: Details::read(&Value::from("x".repeat(1022))),
        ..Finding::default()
    };
    let denials = (0..100).map(|at| Named { policy: format!("p{at}"), finding: long.clone() }).collect();
    let denied = answer(&Verdict { denials, ..blank(Endpoint::Validate) });
    let causes = denied["status"]["details"]["causes"].as_array().unwrap();
    assert_eq!(causes.len(), 20);
    assert!(causes.iter().all(|cause| cause["message"].as_str().unwrap().len() < 4200), "{}", causes[0]);
}
