//! `*_test.rego`: every rule `test_…` must be true. On the interpreter, which knows `with`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::bundle::Module;
use super::engine::analysis;
use super::engine::any_rule::AnyRule;
use super::{Bundle, Problem, Problems, Value};

/// A test that ran.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its file inside the bundle.
    pub file: String,
    /// `package.test_name`, without `data.`.
    pub id: String,
    /// Its package, as `data.…`.
    pub package: String,
    /// What its file refers to, as `data.…`.
    pub speaks_of: Vec<String>,
    /// What is wrong; empty for a test that passed.
    pub wrong: Vec<String>,
    /// What it printed.
    pub prints: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Runs the tests of a bundle that are wanted, by file and id.
///
/// # Errors
/// A module that is no Rego.
pub fn run(bundle: &Bundle, wanted: impl Fn(&str, &str) -> bool) -> Result<Vec<Ran>, Problem> {
    if bundle.tests.is_empty() {
        return Ok(Vec::new());
    }
    let modules: Vec<&Module> = bundle.modules.iter().chain(&bundle.tests).collect();
    let mut rules = AnyRule::new(&modules, data(bundle))?;
    let mut all = Vec::new();
    for module in &bundle.tests {
        let found = analysis::analyse(module)?;
        let package = format!("data.{}", found.package.join("."));
        let speaks_of: Vec<String> =
            found.data.iter().map(|reference| format!("data.{}", reference.path.join("."))).collect();
        let mut seen = BTreeSet::new();
        for rule in
            found.rules.iter().filter(|rule| rule.name.starts_with("test_") && seen.insert(rule.name.clone()))
        {
            let id = format!("{}.{}", found.package.join("."), rule.name);
            if !wanted(&module.path, &id) {
                continue;
            }
            let started = Instant::now();
            let (value, prints) = rules.value(&module.path, format!("{package}.{}", rule.name));
            let took = started.elapsed();
            let line = rule.place.0;
            let wrong = match value {
                Ok(value) => wrong(&rule.name, line, &value),
                Err(problem) => vec![format!("line {line}: {problem}")],
            };
            let (file, package, speaks_of) = (module.path.clone(), package.clone(), speaks_of.clone());
            all.push(Ran { file, id, package, speaks_of, wrong, prints, took });
        }
    }
    Ok(all)
}

/// What fails of the tests of a bundle, as problems of their files.
///
/// # Errors
/// Every test that does not hold, or a module that is no Rego.
pub fn pass(bundle: &Bundle) -> Result<usize, Problems> {
    let ran = run(bundle, |_, _| true)?;
    let problems =
        ran.iter().flat_map(|test| test.wrong.iter().map(|wrong| Problem::of(&test.file, wrong.clone())));
    Problems(problems.collect()).into_result(ran.len())
}

fn wrong(rule: &str, line: u32, value: &Value) -> Vec<String> {
    match value {
        Value::Bool(true) => Vec::new(),
        Value::Undefined => {
            vec![format!("line {line}: `{rule}` is undefined: one of its lines does not hold")]
        }
        other => vec![format!("line {line}: `{rule}` is {other}, not true")],
    }
}

/// What tests see of `data` without `with`: the parameters, as OPA's own tools would load them.
fn data(bundle: &Bundle) -> Value {
    Value::from(serde_json::json!({ "params": bundle.params }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Tests of Rego see what a review sees: the same text in OPA passes the same tests (1.22.0).
    #[test]
    fn a_test_of_rego_sees_what_a_review_sees() {
        let policy = r#"package t
deny contains "a" if not startswith(input.labels.team, "t-")
deny contains "b" if not input.labels.kind in {"x"}
deny contains "c" if not input.labels.n > "3"
"#;
        let test = r#"package t_test
import data.t
test_each if {
	labels := {"labels": {}}
	every one in ["a", "b", "c"] { not one in t.deny with input as labels }
}
test_all if count(t.deny) == 0 with input as {"labels": {}}
test_some if t.deny == {"b"} with input as {"labels": {"team": "t-", "kind": "y"}}
test_wrong if t.deny == {"a"} with input as {"labels": {}}
"#;
        let module = |path: &str, text: &str| Module { path: path.to_owned(), text: text.to_owned() };
        let (modules, tests) = (vec![module("t.rego", policy)], vec![module("t_test.rego", test)]);
        let ran = run(&Bundle { modules, tests, ..Bundle::default() }, |_, _| true).unwrap();
        let failed: Vec<&str> =
            ran.iter().filter(|test| !test.wrong.is_empty()).map(|test| test.id.as_str()).collect();
        assert_eq!((ran.len(), failed), (4, vec!["t_test.test_wrong"]));
    }
}
