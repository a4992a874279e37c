use crate::policy::bundle::Module;
use crate::policy::engine::analysis;

const SEVERAL: &str = "has several definitions";
const LOOP: &str = "could have several values";
const KEYS: &str = "keys of this object could meet";

/// The hazards of a module, each by its line (the body begins in the first) and a part of its sentence.
fn check(body: &str, expected: &[(u32, &str)]) {
    let module = Module { path: "p.rego".to_owned(), text: format!("package p\n{body}\n") };
    let analysis = analysis::analyse(&module).unwrap_or_else(|problem| panic!("{body}: {problem}"));
    let found: Vec<(u32, &str)> =
        analysis.hazards.iter().map(|hazard| (hazard.line - 1, hazard.message.as_str())).collect();
    let fits = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.0 == expected.0 && found.1.contains(expected.1));
    assert!(fits, "{body}: {found:#?}");
}

#[test]
fn several_values_for_one_name_are_found() {
    check("x := 1 if input.a\nx := 2 if input.b", &[(2, SEVERAL)]);
    check("x := input.a if input.c\nx := input.b", &[(2, SEVERAL)]);
    check("x := input.a if input.c\nx := input.a if input.d", &[(2, SEVERAL)]);
    check("f(a) := 1 if a.b\nf(a) := 2 if a.c", &[(2, SEVERAL)]);
    check("f(\"a\", b) := b\nf(\"b\", b) := 1\nf(a, \"c\") := a", &[(2, SEVERAL)]);
    check("x if input.a\nx := false if input.b", &[(2, SEVERAL)]);
}

#[test]
fn one_value_however_often_is_safe() {
    check("x if input.a\nx if input.b", &[]);
    check("x := true if input.a\nx if input.b", &[]);
    check("x := \"a\" if input.a\nx := \"a\" if input.b", &[]);
    check("x := 1 if input.a else := 2 if input.b else := 3", &[]);
    check("default x := 1\nx := 2 if input.a", &[]);
    check("f(\"a\") := 1\nf(\"b\") := 2", &[]);
    check("f(\"a\", b) := b\nf(\"b\", b) := 1", &[]);
    check("deny contains 1 if input.a\ndeny contains 2 if input.b", &[]);
}

#[test]
fn what_is_tested_or_always_there_is_safe() {
    check("x if not input.a", &[]);
    check("x if { y := input.a; y != \"\"; not y == 1 }", &[]);
    check("x if { y := input.a; y; not y == 1 }", &[]);
    check("x if { y := \"a\"; not y == input.b }", &[]);
    check("x if { y := {z | some z in input.a}; not \"b\" in y }", &[]);
    check("x contains y if { y := input.a }", &[]);
    check("x if { y := input.a; startswith(y, \"b\") }", &[]);
}

#[test]
fn a_value_under_a_loop_is_found() {
    check("x := e if some e in input.a", &[(1, LOOP)]);
    check("f(a) := e if some e in a", &[(1, LOOP)]);
    check("x := e if { some i; e := input.a[i] }", &[(1, LOOP)]);
    check("x := e if e := input.a[_]", &[(1, LOOP)]);
    check("x[k] := v if some k, v in input.a", &[(1, LOOP)]);
    check("x := e if e := input.a[i]", &[(1, LOOP)]);
    check("x := e if s[e]\n\ns contains 1", &[(1, LOOP)]);
    check("x := 1 if input.a else := e if { some e in input.b }", &[(1, LOOP)]);
}

#[test]
fn a_constant_or_a_gathering_under_a_loop_is_safe() {
    check("x if some e in input.a", &[]);
    check("x := 1 if some e in input.a", &[]);
    check("x := y if y := [e | some e in input.a]", &[]);
    check("x contains e if some e in input.a", &[]);
    check("x := input.a[y]\n\ny := \"b\" if input.c", &[]);
    check("f(a) := b if b := input.a[a]", &[]);
    check("x := y if { y := input.b; y != 1; every e in input.a { e == y } }", &[]);
}

#[test]
fn keys_of_an_object_that_could_meet_are_found() {
    check("x := {v: k | some k, v in input.a}", &[(1, KEYS)]);
    check("x := {\"k\": v | some v in input.a}", &[(1, KEYS)]);
    check("x := {k: w | some k, v in input.a; some w in v}", &[(1, KEYS)]);
    check("x := {k: v | some k, v in input.a}", &[]);
}
