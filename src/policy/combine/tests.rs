use serde_json::{Value, json};

use super::*;

/// Word, base, own value, what holds, whether the own value tightens.
fn table() -> Vec<(Combine, Value, Value, Value, bool)> {
    use Combine::{And, Intersect, Max, Min, Or, Union};
    vec![
        (Intersect, json!(["a", "b"]), json!(["b"]), json!(["b"]), true),
        (Intersect, json!(["a", "b"]), json!(["b", "a", "a"]), json!(["a", "b"]), true),
        (Intersect, json!(["a", "b"]), json!(["b", "c"]), json!(["b"]), false),
        (Intersect, json!(["a"]), json!([]), json!([]), true),
        (Intersect, json!([]), json!(["a"]), json!([]), false),
        (Union, json!(["a"]), json!(["b"]), json!(["a", "b"]), true),
        (Union, json!(["a"]), json!([]), json!(["a"]), true),
        (Min, json!(5), json!(3), json!(3), true),
        (Min, json!(5), json!(5), json!(5), true),
        (Min, json!(5), json!(5.5), json!(5), false),
        (Max, json!(5), json!(7), json!(7), true),
        (Max, json!(5), json!(4), json!(5), false),
        (And, json!(true), json!(false), json!(false), true),
        (And, json!(false), json!(true), json!(false), false),
        (Or, json!(false), json!(true), json!(true), true),
        (Or, json!(true), json!(false), json!(true), false),
    ]
}

#[test]
fn join_never_loosens() {
    for (word, base, own, holds, tightens) in table() {
        assert_eq!(word.join(Some(&base), &own).as_ref(), Ok(&holds), "{word:?} {base} {own}");
        assert_eq!(word.check(Some(&base), &own).is_ok(), tightens, "{word:?} {base} {own}");
    }
}

#[test]
fn join_is_idempotent() {
    for (word, base, own, ..) in table() {
        let once = word.join(Some(&base), &own).unwrap();
        assert_eq!(word.join(Some(&once), &own).unwrap(), once, "{word:?}");
    }
}

#[test]
fn unreadable_overrides_are_refused() {
    assert_eq!(Combine::PlatformOnly.check(Some(&json!([])), &json!([])), Err(CombineError::PlatformOnly));
    assert_eq!(Combine::Min.check(None, &json!(1)), Err(CombineError::NoBase));
    for (word, base, own) in [
        (Combine::Intersect, json!(["a"]), json!("a")),
        (Combine::Min, json!("5"), json!(1)),
        (Combine::And, json!(true), json!(0)),
    ] {
        assert!(matches!(word.join(Some(&base), &own), Err(CombineError::WrongType { .. })), "{word:?}");
    }
}

#[test]
fn combine_values_round_trip() {
    for word in Combine::ALL {
        assert_eq!(Combine::parse(word.as_str()), Some(*word));
    }
    assert_eq!(Combine::parse("Intersect"), None);
}
