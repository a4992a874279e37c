use super::*;
use proptest::prelude::*;

/// `spec.containers.*.image` as steps; empty for the root.
fn steps(path: &str) -> Vec<Step> {
    let step = |part| if part == "*" { Step::Any } else { Step::Name(str::to_owned(part)) };
    path.split('.').filter(|part| !part.is_empty()).map(step).collect()
}

fn reads(paths: &[&str]) -> Reads {
    let mut reads = Reads::nothing();
    for path in paths {
        reads.add(&steps(path));
    }
    reads
}

/// Checks which constant paths the reads touch.
fn check(paths: &[&str], touched: &[&str], untouched: &[&str]) {
    let reads = reads(paths);
    let is_read =
        |path: &&str| reads.touches(&path.split('.').filter(|part| !part.is_empty()).collect::<Vec<_>>());
    for path in touched {
        assert!(is_read(path), "{paths:?} must touch {path}");
    }
    for path in untouched {
        assert!(!is_read(path), "{paths:?} must not touch {path}");
    }
}

#[test]
fn path_reads_everything_below_it_and_nothing_beside_it() {
    check(&["a.b"], &["", "a", "a.b", "a.b.c.d"], &["b", "a.c", "ab"]);
    check(&["a.b", "a.c.d"], &["a.b.x", "a.c", "a.c.d"], &["a.c.e"]);
    check(&[], &[], &["", "a"]);
    check(&[""], &["", "a", "a.b"], &[]);
    check(&["a.b", "a"], &["a.c"], &["b"]);
}

#[test]
fn unknown_key_reads_every_key() {
    check(&["a.*.b"], &["a", "a.x", "a.x.b", "a.y.b.c"], &["a.x.c", "b"]);
    check(&["a.*"], &["a.x", "a.x.y"], &["b"]);
    check(&["*.b", "a.c"], &["a.b", "a.c", "x.b"], &["a.d", "x.c"]);
}

#[test]
fn order_of_adding_does_not_matter() {
    for (one, other) in [
        (&["*.b", "a.c"], &["a.c", "*.b"]),
        (&["*", "a.c"], &["a.c", "*"]),
        (&["x.*.b", "x.a.c"], &["x.a.c", "x.*.b"]),
        (&["*.*.b", "a.*.c"], &["a.*.c", "*.*.b"]),
        (&["a", "a.b"], &["a.b", "a"]),
    ] {
        assert_eq!(reads(one), reads(other), "{one:?}");
    }
}

#[test]
fn named_key_also_reads_what_unknown_keys_read() {
    let reads = reads(&["a.c", "*.b"]);
    let (name, below) = reads.key("a").unwrap();
    assert_eq!(name, Some(&Value::from("a")));
    assert!(below.key("b").is_some() && below.key("c").is_some() && below.key("d").is_none());
    let (name, below) = reads.key("x").unwrap();
    assert!(name.is_none() && below.key("b").is_some() && below.key("c").is_none());
}

#[test]
fn elements_of_arrays_are_unknown_keys() {
    assert_eq!(reads(&["a.*.b"]).at(&["a"]).unwrap().element(), Some(&reads(&["b"])));
    assert!(reads(&["a.b"]).at(&["a"]).unwrap().element().is_none());
    assert!(Reads::everything().element().unwrap().is_everything());
}

#[test]
fn at_returns_the_reads_below_a_path() {
    assert_eq!(reads(&["a.b.c"]).at(&["a", "b"]), Some(&reads(&["c"])));
    assert!(reads(&["a"]).at(&["a", "b", "c"]).unwrap().is_everything());
    assert!(reads(&["a.b"]).at(&["a", "c"]).is_none());
    assert!(reads(&["a"]).at(&[]).is_some());
}

#[test]
fn grafting_adds_below_a_path() {
    let mut whole = reads(&["a.b"]);
    whole.graft(&steps("spec.template"), &reads(&["metadata.labels", "spec.*.image"]));
    assert_eq!(whole, reads(&["a.b", "spec.template.metadata.labels", "spec.template.spec.*.image"]));
    let mut all = Reads::everything();
    all.graft(&steps("a"), &reads(&["b"]));
    assert_eq!(all, Reads::everything());
    let mut root = reads(&["a"]);
    root.graft(&[], &reads(&["b"]));
    assert_eq!(root, reads(&["a", "b"]));
}

#[test]
fn merging_with_everything_is_everything() {
    let mut some = reads(&["a.b"]);
    some.merge(&Reads::everything());
    assert_eq!(some, Reads::everything());
    some.merge(&reads(&["a"]));
    assert!(some.is_everything() && !some.is_nothing());
    assert!(Reads::nothing().is_nothing());
}

const PATH: &str = "([ab*](\\.[ab*]){0,2})?";

proptest! {
    #[test]
    fn added_paths_are_touched_and_merging_is_adding(
        one in prop::collection::vec(PATH, 0..5), other in prop::collection::vec(PATH, 0..5),
    ) {
        let texts = |paths: &[String]| -> Reads { reads(&paths.iter().map(String::as_str).collect::<Vec<_>>()) };
        let both: Vec<String> = one.iter().chain(&other).cloned().collect();
        let whole = texts(&both);
        let mut merged = texts(&one);
        merged.merge(&texts(&other));
        let turned: Vec<String> = both.iter().rev().cloned().collect();
        let turned = texts(&turned);
        // What is asked, for every short constant path, by every way of putting the same together.
        for first in ["a", "b", "x"] {
            for second in ["a", "b", "x"] {
                for third in ["a", "b", "x"] {
                    let path = [first, second, third];
                    let fits = |text: &String| text.split('.').filter(|part| !part.is_empty())
                        .zip(path).all(|(part, key)| part == "*" || part == key);
                    let expected = both.iter().any(fits);
                    prop_assert_eq!(whole.touches(&path), expected, "{:?}", path);
                    prop_assert_eq!(merged.touches(&path), expected, "merged {:?}", path);
                    prop_assert_eq!(turned.touches(&path), expected, "turned {:?}", path);
                }
            }
        }
    }
}

/// The values of a document that are read, sorted.
fn values(paths: &[&str], document: &str) -> Option<Vec<String>> {
    let document = Value::from_json_str(document).unwrap();
    let mut found = Vec::new();
    reads(paths).values(&document, &mut found)?;
    let mut found: Vec<String> = found.into_iter().map(ToString::to_string).collect();
    found.sort();
    Some(found)
}

#[test]
fn values_are_the_parts_of_a_document_that_are_read() {
    let read = |paths: &[&str], document| values(paths, document).unwrap();
    let document = r#"{"a": {"b": 1, "c": [2]}, "d": {"e": null}}"#;
    assert_eq!(read(&[""], document), [document.replace(' ', "")]);
    assert_eq!(read(&["a.b", "d"], document), ["1", r#"{"e":null}"#]);
    assert_eq!(read(&["a.*.x", "d.e"], document), ["null", r#"{"b":1,"c":[2]}"#]);
    assert_eq!(read(&[], document), [""; 0]);
    // Each path has a value, undefined if it is absent.
    assert_eq!(read(&["a.b", "a.x", "y.z.w"], document), [r#""<undefined>""#, r#""<undefined>""#, "1"]);
    assert_eq!(
        read(&["a.b", "a.c.d", "e"], r#"{"a": null, "e": null}"#),
        [r#""<undefined>""#, r#""<undefined>""#, "null"]
    );
    for odd in [r#"{"a": 1}"#, r#"{"a": [1]}"#, r#"{"a": "b"}"#, "7"] {
        assert_eq!(values(&["a.b"], odd), None, "{odd}");
    }
}
