use super::*;

fn value(json: &str) -> Value {
    Value::from_json_str(json).unwrap()
}

fn check(value: &Value, expected: Option<&str>) {
    let read = Details::read(value);
    assert_eq!(read.as_ref().map(Details::as_str), expected, "{value}");
    if let Some(details) = read {
        // What is written reads back, and is written the same again.
        assert_eq!(Details::read(&Value::from(details.json())).as_ref().map(Details::as_str), expected);
    }
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(value("1"), |inner, _| Value::from(vec![inner]))
}

const LONG: &str = "\"left out: more than 1024 bytes of JSON\"";
const DEEP: &str = "\"left out: more than 16 levels\"";

#[test]
fn details_are_compact_json_with_sorted_keys() {
    check(
        &value(r#"{"b": [1, 2.5, true, null], "a": {"y": "", "x": {}}}"#),
        Some(r#"{"a":{"x":{},"y":""},"b":[1,2.5,true,null]}"#),
    );
    check(&value(r#""a \"quote\"""#), Some(r#""a \"quote\"""#));
    check(&value("-7"), Some("-7"));
    check(&value("18446744073709551615"), Some("18446744073709551615"));
    check(&value("false"), Some("false"));
    check(&value("[]"), Some("[]"));
    let set = ["b", "a"].map(Value::from);
    check(&Value::from(std::collections::BTreeSet::from(set)), Some(r#"["a","b"]"#));
}

#[test]
fn null_and_an_empty_object_are_no_details() {
    check(&Value::Null, None);
    check(&value("{}"), None);
}

#[test]
fn details_keys_are_unique_strings() {
    let object = |entries: &[(&str, &str)]| {
        let entries = entries.iter().map(|(key, text)| (value(key), value(text)));
        Value::from(entries.collect::<BTreeMap<Value, Value>>())
    };
    check(
        &object(&[("10", "1"), (r#"["a"]"#, "2"), ("null", "3"), (r#""b""#, "4")]),
        Some(r#"{"10":1,"[\"a\"]":2,"b":4,"null":3}"#),
    );
    check(&object(&[(r#""1""#, r#""text""#), ("1", r#""number""#)]), Some(r#"{"1":"number"}"#));
}

#[test]
fn invisible_characters_are_escaped() {
    check(&value("{\"a\u{202e}\": \"x\\ny\u{7f}\u{feff}\"}"), Some(r#"{"a\u202e":"x\ny\u007f\ufeff"}"#));
}

#[test]
fn details_that_are_too_long_are_replaced() {
    let text = |bytes: usize| Value::from("x".repeat(bytes));
    let fits = format!("\"{}\"", "x".repeat(DETAILS_BYTES_MAX - 2));
    check(&text(DETAILS_BYTES_MAX - 2), Some(&fits));
    check(&text(DETAILS_BYTES_MAX - 1), Some(LONG));
    check(&text(1 << 20), Some(LONG));
    check(&Value::from(BTreeMap::from([(text(1 << 20), Value::Null)])), Some(LONG));
    check(&Value::from((0..300_000_u64).map(Value::from).collect::<Vec<_>>()), Some(LONG));
    let keys = (0..100_000_u64).map(|at| (Value::from(at), Value::Null));
    check(&Value::from(keys.collect::<BTreeMap<_, _>>()), Some(LONG));
    // An escape counts as what it is written as.
    check(&Value::from("\u{202e}".repeat(170)), Some(&format!("\"{}\"", "\\u202e".repeat(170))));
    check(&Value::from("\u{202e}".repeat(171)), Some(LONG));
}

#[test]
fn details_that_are_too_deep_are_replaced() {
    check(&nested(16), Some(&format!("{}1{}", "[".repeat(16), "]".repeat(16))));
    check(&nested(17), Some(DEEP));
    check(&nested(200), Some(DEEP));
    let key = Value::from(BTreeMap::from([(nested(16), Value::Null)]));
    check(&key, Some(DEEP));
}

#[test]
fn a_number_that_json_cannot_hold_is_replaced_by_a_note() {
    let large = portcullis_rego::Value::from_numeric_string(&format!("1{}", "0".repeat(400))).unwrap();
    check(&large, Some("\"left out: a number is out of range\""));
}

#[test]
fn details_are_masked_except_for_notes() {
    let hidden = |value: &Value| {
        let mut details = Details::read(value).unwrap();
        details.mask();
        details
    };
    let masked = hidden(&value(r#"{"password": "hunter2"}"#));
    assert_eq!(masked.json(), mask::digest(br#"{"password":"hunter2"}"#));
    assert_eq!(hidden(&nested(17)).as_str(), DEEP);
}
