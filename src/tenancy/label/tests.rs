use std::collections::BTreeMap;

use super::*;

#[track_caller]
fn check(selector: &str, holds: &[&str], fails: &[&str]) {
    let selector = Selector::parse(selector).unwrap();
    let labels = |text: &str| -> BTreeMap<String, String> {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    for text in holds {
        assert!(selector.matches(&labels(text)), "{selector:?} should hold for {text:?}");
    }
    for text in fails {
        assert!(!selector.matches(&labels(text)), "{selector:?} should not hold for {text:?}");
    }
}

#[test]
fn selectors_mean_what_kubectl_means() {
    check("", &["", "a=1"], &[]);
    check("a", &["a=1", "a="], &["", "b=1"]);
    check("!a", &["", "b=1"], &["a=1"]);
    check("a=1", &["a=1 b=2"], &["a=2", "", "b=1"]);
    check("a == 1", &["a=1"], &["a=2"]);
    check("a=", &["a="], &["a=1", ""]);
    check("a!=1", &["", "a=2"], &["a=1"]);
    check("a in (1, 2),b", &["a=2 b=x"], &["a=2", "a=3 b=x", "b=x"]);
    check("a notin (1,2)", &["", "a=3"], &["a=1", "a=2"]);
    check(
        "example.com/team=core,tier!=gold",
        &["example.com/team=core"],
        &["example.com/team=core tier=gold"],
    );
}

#[test]
fn invalid_selectors_are_refused() {
    for (text, says) in [
        ("a,", "the key ``"),
        ("=1", "the key ``"),
        ("a=b=c", "the value `b=c`"),
        ("a in 1", "the key `a in 1`"),
        ("a between (1,2)", "holds `a between (1,2)`"),
        ("a in (1", "the key `a in (1`"),
        ("(a)", "holds `(a)`"),
        ("A/b=1", "the key `A/b`"),
        ("a=' OR 1=1 --", "the value `' OR 1=1 --`"),
        ("a=x\u{0}", "the value `x\\0`"),
        (&"a,".repeat(17), "18 requirements"),
        (&"a".repeat(1025), "1025 characters"),
    ] {
        let said = Selector::parse(text).expect_err(text).to_string();
        assert!(said.contains(says), "{text}: {said}");
    }
}

#[test]
fn patterns_and_functions_are_one_grammar() {
    let key =
        jsonschema::validator_for(&serde_json::json!({ "pattern": KEY_PATTERN, "maxLength": 317 })).unwrap();
    let value = jsonschema::validator_for(&serde_json::json!({ "pattern": VALUE_PATTERN })).unwrap();
    let long = "a".repeat(63);
    let texts = [
        "",
        "a",
        "a-b",
        "-a",
        "a-",
        "a.b_c",
        "A",
        "a/b",
        "a/",
        "/a",
        "a/b/c",
        "A/b",
        "ex.com/a",
        "ex..com/a",
        "a\n",
        "é",
        "a b",
        "\u{0}",
        &long,
        &format!("{long}a"),
        &format!("x.y/{long}"),
        &format!("x.y/{long}a"),
    ];
    for text in texts {
        let json = serde_json::json!(text);
        assert_eq!(is_key(text), key.is_valid(&json), "key {text:?}");
        assert_eq!(is_value(text), value.is_valid(&json), "value {text:?}");
    }
}
