//! Runs `*_test.rego`: every rule `test_…` must be true. Tests run on the interpreter, which supports `with`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::set::DATA_ROOTS;
use super::{Bundle, Problem, Problems, Value};
use portcullis_rego::Module;
use portcullis_rego::analysis;
use portcullis_rego::rule_evaluator::RuleEvaluator;

#[derive(Debug, Clone, Default)]
pub struct RegoTestResult {
    /// Path in the bundle.
    pub file: String,
    /// `package.test_name`, without `data.`; the second test of a name ends in `#01`, as in OPA.
    pub id: String,
    /// With `data.` in front.
    pub package: String,
    /// References of its file, with `data.` in front.
    pub refers_to: Vec<String>,
    /// Empty for a test that passed.
    pub failures: Vec<String>,
    pub prints: Vec<String>,
    /// The `input` and `data` of each `with`.
    pub documents: Vec<TestDocuments>,
    pub took: Duration,
}

impl RegoTestResult {
    /// Whether it tests the policy of a package (`data.…`): its own package is that one, with or without `_test`, or its file
    /// refers to it.
    pub fn is_about(&self, package: &str) -> bool {
        let own = self.package.strip_suffix("_test").unwrap_or(&self.package);
        let refers = |path: &String| {
            path.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !package.is_empty()
            && (own == package || self.package == package || self.refers_to.iter().any(refers))
    }
}

#[derive(Debug, Clone)]
pub struct TestDocuments {
    pub input: Value,
    pub data: Value,
}

struct Test<'b> {
    module: &'b Module,
    /// Index among all modules.
    at: usize,
    package: String,
    /// Name of the rule to evaluate.
    rule: String,
    name: String,
    id: String,
    line: u32,
    refers_to: Arc<[String]>,
}

/// Failing tests that are explained line by line; each explanation loads all modules again.
const EXPLAINED_MAX: usize = 20;

/// Runs the tests that `filter` selects by file and id.
///
/// # Errors
/// A module that does not parse.
pub fn run(bundle: &Bundle, filter: impl Fn(&str, &str) -> bool) -> Result<Vec<RegoTestResult>, Problem> {
    if bundle.tests.is_empty() {
        return Ok(Vec::new());
    }
    let modules: Vec<&Module> = bundle.modules.iter().chain(&bundle.tests).collect();
    let data = data(bundle);
    let rules = RuleEvaluator::new(&modules, data.clone())?;
    let tests = tests(bundle, &rules, filter)?;
    let explained = AtomicUsize::new(0);
    Ok(on_all_processors(&tests, |test| {
        let started = Instant::now();
        let answer = rules.evaluate(&test.module.path, format!("{}.{}", test.package, test.rule));
        let took = started.elapsed();
        let (line, name) = (test.line, &test.name);
        let failures = match answer.value {
            Ok(value) if holds(&value) => Vec::new(),
            Ok(Value::Undefined) => {
                let explain = explained.fetch_add(1, Ordering::Relaxed) < EXPLAINED_MAX;
                let why =
                    explain.then(|| rules.why_undefined(test.at, &test.package, &test.rule).ok()).flatten();
                let plain =
                    || vec![format!("line {line}: `{name}` is undefined: one of its lines does not hold")];
                why.filter(|why| !why.is_empty()).unwrap_or_else(plain)
            }
            Ok(other) => vec![format!("line {line}: `{name}` is {other}, not true")],
            Err(problem) => vec![format!("line {line}: {problem}")],
        };
        RegoTestResult {
            file: test.module.path.clone(),
            id: test.id.clone(),
            package: test.package.clone(),
            refers_to: test.refers_to.to_vec(),
            failures,
            prints: answer.prints,
            documents: answer.mocks.iter().filter_map(|mock| documents(mock, &data)).collect(),
            took,
        }
    }))
}

fn tests<'b>(
    bundle: &'b Bundle,
    rules: &RuleEvaluator<'_>,
    filter: impl Fn(&str, &str) -> bool,
) -> Result<Vec<Test<'b>>, Problem> {
    let mut all = Vec::new();
    for (at, module) in bundle.tests.iter().enumerate() {
        let at = bundle.modules.len() + at;
        let found = analysis::analyse(module)?;
        let package = found.package.join(".");
        let refers_to: Arc<[String]> =
            found.data.iter().map(|reference| format!("data.{}", reference.path.join("."))).collect();
        for test in rules.tests().iter().filter(|test| test.module == at) {
            let id = format!("{package}.{}", test.name);
            if filter(&module.path, &id) {
                all.push(Test {
                    module,
                    at,
                    package: format!("data.{package}"),
                    rule: test.rule.clone(),
                    name: test.name.clone(),
                    id,
                    line: test.line,
                    refers_to: Arc::clone(&refers_to),
                });
            }
        }
    }
    Ok(all)
}

/// Whether a test is true, or all of its cases: `test_it[name] if …` has a value for each.
fn holds(value: &Value) -> bool {
    match value {
        Value::Object(cases) => !cases.is_empty() && cases.iter().all(|(_, value)| holds(value)),
        value => *value == Value::Bool(true),
    }
}

/// The documents of a `with`; `None` where it does not replace `input`.
fn documents(mock: &Value, data: &Value) -> Option<TestDocuments> {
    let mut documents = TestDocuments { input: Value::Undefined, data: data.clone() };
    for pair in mock.as_array().ok()? {
        let pair = pair.as_array().ok()?;
        let path: Vec<&str> = pair
            .get(0)?
            .as_array()
            .ok()?
            .iter()
            .map(|part| part.as_string().map(AsRef::as_ref))
            .collect::<Result<_, _>>()
            .ok()?;
        let (root, below) = path.split_first()?;
        // A mocked rule: the register machine would evaluate the rule itself.
        if *root == "data" && !below.first().is_some_and(|first| DATA_ROOTS.contains(first)) {
            return None;
        }
        let document = if *root == "input" { &mut documents.input } else { &mut documents.data };
        put(document, below, pair.get(1)?.clone());
    }
    (documents.input != Value::Undefined).then_some(documents)
}

fn put(document: &mut Value, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *document = value;
        return;
    };
    if document.as_object().is_err() {
        *document = Value::new_object();
    }
    if let Ok(object) = document.as_object_mut() {
        let key = Value::from(*first);
        let mut below = object.get(&key).cloned().unwrap_or(Value::Undefined);
        put(&mut below, rest, value);
        object.insert(key, below);
    }
}

/// Runs each item and returns the results in order; with N threads, each takes every Nth item.
pub fn on_all_processors<T: Sync, R: Send>(items: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let run = &run;
    let each = move |first: usize| {
        let own = items.iter().enumerate().skip(first).step_by(threads);
        own.map(|(at, item)| (at, run(item))).collect::<Vec<_>>()
    };
    let mut all = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || each(first))).collect();
        let done = running.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.flatten().collect::<Vec<_>>()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, ran)| ran).collect()
}

/// Runs all tests; returns their number.
///
/// # Errors
/// Every test that fails, or a module that does not parse.
pub fn pass(bundle: &Bundle) -> Result<usize, Problems> {
    let ran = run(bundle, |_, _| true)?;
    let problems = ran
        .iter()
        .flat_map(|test| test.failures.iter().map(|failure| Problem::of(&test.file, failure.clone())));
    Problems(problems.collect()).into_result(ran.len())
}

/// `data` without `with`: the parameters, as OPA's own tools load them.
fn data(bundle: &Bundle) -> Value {
    Value::from(serde_json::json!({ "params": bundle.params }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"package t
deny contains "a" if not startswith(input.labels.team, "t-")
deny contains "b" if not input.labels.kind in {"x"}
deny contains "c" if not input.labels.n > "3"
"#;

    fn ran(test: &str) -> Vec<RegoTestResult> {
        let module = |path: &str, text: &str| Module { path: path.to_owned(), text: text.to_owned() };
        let test = format!("package t_test\nimport data.t\n{test}");
        let (modules, tests) = (vec![module("t.rego", POLICY)], vec![module("t_test.rego", &test)]);
        run(&Bundle { modules, tests, ..Bundle::default() }, |_, _| true).unwrap()
    }

    /// OPA 1.22.0 passes the same tests.
    #[test]
    fn failing_tests_are_found() {
        let ran = ran(r#"test_each if {
	labels := {"labels": {}}
	every one in ["a", "b", "c"] { not one in t.deny with input as labels }
}
test_all if count(t.deny) == 0 with input as {"labels": {}}
test_some if t.deny == {"b"} with input as {"labels": {"team": "t-", "kind": "y"}}
test_wrong if t.deny == {"a"} with input as {"labels": {}}
"#);
        let failed: Vec<&str> =
            ran.iter().filter(|test| !test.failures.is_empty()).map(|test| test.id.as_str()).collect();
        assert_eq!((ran.len(), failed), (4, vec!["t_test.test_wrong"]));
    }

    #[test]
    fn a_test_that_fails_names_its_line_and_the_values() {
        for (body, why) in [
            (
                "count(t.deny) == 2 with input as {}",
                "line 4: `count(data.t.deny) == 2` does not hold; `count(data.t.deny)` is 0",
            ),
            ("x := 1\ny := [x, 2]\ny[_] > 5", "line 6: `y[_] > 5` does not hold; `x` is 1, `y` is [1,2]"),
            (
                "x := {\"a\": 1}\nx.a == 1\nnot x.a == 1\nfalse",
                "line 6: `not x.a == 1` does not hold; `x` is {\"a\":1}",
            ),
            ("x := object.get({}, [\"a\"], null)\nx.b.c", "line 5: `x.b.c` does not hold; `x` is null"),
            ("some x in [1, 2]\nx > 1\nx > 2", "line 6: `x > 2` does not hold; `x` is 2"),
            ("some x in [1, 2]\nsome y in [x]\ny == 3", "line 6: `y == 3` does not hold; `y` is 1"),
            (
                "xs := [1, 2]\nevery x in xs { x == 1 }",
                "line 5: `every … in xs` does not hold for all members; `xs` is [1,2]",
            ),
            ("some x in t.deny", "line 4: `some x in t.deny` does not hold"),
            (
                "startswith(input.a, \"b\") with input as {\"a\": \"c\"}",
                "line 4: `startswith(input.a, \"b\")` does not hold; `input.a` is \"c\"",
            ),
            ("upper(input.a) == \"B\"", "line 4: `input.a` is undefined"),
        ] {
            let ran = ran(&format!("test_it if {{\n{body}\n}}\n"));
            assert_eq!(ran[0].failures, [why], "{body}");
        }
    }

    #[test]
    fn tests_with_the_same_name_run_separately() {
        let ran = ran("test_it if true\ntest_it if 1 == 2\ntest_it := 1 if true\n");
        let seen: Vec<(&str, bool)> =
            ran.iter().map(|test| (test.id.as_str(), test.failures.is_empty())).collect();
        assert_eq!(
            seen,
            [("t_test.test_it", true), ("t_test.test_it#01", false), ("t_test.test_it#02", false)]
        );
        assert_eq!(ran[1].failures, ["line 4: `1 == 2` does not hold"]);
    }

    #[test]
    fn cases_and_further_bodies_of_a_test_run() {
        let ran = ran(
            "test_it if { true } { 1 == 2 }\ntest_rec[n] if some n in [\"a\", \"b\"]\ntest_two[n] := n == 1 if some n in [1, 2]\n",
        );
        let seen: Vec<(&str, bool)> =
            ran.iter().map(|test| (test.id.as_str(), test.failures.is_empty())).collect();
        let expected = [
            ("t_test.test_it", true),
            ("t_test.test_it#01", false),
            ("t_test.test_rec", true),
            ("t_test.test_two", false),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn documents_of_with_are_reported() {
        let ran = ran(r#"test_whole if t.deny with input as {"a": 1}
test_part if {
	n := 1
	t.deny with input.a.b as n with data.params.t as {"x": [n]}
}
test_function if t.deny with input as {} with count as 3
test_rule if not t.none with input as {} with data.t.deny as set()
test_none if not t.none
"#);
        let documents: Vec<Vec<(String, String)>> = ran
            .iter()
            .map(|test| {
                test.documents.iter().map(|one| (one.input.to_string(), one.data.to_string())).collect()
            })
            .collect();
        let pair = |input: &str, data: &str| (input.to_owned(), data.to_owned());
        assert_eq!(
            documents,
            [
                vec![pair(r#"{"a":1}"#, r#"{"params":{}}"#)],
                vec![pair(r#"{"a":{"b":1}}"#, r#"{"params":{"t":{"x":[1]}}}"#)],
                vec![],
                vec![],
                vec![]
            ]
        );
    }

    /// regorus applies such a mock in some calls only, OPA in all.
    #[test]
    fn functions_of_a_policy_cannot_be_mocked() {
        let refused = |rego: &str| {
            let text = format!("package t_test\nimport data.t\nimport data.l\nfixed(_) := true\n{rego}");
            let module = |path: &str, text: &str| Module { path: path.to_owned(), text: text.to_owned() };
            let modules =
                vec![module("t.rego", POLICY), module("l.rego", "package l\ng(x) if x == 2\nk := 5\n")];
            let tests = vec![module("t_test.rego", &text)];
            run(&Bundle { modules, tests, ..Bundle::default() }, |_, _| true).err().map(|all| all.to_string())
        };
        for (rego, at) in [
            ("test_a if t.deny with data.l.g as true\n", "t_test.rego:5:23: "),
            ("test_a if t.deny with l.g as fixed\n", "t_test.rego:5:23: "),
            ("test_a if t.deny with fixed as true\n", "t_test.rego:5:23: "),
            ("test_a if every _ in [1] { t.deny with l.g as true }\n", "t_test.rego:5:40: "),
        ] {
            let said = refused(rego).unwrap_or_default();
            assert!(said.starts_with(at) && said.contains("a function of a policy"), "{rego}{said}");
        }
        assert_eq!(refused("test_a if count(t.deny) == 0 with data.l.k as 1\n"), None);
    }
}
