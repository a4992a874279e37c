use super::*;
use portcullis_rego::analysis::Step;

fn reads(paths: &[&str]) -> Reads {
    let mut reads = Reads::nothing();
    for path in paths {
        let step = |part: &str| if part == "*" { Step::Any } else { Step::Name(part.to_owned()) };
        reads.add(&path.split('.').filter(|part| !part.is_empty()).map(step).collect::<Vec<_>>());
    }
    reads
}

fn built(paths: &[&str], text: &str) -> Result<Value, String> {
    let mut reader = Reader::new(text);
    let built = decode(&mut reader, &reads(paths)).map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(built.value)
}

/// What is built of a text when these paths are read.
fn check(paths: &[&str], text: &str, expected: &str) {
    let expected = Value::from_json_str(expected).unwrap();
    assert_eq!(built(paths, text), Ok(expected), "{paths:?} of {text}");
}

/// That a text is refused whether it is built whole, in part or skipped, and what is said.
fn refused(text: &str, says: &str) {
    for paths in [&[""][..], &["a"], &["a.b"], &["*"], &["x"], &[]] {
        let said = built(paths, text).expect_err(text);
        assert!(said.contains(says), "{paths:?}: {said}");
    }
}

#[test]
fn only_read_parts_are_decoded() {
    let text = r#"{"a": {"b": 1, "c": [2]}, "d": "e"}"#;
    check(&[""], text, text);
    check(&["a.b"], text, r#"{"a": {"b": 1}}"#);
    check(&["d", "a.c"], text, r#"{"a": {"c": [2]}, "d": "e"}"#);
    check(&["a.*"], text, r#"{"a": {"b": 1, "c": [2]}}"#);
    check(&["x"], text, "{}");
    check(&[], text, "{}");
    check(&["d.x"], text, r#"{"d": "e"}"#);
}

#[test]
fn elements_keep_their_places_when_they_are_built_in_part() {
    let text = r#"{"a": [{"b": 1, "c": 2}, 7, null, {"c": 3}, {"b": 4}, [5], "s"]}"#;
    check(&["a.*.b"], text, r#"{"a": [{"b": 1}, 7, null, {}, {"b": 4}, [], "s"]}"#);
    check(&["a.*"], text, text);
    check(&["a"], text, text);
    check(&["a.0.b"], text, r#"{"a": []}"#);
}

#[test]
fn values_of_every_kind_stay_what_they_are() {
    let text = r#"{"a": [0, -1, 18446744073709551615, -9223372036854775808, 1.5, 1e3, true, false, null, "", "ü\n\u0041"]}"#;
    check(&[""], text, text);
    check(&["a"], text, text);
    check(&[""], "null", "null");
}

#[test]
fn a_key_twice_is_refused_wherever_it_stands() {
    let says = "in one object";
    refused(r#"{"a": 1, "a": 2}"#, "duplicate key `a`");
    refused(r#"{"x": 1, "y": 2, "x": 1}"#, "duplicate key `x`");
    refused(r#"{"a": {"b": 1, "b": 1}}"#, says);
    refused(r#"{"a": {"b": {"z": 1, "z": 1}}}"#, says);
    refused(r#"{"a": [{"z": 1, "z": 2}]}"#, says);
    refused(r#"{"q": [[{"deep": {"z": 1, "z": 2}}]]}"#, says);
    refused(r#"{"a": 1, "\u0061": 2}"#, "duplicate key `a`");
    refused(r#"{"": 1, "": 2}"#, "duplicate key ``");
}

#[test]
fn a_key_twice_is_found_among_many() {
    for count in [31, 32, 33, 34, 100, 5000] {
        let keys: Vec<String> = (0..count).map(|at| format!("\"k{at}\": 1")).collect();
        let once = format!("{{{}}}", keys.join(","));
        for paths in [&[""][..], &["a"], &["k1"], &[]] {
            assert!(built(paths, &once).is_ok(), "{count}");
        }
        for again in [0, count / 2, count - 1] {
            refused(&format!("{{{}, \"k{again}\": 2}}", keys.join(",")), "duplicate key");
        }
    }
}

#[test]
fn the_same_key_in_different_objects_is_none_twice() {
    let text = r#"{"a": {"b": 1}, "b": {"a": 1}, "c": [{"a": 1}, {"a": 2}]}"#;
    for paths in [&[""][..], &["a"], &["c.*.a"], &[]] {
        assert!(built(paths, text).is_ok(), "{paths:?}");
    }
}

#[test]
fn key_in_a_message_is_short_and_escaped() {
    let key = format!("\\u001b{}", "k".repeat(500));
    let said = built(&[], &format!("{{\"{key}\": 1, \"{key}\": 2}}")).unwrap_err();
    assert!(said.len() < 160 && !said.contains('\u{1b}') && said.contains("\\u{1b}k"), "{said}");
}

#[test]
fn skipped_parts_are_checked() {
    for text in [
        r#"{"a": }"#,
        r#"{"q": [1,]}"#,
        r#"{"q": 01}"#,
        r#"{"q": "\x"}"#,
        r#"{"q": 1e999}"#,
        r#"{"q": tru}"#,
        r#"{"q": {"a" 1}}"#,
        r#"{"q": "a"#,
    ] {
        refused(text, "");
    }
    let deep = |depth: usize| format!("{{\"q\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    refused(&deep(10_003), "recursion limit");
    assert!(built(&[], &deep(120)).is_ok() && built(&[""], &deep(120)).is_ok());
}

#[test]
fn keys_are_equal_however_they_were_made() {
    for key in ["containers", &"k".repeat(48), &"k".repeat(49), ""] {
        assert_eq!((interned(key), interned(key)), (Value::from(key), Value::from(key)));
    }
    for at in 0..3000 {
        assert_eq!(interned(&at.to_string()), Value::from(at.to_string()));
    }
}
