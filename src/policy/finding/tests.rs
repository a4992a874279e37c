use super::*;

fn value(json: &str) -> Value {
    Value::from_json_str(json).unwrap()
}

fn set(items: &[&str]) -> Value {
    Value::from(items.iter().map(|item| value(item)).collect::<std::collections::BTreeSet<Value>>())
}

fn check(deny: &Value, expected: Result<Vec<Finding>, &str>) {
    match (findings("deny", deny), expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected),
        (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
        (found, expected) => panic!("{deny}: {found:?}, not {expected:?}"),
    }
}

fn said(msg: &str) -> Finding {
    Finding { msg: msg.to_owned(), ..Finding::default() }
}

#[test]
fn a_finding_is_a_string_or_an_object() {
    check(&set(&[r#""no""#]), Ok(vec![said("no")]));
    check(&set(&[r#"{"msg": "no"}"#]), Ok(vec![said("no")]));
    let whole = r#"{"msg": "is no", "field": "spec.a", "observed": "x", "allowed": ["b", "a"], "fix": "do"}"#;
    let expected = Finding {
        field: "spec.a".to_owned(),
        msg: "is no".to_owned(),
        observed: Some("x".to_owned()),
        allowed: vec!["b".to_owned(), "a".to_owned()],
        allowed_omitted: 0,
        fix: Some("do".to_owned()),
        details: None,
    };
    check(&set(&[whole]), Ok(vec![expected]));
}

#[test]
fn findings_that_differ_in_details_are_distinct() {
    let with = |details: &str| format!(r#"{{"msg": "no", "details": {details}}}"#);
    let carrying = |details: &str| Finding { details: Details::read(&value(details)), ..said("no") };
    for details in [r#"{"b": 1, "a": [2]}"#, "[1]", "\"text\"", "1.5", "true"] {
        let expected = carrying(details);
        assert!(expected.details.is_some() && expected.bytes() > said("no").bytes());
        check(&set(&[&with(details)]), Ok(vec![expected]));
    }
    check(&set(&[&with("null"), &with("{}")]), Ok(vec![said("no")]));
    let two = findings("deny", &set(&[&with("2"), &with("1"), r#""no""#])).unwrap();
    assert_eq!(two, [said("no"), carrying("1"), carrying("2")]);
    let (plain, other) = (said("no"), said("other"));
    assert!(two.iter().all(|finding| finding.text() == plain.text()) && plain.text() != other.text());
}

#[test]
fn no_findings_is_an_empty_list() {
    check(&Value::Undefined, Ok(vec![]));
    check(&Value::new_set(), Ok(vec![]));
}

#[test]
fn allowed_is_a_list_or_a_set_of_strings() {
    let with = |allowed: Value| {
        let object = [("msg", Value::from("no")), ("allowed", allowed)];
        let object: std::collections::BTreeMap<Value, Value> =
            object.into_iter().map(|(key, value)| (Value::from(key), value)).collect();
        Value::from(std::collections::BTreeSet::from([Value::from(object)]))
    };
    let allowed = |entries: &[&str]| Finding {
        allowed: entries.iter().map(|entry| (*entry).to_owned()).collect(),
        ..said("no")
    };
    check(&with(value(r#"["b", "a"]"#)), Ok(vec![allowed(&["b", "a"])]));
    check(&with(set(&[r#""b""#, r#""a""#])), Ok(vec![allowed(&["a", "b"])]));
    check(&with(value("[]")), Ok(vec![said("no")]));
    check(&with(value(r#"["a", 1]"#)), Err("`deny` holds a finding whose allowed is a number, not a string"));
    check(&with(value(r#""a""#)), Err("whose allowed is a string, not an array of strings"));
    check(&with(value("null")), Err("whose allowed is null, not an array"));
}

#[test]
fn other_values_are_errors_and_never_an_allow() {
    check(&set(&["1"]), Err("`deny` holds a number; a finding is a string or an object of msg, field"));
    check(&set(&["true"]), Err("`deny` holds a boolean"));
    check(&set(&["null"]), Err("`deny` holds null"));
    check(&set(&[r#"["no"]"#]), Err("`deny` holds an array"));
    check(&set(&[r#""no""#, "7"]), Err("`deny` holds a number"));
    check(&set(&["{}"]), Err("`deny` holds a finding without msg"));
    check(&set(&[r#"{"msg": ""}"#]), Err("without msg"));
    check(&set(&[r#"{"field": "a"}"#]), Err("without msg"));
    check(&set(&[r#"{"msg": 1}"#]), Err("whose msg is a number, not a string"));
    check(&set(&[r#"{"msg": "no", "field": ["a"]}"#]), Err("whose field is an array, not a string"));
    check(&set(&[r#"{"msg": "no", "observed": null}"#]), Err("whose observed is null, not a string"));
    check(&set(&[r#"{"msg": "no", "fix": {}}"#]), Err("whose fix is an object, not a string"));
    check(&set(&[r#"{"msg": "no", "message": "x"}"#]), Err("with the key \"message\"; the keys are msg"));
    check(&set(&[r#"{"msg": "no", "detail": {}}"#]), Err("with the key \"detail\""));
    check(&set(&[r#"{"details": {"a": 1}}"#]), Err("without msg"));
}

#[test]
fn rule_that_is_not_a_set_is_an_error() {
    check(
        &value(r#"{"no": true}"#),
        Err("`deny` is an object, not a set; write `deny contains finding if …`"),
    );
    check(&value(r#"["no"]"#), Err("`deny` is an array, not a set"));
    check(&value("true"), Err("`deny` is a boolean, not a set"));
    check(&value("false"), Err("`deny` is a boolean, not a set"));
    check(&value("null"), Err("`deny` is null, not a set"));
    check(&value(r#""no""#), Err("`deny` is a string, not a set"));
}

#[test]
fn findings_come_in_order_of_field_and_text() {
    let mixed = [
        r#"{"msg": "b", "field": "y"}"#,
        r#""z""#,
        r#"{"msg": "a", "field": "y"}"#,
        r#"{"msg": "c", "field": "x"}"#,
    ];
    let order = |items: &[&str]| -> Vec<String> {
        findings("deny", &set(items)).unwrap().into_iter().map(|found| found.field + &found.msg).collect()
    };
    assert_eq!(order(&mixed), ["z", "xc", "ya", "yb"]);
    let mut turned = mixed;
    turned.reverse();
    assert_eq!(order(&turned), order(&mixed));
}

#[test]
fn documents_are_a_set_of_json_in_a_stable_order() {
    let found = documents("merge", &set(&[r#"{"b": 1}"#, r#"{"a": [null, 1.5]}"#])).unwrap();
    assert_eq!(found, [serde_json::json!({"a": [null, 1.5]}), serde_json::json!({"b": 1})]);
    assert!(documents("merge", &Value::Undefined).unwrap().is_empty());
    let said = documents("patch", &value(r#"{"op": "add"}"#)).unwrap_err();
    assert!(said.starts_with("`patch` is an object, not a set"), "{said}");
}

#[test]
fn findings_are_truncated_to_their_bounds() {
    let long = "ä".repeat(TEXT_MAX);
    let allowed: Vec<String> = (0..100).map(|at| format!("\"{at}\"")).collect();
    let whole = format!(
        r#"{{"msg": "{long}", "field": "{long}", "observed": "{long}", "fix": "{long}", "allowed": [{}]}}"#,
        allowed.join(", ")
    );
    let found = findings("deny", &set(&[&whole])).unwrap().remove(0);
    for text in [&found.msg, &found.field, found.observed.as_ref().unwrap(), found.fix.as_ref().unwrap()] {
        assert!(text.len() <= TEXT_MAX + '…'.len_utf8() && text.starts_with("ää") && text.ends_with("ä…"));
    }
    assert_eq!((found.allowed.len(), found.allowed_omitted), (32, 68));
    let many: Vec<String> = (0..5000).map(|at| format!("\"{at:04}\"")).collect();
    let found = findings("deny", &set(&many.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
    assert_eq!(found.len(), FINDINGS_MAX + 1);
    assert_eq!(
        (found[999].msg.as_str(), found[1000].msg.as_str()),
        ("0999", "and 4000 more findings of this policy")
    );
}
