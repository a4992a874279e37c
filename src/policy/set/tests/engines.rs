//! Rules of one package over several files, rules of one name beside another, and bodies of `every`: what OPA 1.22.0
//! answers, on both engines.

use super::*;

/// What is asked, the first file of package `portcullis.a`, another file, and what OPA answers as JSON; empty where the
/// policy is refused.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("a.b", "a.b contains 1", "package portcullis.a\na.b contains 2", "[1,2]"),
    ("a.b", "a.b contains 1", "package portcullis.a\na.d contains 2", "[1]"),
    ("a", "a.b contains 1", "package portcullis.a\na.d := 2", "{\"b\":[1],\"d\":2}"),
    ("p.a", "p.a := 1", "package portcullis.a\np.b := 2", "1"),
    ("p", "p[x] := 1 if x := \"a\"", "package portcullis.a\np[x] := 2 if x := \"b\"", "{\"a\":1,\"b\":2}"),
    ("[f(1), f(2)]", "f(1)", "package portcullis.a\nf(2)", "[true,true]"),
    ("[f(1), f(2)]", "f(x) := 1 if x == 1", "package portcullis.a\nf(y) := 2 if y == 2", "[1,2]"),
    ("f(3)", "f(x) := 1 if x == 1", "package portcullis.a\ndefault f(_) := 0", "0"),
    ("[f(1), f(2), f(3)]", "f(1)", "package portcullis.a\nf(2)\ndefault f(_) := false", "[true,true,false]"),
    ("a", "a.b contains 1\ndefault a.c := 5", "package y\nz := 1", "{\"b\":[1],\"c\":5}"),
    ("a", "default a.c := 5\ndefault a.d := 6", "package y\nz := 1", "{\"c\":5,\"d\":6}"),
    ("{k | data.y[k].d}", "z := 1", "package y\nb.d := 1", "[\"b\"]"),
    ("[x | some k in [\"b\"]; x := data.y[k].d]", "z := 1", "package y\nb.d := 1", "[1]"),
    ("[1 | 2 in data.y[_].c]", "z := 1", "package y\nb.c contains 2", "[1]"),
    ("{k | data.y[k][_]}", "z := 1", "package y\nb.c contains 2", "[\"b\"]"),
    (
        "yes",
        "yes if every v in [\"a\"] { v != 2; not input.request.object.labels[v] }",
        "package y\nz := 1",
        "true",
    ),
    (
        "yes",
        "yes if { input.request.object.z } else if { every k, v in [\"a\"] { k != 2; not input.request.object.labels[v] } }",
        "package y\nz := 1",
        "true",
    ),
    ("a.b", "a[x] contains 1 if some x in [\"b\"]\na.b contains 2", "package y\nz := 1", ""),
    ("a", "a.b contains 1", "package portcullis.a.a\nc := 2", ""),
    ("f([1])", "f([x | x := 1])", "package y\nz := 1", ""),
];

#[test]
fn both_engines_answer_as_opa_does() {
    for (asked, first, other, expected) in ROWS {
        let body = format!("{first}\nr := {asked}\ndeny contains msg if {{ msg := json.marshal(r) }}");
        let files = [("a.rego", policy("a", &body)), ("b.rego", format!("{other}\n"))];
        for interpreter in [false, true] {
            let options = Options { interpreter, ..Options::default() };
            let bundle = bundle(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
            let found = PolicySet::compile(&bundle, options, None).map(|set| {
                let asked = set.policy("a").unwrap();
                let found = asked.findings("deny", &Value::new_object(), &Value::new_object(), &mut meter());
                found.map(|found| found.into_iter().map(|finding| finding.msg).collect::<Vec<_>>())
            });
            match found {
                Ok(found) => assert_eq!(found, Ok(vec![(*expected).to_owned()]), "{asked}: {body}\n{other}"),
                Err(problems) => assert!(expected.is_empty(), "{asked}: {problems}"),
            }
        }
    }
}
