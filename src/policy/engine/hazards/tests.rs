use crate::policy::bundle::Module;
use crate::policy::engine::analysis;

const OPERANDS: &str = "arithmetic, ordering or union of what may be no number or set";
const SEVERAL: &str = "has several definitions";
const LOOP: &str = "could have several values";
const KEYS: &str = "keys of this object could meet";
const UNUSED: &str = "is assigned and never looked at";
const UNDEFINED: &str = "may be undefined and only a negation";

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
fn operands_that_may_be_no_number_are_found() {
    check("x := input.a + 1", &[(1, OPERANDS)]);
    check("x := 1 - input.a", &[(1, OPERANDS)]);
    check("x := input.a * 2", &[(1, OPERANDS)]);
    check("x := input.a / 2", &[(1, OPERANDS)]);
    check("x := input.a % 2", &[(1, OPERANDS)]);
    check("x if input.a < 3", &[(1, OPERANDS)]);
    check("x if 3 >= input.a", &[(1, OPERANDS)]);
    check("x if input.a > input.b", &[(1, OPERANDS)]);
    check("x if \"a\" <= \"b\"", &[(1, OPERANDS)]);
    check("x := {y | some y in input.a; y > 3}", &[(1, OPERANDS)]);
    check("x if {\n\tevery y in input.a { y < 3 }\n}", &[(2, OPERANDS)]);
    check("f(a) := a + 1", &[(1, OPERANDS)]);
    check("x if not input.a > 3", &[(1, OPERANDS)]);
}

#[test]
fn unions_of_what_may_be_no_set_are_found() {
    check("x := input.a | {1}", &[(1, OPERANDS)]);
    check("x := {1} & input.a", &[(1, OPERANDS)]);
    check("x := {1} - input.a", &[(1, OPERANDS)]);
    check("x := count(input.a) | count(input.b)", &[(1, OPERANDS)]);
}

#[test]
fn numbers_by_their_making_are_safe() {
    check("x := to_number(input.a) + 1", &[]);
    check("x if count(input.a) > 63", &[]);
    check("x if { n := count(input.a); n > 3; n + 1 < 9 }", &[]);
    check("n := count(input.a)\nx if n > 3", &[]);
    check("x if time.parse_rfc3339_ns(input.now) < time.parse_rfc3339_ns(input.a)", &[]);
    check("x := (1 + 2) * 3", &[]);
    check("x if { n := count(input.a) + 1; n > 3 }", &[]);
    check("x if input.a == 3", &[]);
    check("x if input.a != input.b", &[]);
}

#[test]
fn sets_by_their_making_are_safe() {
    check("x := {y | some y in input.a} - {\"b\"}", &[]);
    check("x := {y | some y in input.a} | {z | some z in input.b}", &[]);
    check("x := object.keys(input.a) & {\"b\"}", &[]);
    check("s contains y if some y in input.a\nx := s - {\"b\"}", &[]);
    check("s := {y | some y in input.a}\nx := (s | {\"b\"}) & s", &[]);
    check("x if { s := {y | some y in input.a}; count(s - {\"b\"}) > 0 }", &[]);
}

#[test]
fn what_is_known_in_one_body_is_not_known_in_another() {
    check("x if { n := count(input.a); n > 3 }\ny if { n := input.a; n > 3 }", &[(2, OPERANDS)]);
    check("x if { n := count(input.a); n > 0; {m | some m in input.b; n > 3} }", &[]);
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
fn the_undefined_that_only_a_negation_sees_is_found() {
    check("x if {\n\ty := input.a\n\tnot y\n}", &[(2, UNDEFINED)]);
    check("x if { y := input.a; not y == 1 }", &[(1, UNDEFINED)]);
    check("x if { y := input.a; count({z | some z in y}) == 0 }", &[(1, UNDEFINED)]);
    check("x if { y := input.a; every z in [1] { z == y } }", &[(1, UNDEFINED)]);
    check("x := [1 | y := input.a; not y]", &[(1, UNDEFINED)]);
    check("x if { y := lower(input.a); not y == \"b\" }", &[(1, UNDEFINED)]);
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

#[test]
fn what_is_assigned_and_never_looked_at_is_found() {
    check("x if { y := input.a.b; input.c }", &[(1, UNUSED)]);
    check("x if { y := input.a[\"b\"]; input.c }", &[(1, UNUSED)]);
    check("x if { y := input.a.b; y == 1 }", &[]);
    check("x := y if y := input.a.b", &[]);
}
