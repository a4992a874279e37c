//! `*_test.rego`: every rule `test_…` must be true. On the interpreter, which knows `with`.

use std::collections::BTreeSet;
use std::time::Instant;

use super::tally::Tally;
use super::{Filter, Outcome};
use crate::cli::law::Files;
use crate::cli::output;
use crate::policy::bundle::Module;
use crate::policy::engine::{self, analysis};
use crate::policy::{Bundle, Problem, Problems, Value};

/// Runs the tests of a law.
///
/// # Errors
/// A test file that is no Rego; what is wrong with it has been said.
pub(super) fn run(files: &Files, filter: &Filter, tally: &mut Tally) -> anyhow::Result<Vec<Outcome>> {
    let bundle = files.bundle()?;
    if bundle.tests.is_empty() {
        return Ok(Vec::new());
    }
    let broken = |problem: Problem| {
        output::say(&format!("{}\n", files.render(&Problems(vec![problem]))));
        anyhow::anyhow!("the tests of {} do not load", files.name())
    };
    let modules: Vec<&Module> = bundle.modules.iter().chain(&bundle.tests).collect();
    let mut engine = engine::load(&modules).map_err(broken)?;
    engine.set_gather_prints(true);
    engine.add_data(data(&bundle))?;
    let mut outcomes = Vec::new();
    for module in &bundle.tests {
        let found = analysis::analyse(module).map_err(broken)?;
        let package = format!("data.{}", found.package.join("."));
        let speaks_of: Vec<String> =
            found.data.iter().map(|reference| format!("data.{}", reference.path.join("."))).collect();
        let mut seen = BTreeSet::new();
        for rule in
            found.rules.iter().filter(|rule| rule.name.starts_with("test_") && seen.insert(rule.name.clone()))
        {
            let id = format!("{}.{}", found.package.join("."), rule.name);
            let file = files.shown(&module.path);
            if !filter.wants(&file, &id) {
                continue;
            }
            tally.rego(&package, &speaks_of);
            let started = Instant::now();
            let value = engine.eval_rule(format!("{package}.{}", rule.name));
            let took = started.elapsed();
            let prints = engine.take_prints().unwrap_or_default();
            let wrong = match value {
                Ok(value) => wrong(&rule.name, rule.place.0, &value),
                Err(error) => vec![format!(
                    "line {}: {}",
                    rule.place.0,
                    Problem::from_engine(&module.path, &format!("{error:#}"))
                )],
            };
            outcomes.push(Outcome { file, id, why: String::new(), wrong, prints, took });
        }
    }
    Ok(outcomes)
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
