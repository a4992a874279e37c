//! The details of a finding, on both engines.

use super::*;
use crate::Finding;
use portcullis_rego::EvalError;

const LONG: &str = "\"left out: more than 1024 bytes of JSON\"";

/// What `deny` holds on each engine, with the same answer of both.
fn found(policy_text: &str, input: &serde_json::Value) -> Result<Vec<Finding>, String> {
    let ask = |interpreter| {
        let options = Options { interpreter, ..Options::default() };
        let set = PolicySet::compile(&bundle(&[("a.rego", policy_text)]), options, None).unwrap();
        let policy = set.policy("a").unwrap();
        assert_eq!(policy.fallback().is_some(), interpreter);
        let input = Value::from(input.clone());
        policy
            .findings("deny", &input, &Value::new_object(), &mut meter())
            .map_err(|error: EvalError| error.to_string())
    };
    let (machine, interpreter) = (ask(false), ask(true));
    assert_eq!(machine, interpreter, "{policy_text}");
    machine
}

fn details(rego: &str, input: &serde_json::Value) -> Vec<String> {
    let found = found(&policy("a", rego), input).unwrap();
    found
        .iter()
        .map(|finding| {
            finding.details.as_ref().map_or_else(String::new, |details| details.as_str().to_owned())
        })
        .collect()
}

fn check(value: &str, expected: &str) {
    let input = serde_json::json!({"request": {
        "name": "a",
        "object": {
            "long": "x".repeat(1 << 20), "list": ["b", "a", "b"],
            "deep": (0..200).fold(serde_json::json!(1), |inner, _| serde_json::json!({"a": inner})),
        },
    }});
    for rego in [
        format!("deny contains {{\"msg\": \"no\", \"details\": {value}}} if input.request.name"),
        format!(
            "deny contains finding if {{\n\tinput.request.name\n\tfinding := {{\"msg\": \"no\", \"details\": {value}}}\n}}"
        ),
    ] {
        assert_eq!(details(&rego, &input), [expected], "{rego}");
    }
}

#[test]
fn details_are_any_value_on_both_engines() {
    check("{\"b\": 1, \"a\": input.request.name}", r#"{"a":"a","b":1}"#);
    check("{}", "");
    check("null", "");
    check("7.5", "7.5");
    check("true", "true");
    check("\"text\"", r#""text""#);
    check("[input.request.name, [null]]", r#"["a",[null]]"#);
    check("{x | some x in input.request.object.list}", r#"["a","b"]"#);
    check("{\"missing\": {x | some x in input.request.object.list}}", r#"{"missing":["a","b"]}"#);
    check("input.request.object.long", LONG);
    check("{\"long\": input.request.object.long}", LONG);
    check("input.request.object.deep", "\"left out: more than 16 levels\"");
}

#[test]
fn undefined_details_are_an_error() {
    let input = serde_json::json!({"request": {"name": "a"}});
    for (rego, reference) in [
        (
            "deny contains {\"msg\": \"no\", \"details\": {\"x\": input.request.object.absent}} if input.request.name",
            "`input.request.object.absent` (line 8)",
        ),
        (
            "deny contains {\"msg\": \"no\", \"details\": input.request.object.absent} if input.request.name",
            "`input.request.object.absent` (line 8)",
        ),
        (
            "deny contains finding if {\n\tinput.request.name\n\tfinding := {\"msg\": \"no\", \"details\": {\"x\": [input.request.object.absent]}}\n}",
            "`input.request.object.absent` (line 10)",
        ),
    ] {
        let said = found(&policy("a", rego), &input).unwrap_err();
        assert!(said.contains(reference), "{said}");
    }
    // Without the finding's condition there is no text to be undefined.
    let rego = "deny contains {\"msg\": \"no\", \"details\": {\"x\": input.request.object.absent}} if input.request.name == \"b\"";
    assert_eq!(found(&policy("a", rego), &input), Ok(Vec::new()));
}

#[test]
fn same_message_with_different_details_is_several_findings() {
    let rego = "deny contains {\"msg\": \"no\", \"details\": {\"name\": c.name}} if some c in input.request.object.list";
    let input =
        serde_json::json!({"request": {"object": {"list": [{"name": "b"}, {"name": "a"}, {"name": "b"}]}}});
    assert_eq!(details(rego, &input), [r#"{"name":"a"}"#, r#"{"name":"b"}"#]);
}

#[test]
fn details_of_a_policy_that_reads_secrets_are_masked() {
    let rego = "deny contains {\"msg\": \"no\", \"details\": {\"password\": input.request.object.data.password}} if input.request.name";
    let input = serde_json::json!({"request": {"name": "a", "object": {"data": {"password": "hunter2"}}}});
    assert_eq!(details(rego, &input), [r#"{"password":"hunter2"}"#]);
    let secret = policy("a", rego).replace("#   id: a\n", "#   id: a\n#   reads_secrets: true\n");
    let found = found(&secret, &input).unwrap().remove(0).details.unwrap();
    assert_eq!(found.json(), portcullis_telemetry::mask::digest(br#"{"password":"hunter2"}"#));
}
