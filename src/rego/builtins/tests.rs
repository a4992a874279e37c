use super::*;
use crate::analysis;
use crate::source::Module;

/// Checks the problems of a module's calls, as `line:column: message`; each expectation is a prefix.
fn check(body: &str, expected: &[&str]) {
    let module = Module { path: "p.rego".to_owned(), text: format!("package portcullis.p\n{body}\n") };
    let analysis = analysis::analyse(&module).unwrap_or_else(|problem| panic!("{body}: {problem}"));
    let known = |path: &[String]| (path.join(".") == "portcullis.lib.names.short").then_some(1);
    let reported: Vec<String> = check_module(&module, &analysis, &known);
    let fits = reported.len() == expected.len()
        && reported
            .iter()
            .zip(expected)
            .all(|(reported, expected)| reported.starts_with(&format!("p.rego:{expected}")));
    assert!(fits, "{body}: {reported:#?}");
}

fn check_module(module: &Module, analysis: &Analysis, known: Functions<'_>) -> Vec<String> {
    super::check(&module.path, analysis, known)
        .into_iter()
        .map(|problem| problem.with_source_column(&module.text).to_string())
        .collect()
}

#[test]
fn pure_builtins_are_allowed() {
    check("x := count(split(lower(\"A\"), \"a\"))", &[]);
    check("x := object.get({}, \"a\", 1)\ny if regex.match(\"a\", \"a\")", &[]);
    check("x := time.parse_rfc3339_ns(input.now)", &[]);
}

#[test]
fn impure_builtin_is_refused_at_its_location() {
    for (name, arguments) in [
        ("http.send", "{}"),
        ("net.lookup_ip_addr", "\"a\""),
        ("net.cidr_expand", "\"10.0.0.0/8\""),
        ("opa.runtime", ""),
        ("rand.intn", "\"a\", 3"),
        ("uuid.rfc4122", "\"a\""),
        ("time.now_ns", ""),
        ("trace", "\"a\""),
    ] {
        check(&format!("x := {name}({arguments})"), &[&format!("2:6: builtin `{name}` is refused: ")]);
    }
}

#[test]
fn refused_builtin_is_found_in_nested_bodies() {
    check("x := {y | y := time.now_ns()}", &["2:16: builtin `time.now_ns`"]);
    check("x if { every i in [1] { time.now_ns() > i } }", &["2:25: builtin `time.now_ns`"]);
    check(
        "x := count([time.now_ns(), trace(\"a\")])",
        &["2:13: builtin `time.now_ns`", "2:28: builtin `trace`"],
    );
    check("x := 1 if false else := time.now_ns()", &["2:25: builtin `time.now_ns`"]);
    check("x if not http.send({})", &["2:10: builtin `http.send`"]);
}

#[test]
fn unknown_function_is_refused_at_its_location() {
    check("x := cuont([1])", &["2:6: unknown function or builtin `cuont`; `portcullis policy builtins`"]);
    check("x := io.jwt.decode(\"a\")", &["2:6: unknown function or builtin `io.jwt.decode`"]);
    check("x := crypto.sha256(\"a\")", &["2:6: unknown function"]);
    check("x := rego.parse_module(\"a\", \"b\")", &["2:6: unknown function"]);
    check("x := data.portcullis.lib.names.long(1)", &["2:6: unknown function"]);
    check("import data.portcullis.lib.names\nx := names.long(1)", &["3:6: unknown function"]);
    check("y := 1\nx := y(1)", &["3:6: unknown function"]);
}

#[test]
fn functions_of_the_bundle_are_allowed() {
    check("x := f(1)\nf(a) := a", &[]);
    check("x := data.portcullis.lib.names.short(1)", &[]);
    check("import data.portcullis.lib.names\nx := names.short(1)", &[]);
    check("import data.portcullis.lib.names as n\nx := n.short(1)", &[]);
    check("import data.portcullis.lib.names.short\nx := short(1)", &[]);
}

#[test]
fn builtin_that_grows_with_a_number_needs_constant_bounds() {
    check("x := numbers.range(1, 20)\ny := bits.lsh(input.a, 3)\nz := numbers.range_step(0, 10, 2)", &[]);
    check("x := numbers.range(1, input.a)", &["2:6: builtin `numbers.range`: its bounds must be constant"]);
    check("x := sprintf(\"%d and %v\", [input.a, input.b])", &[]);
    check("x := sprintf(input.a, [1])", &["2:6: builtin `sprintf`: its format must be a constant string"]);
    check("n := 5\nx := numbers.range(1, n)", &["3:6: builtin `numbers.range`"]);
    check("x := numbers.range_step(0, 10, input.a)", &["2:6: builtin `numbers.range_step`"]);
    check("x := bits.lsh(1, input.a)", &["2:6: builtin `bits.lsh`"]);
}

#[test]
fn regex_replace_needs_a_constant_pattern() {
    check("x := regex.replace(input.a, \"[a-z]\", \"b\")\ny := regex.replace(input.a, `[a-z]`, \"b\")", &[]);
    check(
        "x := regex.replace(\"a\", input.a, \"b\")",
        &["2:6: builtin `regex.replace`: its pattern must be a constant"],
    );
}

#[test]
fn no_builtin_is_both_allowed_and_refused() {
    let allowed: Vec<&str> = allowed().map(|(name, _)| name).collect();
    assert!(refused().all(|(name, _)| !allowed.contains(&name)));
    assert!(ALLOWED.is_sorted(), "kept in order");
    assert!(allowed.len() <= 128, "as many as can be guarded");
}
