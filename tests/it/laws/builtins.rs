//! What fails in a policy is an error on both engines, never a quiet allow.

use portcullis_policy::set::Options;
use portcullis_policy::{Budget, Meter, Value};

use super::policy;

/// `o` stands for an object of the review that holds one of each; nothing here can be folded while compiling.
const OBJECT: &str = r#"{"request": {"operation": "CREATE", "object": {
    "nothing": null, "yes": true, "text": "x", "number": 1, "negative": -1, "list": ["a", 1], "empty": [], "map": {"a": "b"}, "bracket": "[", "brace": "{", "percent": "%"}}}"#;

/// Calls that fail, a row a family of builtins and more.
const FAILING: &[&str] = &[
    "object.keys(o.nothing)",
    "object.get(o.number, \"a\", 0)",
    "object.union(o.number, {})",
    "object.union_n(o.text)",
    "object.remove(o.number, [\"a\"])",
    "object.filter(o.number, [\"a\"])",
    "json.filter(o.number, [\"a\"])",
    "json.remove(o.number, [\"a\"])",
    "json.unmarshal(o.brace)",
    "net.cidr_contains(o.text, o.text)",
    "split(o.number, \"a\")",
    "concat(\",\", o.list)",
    "concat(o.number, [])",
    "lower(o.number)",
    "upper(o.nothing)",
    "startswith(o.number, \"a\")",
    "endswith(o.nothing, \"a\")",
    "contains(o.map, \"a\")",
    "indexof(o.number, \"a\")",
    "indexof_n(o.number, \"a\")",
    "replace(o.number, \"a\", \"b\")",
    "strings.replace_n(o.number, \"a\")",
    "strings.reverse(o.number)",
    "strings.count(o.number, \"a\")",
    "strings.any_prefix_match(o.number, \"a\")",
    "strings.any_suffix_match(o.number, \"a\")",
    "substring(o.number, 0, 1)",
    "substring(o.text, o.negative, 1)",
    "sprintf(\"%d\", o.number)",
    "trim(o.number, \"a\")",
    "trim_left(o.number, \"a\")",
    "trim_right(o.number, \"a\")",
    "trim_prefix(o.number, \"a\")",
    "trim_suffix(o.number, \"a\")",
    "trim_space(o.number)",
    "to_number(o.text)",
    "to_number(o.list)",
    "format_int(o.text, 10)",
    "abs(o.text)",
    "ceil(o.text)",
    "floor(o.nothing)",
    "round(o.list)",
    "sum(o.text)",
    "sum(o.list)",
    "product(o.text)",
    "max(o.number)",
    "min(o.number)",
    "sort(o.number)",
    "count(o.number)",
    "array.concat(o.number, [])",
    "array.slice(o.number, 0, 1)",
    "array.reverse(o.number)",
    "union(o.number)",
    "intersection(o.number)",
    "bits.and(o.text, 1)",
    "bits.or(o.text, 1)",
    "bits.negate(o.text)",
    "regex.match(o.bracket, \"a\")",
    "regex.match(o.number, \"a\")",
    "regex.split(o.bracket, \"a\")",
    "regex.find_n(o.bracket, \"a\", 1)",
    "glob.match(o.number, [], \"x\")",
    "base64.decode(o.percent)",
    "base64url.decode(o.percent)",
    "hex.decode(o.percent)",
    "base64.encode(o.number)",
    "time.parse_rfc3339_ns(o.text)",
    "time.parse_ns(\"2006-01-02\", o.text)",
    "time.parse_duration_ns(o.text)",
    "time.date(o.text)",
    "time.clock(o.text)",
    "time.weekday(o.text)",
    "time.add_date(o.text, 1, 1, 1)",
    "semver.compare(o.text, \"1.0.0\")",
    "units.parse(o.text)",
    "units.parse_bytes(o.text)",
    "graph.reachable(o.number, [\"a\"])",
];

/// Where a failure may stand. In each of them an undefined would read as "nothing is wrong".
const PLACES: &[(&str, &str)] = &[
    (
        "a condition",
        "deny contains \"x\" if {\n\to := input.request.object\n\tv := CALL\n\tv == \"never\"\n}",
    ),
    ("under not", "deny contains \"x\" if {\n\to := input.request.object\n\tnot CALL == \"never\"\n}"),
    ("a rule", "deny contains \"x\" if v == \"never\"\n\nv := CALL if o := input.request.object"),
    (
        "a rule under not",
        "deny contains \"x\" if not fine\n\nfine if {\n\to := input.request.object\n\tv := CALL\n\tv == \"never\"\n}",
    ),
    ("a function", "deny contains \"x\" if f(input.request.object) == \"never\"\n\nf(o) := CALL"),
    (
        "a function under not",
        "deny contains \"x\" if not f(input.request.object) == \"never\"\n\nf(o) := CALL",
    ),
    (
        "a comprehension",
        "deny contains \"x\" if {\n\to := input.request.object\n\tcount([v | v := CALL]) > 5\n}",
    ),
    ("every", "deny contains \"x\" if {\n\to := input.request.object\n\tevery k in [\"a\"] { CALL == k }\n}"),
    ("a message", "deny contains {\"msg\": sprintf(\"%v\", [CALL])} if o := input.request.object"),
];

/// What came of it: findings, or an error. The sentence differs between engines, that it fails may not.
fn outcome(rules: &str, interpreter: bool) -> (String, bool) {
    let law = policy("probe", rules, Options { interpreter, full_input: false });
    let probe = law.policy("probe").unwrap();
    let input = Value::from_json_str(OBJECT).unwrap();
    let data =
        Value::from_json_str(r#"{"params": {}, "tenancy": {"settings": {}, "tenants": {}}, "cluster": {}}"#)
            .unwrap();
    let budget = Budget {
        time: std::time::Duration::from_secs(5),
        review: std::time::Duration::from_secs(20),
        deadline: std::time::Duration::from_mins(1),
        ..Budget::default()
    };
    let said = match probe.findings("deny", &input, &data, &mut Meter::new(budget)) {
        Ok(findings) => format!("{findings:?}"),
        Err(_) => "error".to_owned(),
    };
    (said, probe.fallback().is_some())
}

#[test]
fn a_failing_builtin_is_an_error_on_both_engines() {
    let mut wrong = Vec::new();
    for call in FAILING {
        for (place, template) in PLACES {
            let rules = template.replace("CALL", call);
            let (machine, slow) = outcome(&rules, false);
            let (interpreter, _) = outcome(&rules, true);
            if (machine.as_str(), interpreter.as_str()) != ("error", "error") {
                wrong.push(format!(
                    "{call} in {place}: {} {machine}, interpreter {interpreter}",
                    if slow { "fallback" } else { "machine" }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is not a builtin and fails, or means something else on the register machine: it must come out the same, by a
/// fallback if need be. `Some` is what it must be.
const CONSTRUCTS: &[(&str, &str, Option<&str>)] = &[
    ("text plus number", "deny contains \"x\" if input.request.object.text + 1 > 5", Some("error")),
    (
        "text times number, under not",
        "deny contains \"x\" if not input.request.object.text * 2 == 2",
        Some("error"),
    ),
    ("division by nought", "deny contains \"x\" if 1 / (input.request.object.number - 1) > 5", Some("error")),
    ("rest by nought", "deny contains \"x\" if 1 % (input.request.object.number - 1) > 5", Some("error")),
    (
        "arithmetic in a helper",
        "deny contains \"x\" if v > 5\n\nv := input.request.object.text - 1",
        Some("error"),
    ),
    (
        "arithmetic in a function",
        "deny contains \"x\" if not f(input.request.object.text) == 2\n\nf(x) := x * 2",
        Some("error"),
    ),
    (
        "arithmetic in a comprehension",
        "deny contains \"x\" if count([v | some e in input.request.object.list; v := e * 2]) > 5",
        Some("error"),
    ),
    (
        "null minus list",
        "deny contains \"x\" if input.request.object.nothing - input.request.object.list == 1",
        Some("error"),
    ),
    (
        "ordering of two kinds",
        "deny contains \"x\" if input.request.object.text < input.request.object.number",
        None,
    ),
    (
        "union of no sets",
        "deny contains \"x\" if count(input.request.object.number | {1}) > 5",
        Some("error"),
    ),
    (
        "conflicting complete rules",
        "deny contains \"x\" if v == 3\n\nv := 1 if input.request.object.yes\n\nv := 2 if input.request.object.number",
        Some("error"),
    ),
    (
        "conflicting complete rules, under not",
        "deny contains \"x\" if not v == 1\n\nv := 1 if input.request.object.yes\n\nv := 2 if input.request.object.number",
        Some("error"),
    ),
    (
        "one complete rule, two values",
        "deny contains \"x\" if v == 3\n\nv := e if some e in input.request.object.list",
        Some("error"),
    ),
    (
        "conflicting functions",
        "deny contains \"x\" if f(1) == 3\n\nf(x) := 1 if x == 1\n\nf(x) := 2 if x > 0",
        Some("error"),
    ),
    (
        "one function, two values",
        "deny contains \"x\" if f(input.request.object.list) == 3\n\nf(x) := e if some e in x",
        Some("error"),
    ),
    (
        "conflicting object keys",
        "deny contains \"x\" if count({\"k\": v | some v in input.request.object.list}) > 5",
        Some("error"),
    ),
    (
        "conflicting partial object",
        "deny contains \"x\" if count(m) > 5\n\nm[k] := v if {\n\tsome v in input.request.object.list\n\tk := \"k\"\n}",
        Some("error"),
    ),
    (
        "undefined assigned, seen under not",
        "deny contains \"x\" if {\n\tv := input.request.object.undefined\n\tnot v == 1\n}",
        Some("[]"),
    ),
    (
        "undefined assigned, seen in a comprehension",
        "deny contains \"x\" if {\n\tv := input.request.object.undefined\n\tcount([1 | v == 1]) == 0\n}",
        Some("[]"),
    ),
    (
        "undefined assigned, seen by every",
        "deny contains \"x\" if {\n\tv := input.request.object.undefined\n\tevery e in [1] { v != e }\n}",
        Some("[]"),
    ),
    (
        "undefined assigned, seen by nobody",
        "deny contains \"x\" if v := input.request.object.undefined",
        Some("[]"),
    ),
    (
        "undefined as an argument",
        "deny contains \"x\" if f(input.request.object.undefined)\n\nf(x) if not x == 1",
        Some("[]"),
    ),
    (
        "undefined as an argument, under not",
        "deny contains \"found\" if not f(input.request.object.undefined)\n\nf(x) if not x == 1",
        None,
    ),
    (
        "undefined rule assigned",
        "deny contains \"x\" if {\n\tw := v\n\tnot w == 1\n}\n\nv := 1 if input.request.object.undefined",
        Some("[]"),
    ),
    (
        "undefined call assigned",
        "deny contains \"x\" if {\n\tw := f(1)\n\tnot w == 1\n}\n\nf(x) := 1 if x == 2",
        Some("[]"),
    ),
    (
        "undefined element of a list",
        "deny contains \"x\" if {\n\tv := [input.request.object.undefined]\n\tnot v == [1]\n}",
        Some("[]"),
    ),
    (
        "undefined member of an object",
        "deny contains \"x\" if {\n\tv := {\"a\": input.request.object.undefined}\n\tnot v == {}\n}",
        Some("[]"),
    ),
    (
        "undefined in a set",
        "deny contains \"x\" if {\n\tv := {input.request.object.undefined}\n\tnot v == {1}\n}",
        Some("[]"),
    ),
    // OPA drops it; a denial cannot vanish.
    ("undefined finding", "deny contains {\"msg\": input.request.object.undefined} if true", Some("error")),
    (
        "undefined default",
        "deny contains \"x\" if not v\n\ndefault v := true\n\nv := false if input.request.object.undefined",
        Some("[]"),
    ),
    ("false assigned", "deny contains \"found\" if {\n\tv := false\n\tnot v\n}", None),
    ("a member of a number", "deny contains \"x\" if input.request.object.number.a == 1", Some("[]")),
    (
        "a member of a number, under not",
        "deny contains \"found\" if not input.request.object.number.a == 1",
        None,
    ),
    (
        "every in null",
        "deny contains \"x\" if {\n\tevery v in input.request.object.nothing { v == 1 }\n}",
        None,
    ),
    (
        "every in undefined",
        "deny contains \"x\" if {\n\tevery v in input.request.object.undefined { v == 1 }\n}",
        None,
    ),
    (
        "every in a list, unlike",
        "deny contains \"x\" if {\n\tevery v in input.request.object.list { v == \"a\" }\n}",
        Some("[]"),
    ),
    ("in a text", "deny contains \"x\" if \"x\" in input.request.object.text", None),
    (
        "else after a failure",
        "deny contains \"x\" if f(input.request.object) == 2\n\nf(o) := 1 if to_number(o.text) == 1\n\nelse := 2",
        Some("error"),
    ),
    (
        "a loop over undefined",
        "deny contains \"x\" if some i, v in input.request.object.undefined",
        Some("[]"),
    ),
    (
        "unification",
        "deny contains \"found\" if {\n\t[a, b] = input.request.object.list\n\ta == \"a\"\n\tb == 1\n}",
        None,
    ),
    ("unification that fails", "deny contains \"x\" if [a] = input.request.object.list", None),
    ("a wildcard", "deny contains \"found\" if input.request.object.list[_] == 1", None),
    ("a variable key", "deny contains k if {\n\tsome k\n\tinput.request.object.map[k] == \"b\"\n}", None),
    (
        "walk",
        "deny contains \"found\" if {\n\twalk(input.request.object, [path, value])\n\tvalue == \"b\"\n}",
        None,
    ),
];

#[test]
fn constructs_come_out_the_same_on_both_engines() {
    let mut wrong = Vec::new();
    for (name, rules, expected) in CONSTRUCTS {
        let (chosen, slow) = outcome(rules, false);
        let (interpreter, _) = outcome(rules, true);
        if chosen != interpreter || expected.is_some_and(|expected| expected != chosen) {
            wrong.push(format!(
                "{name}: {} {chosen}, interpreter {interpreter}, must be {expected:?}",
                if slow { "fallback" } else { "machine" }
            ));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Builtins of the engine that do not fail where OPA's would, on either engine: a wrong type is no part of anything, a
/// pattern that is none matches nothing.
const LENIENT: &[&str] = &["object.subset(o.number, count(o))"];

#[test]
fn what_the_engine_forgives_it_forgives_on_both() {
    for call in LENIENT {
        for (place, template) in PLACES {
            let rules = template.replace("CALL", call);
            assert_eq!(outcome(&rules, false).0, outcome(&rules, true).0, "{call} in {place}");
        }
    }
}

#[test]
fn a_loop_over_what_is_no_collection_goes_no_times() {
    let rules = "deny contains \"x\" if some v in input.request.object.number";
    assert_eq!((outcome(rules, false).0, outcome(rules, true).0), ("[]".to_owned(), "[]".to_owned()));
}
