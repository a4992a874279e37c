//! A patch that changes its own result is sent as it is, and named until other policies are in force.

use super::{gate, put, readiness, soon};
use crate::support::portcullis;
use crate::support::wire::Ask;

fn policy(when: &str) -> String {
    crate::laws::source(
        "appends",
        &format!(
            "patch contains {{\"op\": \"add\", \"path\": \"/metadata/finalizers/-\", \"value\": \"example.com/a\"}} if {{\n\t{when}\n}}"
        ),
    )
}

const ALWAYS: &str = "input.request.object.metadata.finalizers";
const ONCE: &str = "not \"example.com/a\" in input.request.object.metadata.finalizers";

fn pod() -> Ask {
    let object = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"tn-acme-shop-sbx-001","finalizers":["x.io/a"]},"spec":{"containers":[]}}"#;
    Ask { object: object.to_owned(), ..Ask::default() }
}

#[test]
fn patch_that_is_not_idempotent_is_named_by_the_gate() {
    let dir = crate::broken_laws::directory(&[("appends.rego", &policy(ALWAYS))]);
    let gate = gate(dir.path());
    let series = || gate.metric("portcullis_patch_repeats_total", &["policy=\"appends\""]);
    assert_eq!(readiness(&gate, "patches"), (200, String::new()));
    for _ in 0..3 {
        let answer = gate.ask("mutate", &pod().body());
        assert_eq!((&answer.json()["response"]["allowed"], answer.patch().len()), (&true.into(), 1));
        assert!(answer.warnings().is_empty(), "{:?}", answer.warnings());
    }
    assert!(series() >= 1);
    let (status, reason) = readiness(&gate, "patches");
    assert_eq!(status, 200);
    assert!(reason.contains("`appends` (appends.rego:14)") && reason.contains("not idempotent"), "{reason}");
    let told: Vec<String> =
        gate.told().into_iter().filter(|line| line.contains("is not idempotent")).collect();
    assert_eq!(told.len(), 1, "said once: {told:?}");
    assert!(told[0].contains("appends.rego:14") && told[0].contains("/metadata/finalizers/-"), "{told:?}");

    put(&dir.path().join("appends.rego"), &policy(ONCE));
    soon("other policies are in force", || {
        gate.ask("mutate", &pod().body());
        readiness(&gate, "patches") == (200, String::new())
    });
}

#[test]
fn patch_that_is_not_idempotent_fails_its_test() {
    let cases = "cases:\n  - id: appended\n    as: acme-dev\n    operation: CREATE\n    resource: pods\n    object: {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: tn-acme-shop-sbx-001, finalizers: [x.io/a]}, spec: {containers: []}}\n    expect: {verdict: allow}\n    variants:\n      - {name: judged}\n      - {name: patched, endpoint: mutate}\n";
    for (when, passes) in [(ALWAYS, false), (ONCE, true)] {
        let dir = crate::broken_laws::directory(&[("appends.rego", &policy(when)), ("cases.yaml", cases)]);
        let output = portcullis().args(["policy", "test"]).arg(dir.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), passes, "{text}");
        let named = "appends.rego:14: the patch of `appends` is not idempotent: on its own result it gives \
                     {\"op\":\"add\",\"path\":\"/metadata/finalizers/-\",\"value\":\"example.com/a\"}";
        assert_eq!(text.matches(named).count(), if passes { 0 } else { 2 }, "{text}");
    }
}
