use std::time::{Duration, Instant};

use super::*;
use crate::source::Module;
use crate::{Budget, Compiled, EngineChoice, EvalError, Meter, builtins};

/// Evaluates `answer := {expression}` on both engines, which must agree.
fn evaluate(expression: &str, input: &Value) -> Result<Value, String> {
    let text = format!("package portcullis.p\n\nanswer := {expression}\n");
    let module = Module { path: "p.rego".to_owned(), text };
    let minute = Duration::from_mins(1);
    let budget = Budget { time: minute, review: minute, deadline: minute, instructions: 100_000_000 };
    let reported = [EngineChoice::Auto, EngineChoice::Interpreter("asked for".to_owned())].map(|choice| {
        let compiled = Compiled::new("data.portcullis.p", &["answer"], &[&module], &choice)
            .unwrap_or_else(|problem| panic!("{expression}: {problem}"));
        let before = Instant::now();
        let reported = compiled.evaluate(0, input, &Value::new_object(), None, &mut Meter::new(budget));
        assert!(before.elapsed() < Duration::from_secs(10), "{expression} took {:?}", before.elapsed());
        reported.map_err(|error| match error {
            EvalError::Engine(reported) => reported,
            other => panic!("{expression}: {other}"),
        })
    });
    let [machine, interpreter] = reported;
    match (machine, interpreter) {
        (Ok(machine), Ok(interpreter)) => {
            assert_eq!(machine, interpreter, "{expression}");
            Ok(machine)
        }
        (Err(machine), Err(interpreter)) => {
            assert!(interpreter.contains(&machine), "{expression}: {machine} / {interpreter}");
            Err(machine)
        }
        (machine, interpreter) => panic!("{expression}: {machine:?} / {interpreter:?}"),
    }
}

/// Input of an attacker: long strings and arrays under short names.
fn hostile() -> Value {
    let json = |text: &str| Value::from_json_str(text).unwrap();
    let graph: Vec<String> =
        (0..40).map(|n| format!("\"{n}\": [\"{}\", \"{}\", \"x{}\"]", n + 1, n + 2, n)).collect();
    let chain: Vec<String> = (0..5000).map(|n| format!("\"{n}\": [\"{}\"]", n + 1)).collect();
    let keys: Vec<String> =
        (0..12).map(|n| format!("\"{}{}\": \"\"", "a".repeat(200), letter(n + 1))).collect();
    let entries = [
        ("a", Value::from("a".repeat(100_000))),
        ("b", Value::from("b".repeat(1_000))),
        ("long", Value::from("a".repeat(1_000_000))),
        ("half", Value::from(format!("{}b", "a".repeat(50_000)))),
        ("commas", Value::from(",".repeat(1_000_000))),
        ("controls", Value::from("\u{1}".repeat(1_000_000))),
        ("list", Value::from(vec![Value::from("a".repeat(100)); 50_000])),
        ("texts", Value::from((0..20_000).map(|n| Value::from(format!("t{n}"))).collect::<Vec<_>>())),
        ("numbers", Value::from(vec![Value::from(u64::MAX); 1_000])),
        ("objects", Value::from((0..6_000).map(|n| json(&format!("{{\"k{n}\": 1}}"))).collect::<Vec<_>>())),
        (
            "sets",
            Value::from(
                (0..6_000).map(|n| Value::from(vec![Value::from(format!("{n}"))])).collect::<Vec<_>>(),
            ),
        ),
        ("graph", json(&format!("{{{}}}", graph.join(",")))),
        ("chain", json(&format!("{{{}}}", chain.join(",")))),
        ("keys", json(&format!("{{{}}}", keys.join(",")))),
        ("huge", Value::from("1e2000000000")),
        ("digits", Value::from("9".repeat(1_000_000))),
        ("number", Value::from("{ \"$serde_json::private::Number\": \"1e2000000000\"}")),
        ("escaped", Value::from("{\"\\u0024serde_json::private::Number\": \"1e2000000000\"}")),
        ("nulls", Value::from(format!("[{}0]", "0,".repeat(500_000)))),
        ("pattern", Value::from("(a|b)".repeat(5_000))),
        ("counted", Value::from("((a{1,60}){1,60}){1,60}")),
        ("states", Value::from("(a{1,20}){1,20}")),
    ];
    Value::from(
        entries
            .into_iter()
            .map(|(key, value)| (Value::from(key), value))
            .collect::<std::collections::BTreeMap<_, _>>(),
    )
}

fn letter(n: u8) -> String {
    char::from(b'a' + n).to_string()
}

/// An expression, and a part of its error.
#[rustfmt::skip] // a table is read down its rows
const REFUSED: &[(&str, &str)] = &[
        (
            "replace(input.a, \"a\", input.b)",
            "builtin `replace` would build 100000000 bytes; one call may build at most 4194304",
        ),
        ("replace(input.a, \"\", input.b)", "builtin `replace` would build 100101000 bytes"),
        ("strings.replace_n(input.keys, input.long)", "builtin `strings.replace_n` would take"),
        (
            "strings.replace_n({\"a\": input.b}, input.a)",
            "builtin `strings.replace_n` would build 4195000 bytes",
        ),
        ("concat(input.b, input.list)", "builtin `concat` would build 54999000 bytes"),
        ("concat(\"\", input.list)", "builtin `concat` would build 5000000 bytes"),
        ("regex.replace(input.a, \"a\", input.b)", "builtin `regex.replace` would build"),
        ("regex.replace(input.long, \"^a*$\", \"$0$0$0$0$0$0$0\")", "builtin `regex.replace` would build"),
        ("regex.split(\",\", input.commas)", "builtin `regex.split` would build"),
        ("regex.find_n(\",\", input.commas, -1)", "builtin `regex.find_n` would build"),
        (
            "regex.match(input.pattern, \"a\")",
            "a pattern of 25000 bytes is not compiled; at most 16384 are allowed",
        ),
        ("regex.is_valid(input.pattern)", "a pattern of 25000 bytes is not compiled"),
        (
            "regex.match(input.counted, \"a\")",
            "a pattern is not compiled: it would take more than 102400 bytes",
        ),
        ("regex.match(input.states, input.long)", "builtin `regex.match` would take"),
        ("regex.find_all_string_submatch_n(\"(,)\", input.commas, -1)", "builtin `regex.find_all_string_submatch_n` w"),
        ("regex.match(concat(\"\", [\"^(\", input.states, \"){1,900}$\"]), \"a\")", "a pattern is not compiled"),
        ("regex.replace(input.commas, \",{20}\", \"$0$0$0$0$0$0\")", "builtin `regex.replace` would build"),
        ("sprintf(\"%2000000d\", [1])", "takes no width of 7 digits"),
        ("sprintf(\"%*d\", [900000, 1])", "takes no `*`"),
        ("lower(concat(\"\", [input.long, input.long, \"é\"]))", "builtin `lower` would build"),
        (
            "regex.template_match(input.long, \"a\", \"{\", \"}\")",
            "a pattern of 1000000 bytes is not compiled",
        ),
        ("glob.match(input.a, [], \"a\")", "a glob of 100000 bytes is not read; at most 1024 are allowed"),
        ("glob.match(\"a*a*a*a*\", [\"a\"], input.long)", "builtin `glob.match` would take"),
        ("split(input.commas, \",\")", "builtin `split` would build"),
        ("split(input.long, \"\")", "builtin `split` would build"),
        ("indexof_n(input.long, \"a\")", "builtin `indexof_n` would build"),
        ("indexof(input.long, input.half)", "builtin `indexof` would build"),
        ("strings.count(input.long, input.half)", "builtin `strings.count` would take"),
        ("trim(input.long, input.half)", "builtin `trim` would take"),
        (
            "strings.any_prefix_match(input.texts, input.texts)",
            "builtin `strings.any_prefix_match` would take",
        ),
        ("strings.any_suffix_match(input.list, input.list)", "builtin `strings.any_suffix_match` would take"),
        (
            "sprintf(\"%s%s%s%s%s\", [input.long, input.long, input.long, input.long, input.long])",
            "builtin `sprintf` would build 5000010 bytes",
        ),
        ("sprintf(\"%900000d%900000d%900000d%900000d%900000d\", [1, 1, 1, 1, 1])", "builtin `sprintf` would build"),
        ("json.marshal(input.controls)", "builtin `json.marshal` would build 6000002 bytes"),
        ("json.unmarshal(input.nulls)", "builtin `json.unmarshal` would build"),
        ("json.is_valid(input.nulls)", "builtin `json.is_valid` would build"),
        ("json.unmarshal(input.number)", "an object with the key `$serde_json::private::Number` is not read"),
        (
            "json.unmarshal(input.escaped)",
            "an object with the key `$serde_json::private::Number` is not read",
        ),
        ("json.unmarshal(input.digits)", "a number of 1000000 bytes is not read; at most 512 are allowed"),
        ("to_number(input.digits)", "a number of 1000000 bytes is not read"),
        (
            "to_number(input.huge)",
            "a number with the exponent 2000000000 is not read; at most 512 is allowed",
        ),
        ("units.parse(input.huge)", "a number with the exponent 2000000000 is not read"),
        ("units.parse_bytes(concat(\"\", [input.huge, \"0000000000000000000000Mi\"]))", "is not read"),
        ("product(input.numbers)", "`*` of numbers with more than 16384 bits"),
        ("bits.lsh(1, 1000000000)", "a number is not shifted by 1000000000 bits"),
        ("numbers.range(1, 1000000000)", "builtin `numbers.range` would build"),
        ("numbers.range_step(1, 1000000000, 3)", "builtin `numbers.range_step` would build"),
        ("graph.reachable_paths(input.graph, [\"0\"])", "builtin `graph.reachable_paths` would"),
        (
            "graph.reachable_paths(input.chain, [\"0\"])",
            "builtin `graph.reachable_paths` would follow a path of more than 256 nodes",
        ),
        ("object.union_n(input.objects)", "builtin `object.union_n` would"),
        ("union({s | some item in input.sets; s := {x | some x in item}})", "builtin `union` would take"),
        (
            "array.concat(array.concat(input.list, input.list), array.concat(input.list, input.list))",
            "builtin `array.concat` would build",
        ),
        (
            "object.subset(input.texts, array.slice(input.texts, 1, 10000))",
            "builtin `object.subset` would take",
        ),
        ("[path | walk(input.list, [path, _])]", "builtin `walk` would build"),
        (
            "base64.encode(concat(\"\", [input.long, input.long, input.long]))",
            "builtin `base64.encode` would build",
        ),
        (
            "hex.encode(concat(\"\", [input.long, input.long, input.long]))",
            "builtin `hex.encode` would build",
        ),
        ("upper(concat(\"\", [input.long, input.long, \"é\"]))", "builtin `upper` would build"),
        (
            "json.filter(input, [path | some text in input.texts; path := concat(\"/\", [\"graph\", text, \"a\", \"b\"])])",
            "builtin `json.filter` would build",
        ),
];

#[test]
fn call_beyond_memory_or_time_bounds_is_refused() {
    let input = hostile();
    for (expression, says) in REFUSED {
        let reported = evaluate(expression, &input).map(drop).expect_err(expression);
        assert!(reported.contains(says), "{expression}: {reported}");
    }
}

/// Each call is within the bounds, but together they are not.
#[test]
fn evaluation_has_a_memory_bound() {
    let input = hostile();
    let reported = evaluate(
        "count([t | some n in numbers.range(1, 100); t := concat(\"\", [input.long, format_int(n, 10)])])",
        &input,
    );
    let reported = reported.unwrap_err();
    assert!(
        reported.contains("builtin `concat` would build 1000002 bytes; with them one evaluation would build"),
        "{reported}"
    );
    assert!(reported.contains("at most 16777216 are allowed"), "{reported}");
    // The next evaluation starts from zero.
    assert_eq!(
        evaluate("count(concat(\"\", [input.long, input.long]))", &input),
        Ok(Value::from(2_000_000_u64))
    );
}

#[test]
fn call_within_the_bounds_succeeds() {
    let input = Value::from_json_str(r#"{"text": "a,b,,c", "graph": {"a": ["b", "c"], "b": ["a"], "c": []}, "o": {"a": {"b": [1, {"c": 2}]}}}"#).unwrap();
    for (expression, expected) in [
        ("regex.replace(input.text, \"[a-c]\", \"<$0>\")", "\"<a>,<b>,,<c>\""),
        ("regex.replace(input.text, \"(a),(b)\", \"$2$1$$\")", "\"ba$,,c\""),
        ("regex.replace(input.text, \",\", \"\")", "\"abc\""),
        ("regex.split(\",\", input.text)", "[\"a\", \"b\", \"\", \"c\"]"),
        ("regex.find_n(\"[a-z]\", input.text, 2)", "[\"a\", \"b\"]"),
        ("regex.find_n(\"[a-z]\", input.text, -1)", "[\"a\", \"b\", \"c\"]"),
        ("regex.is_valid(\"(\")", "false"),
        ("regex.match(\"^a.*c$\", input.text)", "true"),
        ("strings.replace_n({\"a\": \"b\", \"b\": \"c\"}, input.text)", "\"b,c,,c\""),
        ("replace(input.text, \",\", \"--\")", "\"a--b----c\""),
        ("replace(\"ab\", \"\", \"-\")", "\"-a-b-\""),
        ("count(graph.reachable_paths(input.graph, [\"a\"]))", "2"),
        ("graph.reachable_paths(input.graph, {\"a\"}) == {[\"a\", \"b\"], [\"a\", \"c\"]}", "true"),
        ("graph.reachable(input.graph, [\"b\"]) == {\"a\", \"b\", \"c\"}", "true"),
        ("count([path | walk(input.o, [path, _])])", "6"),
        ("[path | walk(input.o, [path, 2])]", "[[\"a\", \"b\", 1, \"c\"]]"),
        ("to_number(\"1e3\")", "1000.0"),
        ("units.parse(\"1.5Ki\")", "1536"),
        ("json.unmarshal(\"{\\\"a\\\": [1, 2.5e3]}\")", "{\"a\": [1, 2500.0]}"),
        ("json.remove(input.o, [\"a/b/0\"])", "{\"a\": {\"b\": [{\"c\": 2}]}}"),
        ("object.union({\"a\": {\"b\": 1}}, {\"a\": {\"c\": 2}})", "{\"a\": {\"b\": 1, \"c\": 2}}"),
        ("sprintf(\"%s-%03d-%v-%q\", [\"a\", 7, [1], \"b\"])", "\"a-007-[1]-\\\"b\\\"\""),
        ("glob.match(\"*.example.com\", [\".\"], \"a.example.com\")", "true"),
        ("numbers.range(3, 1)", "[3, 2, 1]"),
        ("product([2, 3, 4])", "24"),
        ("indexof_n(\"abcabc\", \"b\")", "[1, 4]"),
    ] {
        let answer = evaluate(expression, &input).unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert_eq!(answer, Value::from_json_str(expected).unwrap(), "{expression}");
    }
}

#[test]
fn every_allowed_builtin_has_a_bound() {
    let without: Vec<&str> =
        builtins::allowed().map(|(name, _)| name).filter(|name| of(name).is_none()).collect();
    assert_eq!(without, Vec::<&str>::new());
    let all = TABLE.iter().flat_map(|(names, _)| *names);
    let unknown: Vec<&&str> = all
        .filter(|name| {
            !name.starts_with("__")
                && **name != OPERATORS
                && !builtins::allowed().any(|(known, _)| known == **name)
        })
        .collect();
    assert_eq!(unknown, Vec::<&&str>::new());
}

#[test]
fn pattern_cache_has_a_bound() {
    for n in 0..2_000 {
        let pattern = format!("[a-z]{{1,{}}}{n}", 1 + n % 50);
        let input = Value::from(pattern.as_str());
        patterns::is_match(&[input, Value::from("abc")]).unwrap();
    }
    assert!(patterns::cached_states() <= 32 << 10);
}

/// `opa.tsv` has expressions with the results of OPA.
#[test]
fn builtins_return_what_opa_returns() {
    let text = include_str!("opa.tsv");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expression, expected) = line.split_once('\t').unwrap_or_else(|| panic!("no answer: {line}"));
        count += 1;
        let reported = evaluate(expression, &Value::new_object());
        let fits = match (&reported, expected) {
            (Err(_), "undefined") => true,
            (Ok(reported), expected) if expected != "undefined" => {
                *reported == Value::from_json_str(expected).unwrap()
            }
            _ => false,
        };
        if !fits {
            wrong.push(format!("{expression}\n  OPA: {expected}\n  we: {reported:?}"));
        }
    }
    assert!(count > 150, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
