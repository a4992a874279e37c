use super::*;

fn module(body: &str) -> Module {
    Module { path: "p.rego".to_owned(), text: format!("package portcullis.p\n{body}\n") }
}

fn analysed(body: &str) -> Analysis {
    analyse(&module(body)).unwrap_or_else(|problem| panic!("{body}: {problem}"))
}

fn written(steps: &[Step]) -> String {
    let part = |step: &Step| if let Step::Name(name) = step { name.clone() } else { "*".to_owned() };
    steps.iter().map(part).collect::<Vec<_>>().join(".")
}

/// The paths below `input` that a module reads, sorted and without duplicates; `""` is all of it.
fn check(body: &str, input: &[&str]) {
    let analysis = analysed(body);
    let paths = analysis.input.iter().map(|found| &found.path).chain(&analysis.through_locals);
    let mut found: Vec<String> = paths.map(|path| written(path)).collect();
    found.sort();
    found.dedup();
    assert_eq!(found, input, "{body}");
}

fn check_data(body: &str, data: &[&str]) {
    let mut found: Vec<String> = analysed(body).data.iter().map(|found| found.path.join(".")).collect();
    found.sort();
    found.dedup();
    assert_eq!(found, data, "{body}");
}

#[test]
fn dotted_reference_is_one_path() {
    check("x := input.request.object.kind", &["request.object.kind"]);
    check("x if input.request.operation == \"CREATE\"", &["request.operation"]);
    check("x := 1", &[]);
    check("x := y.input\ny := {\"input\": 1}", &[]);
}

#[test]
fn constant_brackets_are_named_steps() {
    check("x := input[\"request\"][\"object\"].kind", &["request.object.kind"]);
    check(
        "x := input.request.object.metadata.labels[\"kubenova.io/app\"]",
        &["request.object.metadata.labels.kubenova.io/app"],
    );
    check("x := input[`request`].name", &["request.name"]);
}

#[test]
fn non_constant_bracket_reads_any_key() {
    check("x if input.images[_].ok", &["images.*.ok"]);
    check("x if { some i; input.images[i].ok }", &["images.*.ok"]);
    check("x := input.images[0].raw", &["images.*.raw"]);
    check("x := input.request.object[input.request.name].a", &["request.name", "request.object.*.a"]);
    check("x := input.request[concat(\"\", [\"na\", input.now])]", &["now", "request.*"]);
    check("k := \"name\"\nx := input.request[k]", &["request.*"]);
}

#[test]
fn imports_and_aliases_are_resolved() {
    check("import input.request as req\nx := req.object.kind", &["request.object.kind"]);
    check("import input.request.object\nx := object.spec.a", &["request.object.spec.a"]);
    check("import input as document\nx := document.request.name", &["request.name"]);
    check("import input[\"request\"] as r\nx := r.name", &["request.name"]);
    check("import rego.v1\nx := input.now", &["now"]);
    check("import input.request as unused\nx := 1", &[]);
}

#[test]
fn whole_input_reads_everything() {
    check("x := input", &[""]);
    check("deny contains input", &[""]);
    check("x := f(input)\nf(a) := a.request", &[""]);
    check("x if { {\"request\": r} := input; r.name == \"a\" }", &[""]);
    check("x if walk(input, [_, 1])", &[""]);
    check("x := [input]", &[""]);
    check("x := {\"a\": input.request}", &["request"]);
    check("import input as i\nx := i", &[""]);
}

#[test]
fn variable_reads_the_paths_that_follow_it() {
    check("x if { o := input.request.object; o.spec.a == 1 }", &["request.object.spec.a"]);
    check("x if { some c in input.images; c.ok; c[\"raw\"] == \"a\" }", &["images.*.ok", "images.*.raw"]);
    check("x if { some c in input.request.object.a; c.b[_].d }", &["request.object.a.*.b.*.d"]);
    check("import input.request as r\nx if { some c in r.object.a; c.b }", &["request.object.a.*.b"]);
    check(
        "x if { some k, v in input.request.object.metadata.labels; k == v }",
        &["request.object.metadata.labels"],
    );
}

#[test]
fn variable_without_steps_reads_its_whole_value() {
    for use_of in [
        "f(o)",
        "y := o",
        "[o]",
        "{\"a\": o}",
        "o == 1",
        "not o",
        "o in {1}",
        "o",
        "{1: 2}[o]",
        "count(o) == 1",
    ] {
        check(
            &format!("x if {{ o := input.request.object; o.spec.a == 1; {use_of} }}\nf(_) := 1"),
            &["request.object", "request.object.spec.a"],
        );
    }
    check(
        "x contains o if { o := input.request.object; o.spec.a }",
        &["request.object", "request.object.spec.a"],
    );
    check("x := o if { o := input.request.object; o.spec.a }", &["request.object", "request.object.spec.a"]);
    check("x if { some c in input.images; c.ok; f(c) }\nf(_) := 1", &["images", "images.*.ok"]);
    // Whether there is an element depends on the array.
    check("x if { some _ in input.images }", &["images"]);
    check("x if { some i, _ in input.images; i > 0 }", &["images"]);
    check("x if { o := input.request.object }", &["request.object"]);
}

#[test]
fn variable_of_a_variable_is_followed() {
    let nested = "some c in input.request.object.containers\nsome p in c.ports\np.hostPort > 0";
    check(&format!("x if {{\n{nested}\n}}"), &["request.object.containers.*.ports.*.hostPort"]);
    check(
        "x if { o := input.request.object; some c in o.a; c.b; o.d }",
        &["request.object.a.*.b", "request.object.d"],
    );
    check("x if { o := input.request; p := o[input.now]; p.b }", &["now", "request.*.b"]);
}

#[test]
fn ambiguous_variable_reads_all_its_possible_paths() {
    // Two loops bind one name: either may be meant.
    check(
        "x := [c.a | some c in input.images]\ny := [c.a | some c in input.changed]",
        &["changed.*.a", "images.*.a"],
    );
    check(
        "x := {[c.a | some c in input.images], [c.b | some c in input.changed]}",
        &["changed.*.a", "changed.*.b", "images.*.a", "images.*.b"],
    );
    // The value of the second is unknown; the first is still followed.
    check(
        "x if { some c in input.images; c.a }\ny if { some c in f(input.now); c.b }\nf(a) := [a]",
        &["images.*.a", "now"],
    );
    check(
        "x if { c := input.images; c.a; y := [c.b | some c in f(1)]; y != [] }\nf(a) := [a]",
        &["images", "images.a", "images.b"],
    );
    // A pattern reads the whole value.
    check("x if { some {\"a\": a} in input.images; a }", &["images"]);
    check("x if { [a, _] := input.images; a }", &["images"]);
    check("x if { c = input.request.object; c.a }", &["request.object"]);
    // A cycle.
    check(
        "x if { some c in input.images; y := [c.a | some c in c.b]; y != [] }",
        &["images", "images.*.a", "images.*.b"],
    );
}

#[test]
fn reads_inside_comprehensions_every_else_and_with_are_found() {
    check("x := [i.raw | some i in input.images]", &["images.*.raw"]);
    check("x := {i | i := input.request.name; input.now != \"\"}", &["now", "request.name"]);
    check("x := {k: v | some k; v := input.tenancy[k]}", &["tenancy.*"]);
    check("x if { every i in input.images { i.ok; input.now != \"\" } }", &["images.*.ok", "now"]);
    check("x if not input.request.dryRun", &["request.dryRun"]);
    check("x := 1 if input.now == \"a\" else := input.request.name", &["now", "request.name"]);
    check(
        "default x := false\nx if { y := input.now; y == \"\" } else if { input.changed }",
        &["changed", "now"],
    );
    check("y if input.now\nx if y with data.a as input.request.name", &["now", "request.name"]);
    check("y if input.now\nx if y with input as {\"now\": input.request.name}", &["", "now", "request.name"]);
    check("x contains input.request.name if input.now", &["now", "request.name"]);
    check("x[input.request.name] := input.now", &["now", "request.name"]);
    check("f(a) := a[input.now] if input.request.name == a", &["now", "request.name"]);
}

#[test]
fn reads_inside_calls_and_operators_are_found() {
    check("x := object.get(input.request, \"name\", input.now)", &["now", "request"]);
    check("x := split(input.request.name, \"-\")[0]", &["request.name"]);
    check("x := input.request.a + (2 * input.request.b)", &["request.a", "request.b"]);
    check("x if input.request.name in input.changed", &["changed", "request.name"]);
    check("x := -input.request.a", &["request.a"]);
    check("x := {1} | {input.now}", &["now"]);
}

#[test]
fn data_reference_is_its_constant_prefix() {
    check_data("x := data.params[\"some-policy\"].steps", &["params.some-policy.steps"]);
    check_data("x := data.tenancy.tenants[input.now].id", &["tenancy.tenants"]);
    check_data("import data.portcullis.lib.names\nx := names.prefix", &["portcullis.lib.names.prefix"]);
    check_data("import data.portcullis.lib.names as n\nx := n.f(1)", &["portcullis.lib.names.f"]);
    check_data("x := data.portcullis.lib.names.f(1)", &["portcullis.lib.names.f"]);
    check_data("x := data", &[""]);
    check_data("x := data[input.now]", &[""]);
}

#[test]
fn rule_has_name_form_and_location() {
    let rules = |body: &str| -> Vec<(String, Form, u32)> {
        analysed(body).rules.into_iter().map(|rule| (rule.name, rule.form, rule.location.0)).collect()
    };
    let is = |name: &str, form, line| (name.to_owned(), form, line);
    assert_eq!(
        rules(
            "deny contains \"a\"\ndeny contains \"b\" if true\nx := 1\ny if x\nf(a) := a\ndefault z := 1\ndefault g(_) := 1"
        ),
        [
            is("deny", Form::Set, 2),
            is("deny", Form::Set, 3),
            is("x", Form::Value, 4),
            is("y", Form::Value, 5),
            is("f", Form::Function, 6),
            is("z", Form::Value, 7),
            is("g", Form::Function, 8),
        ]
    );
    assert_eq!(rules("deny := {\"a\"}"), [is("deny", Form::Value, 2)]);
    assert_eq!(rules("deny[\"a\"] := 1")[0].1, Form::Value);
    assert_eq!(analysed("x := 1").package, ["portcullis", "p"]);
}

#[test]
fn call_has_name_location_and_constants() {
    let calls = analysed("x := numbers.range(1, input.now)\ny := count([lower(\"A\")])").calls;
    let found: Vec<(&str, &[bool], u32)> =
        calls.iter().map(|call| (call.name.as_str(), &call.constant[..], call.location.0)).collect();
    assert_eq!(
        found,
        [("numbers.range", &[true, false][..], 2), ("count", &[false], 3), ("lower", &[true], 3)]
    );
}

#[test]
fn reference_is_located_at_its_first_character() {
    let module = module("x if {\n\tinput.request.name\n}");
    let location = analyse(&module).unwrap().input[0].location;
    let problem = Problem::at("p.rego", location.0, location.1, "x").with_source_column(&module.text);
    assert_eq!((problem.line, problem.column), (3, 2));
}

#[test]
fn syntax_error_has_a_location() {
    let reported = analyse(&module("x := ")).unwrap_err().to_string();
    assert!(reported.starts_with("p.rego:"), "{reported}");
    let reported = analyse(&module("x := 1\ny := {")).unwrap_err();
    assert_eq!((reported.file.as_str(), reported.line > 0), ("p.rego", true), "{reported}");
}
