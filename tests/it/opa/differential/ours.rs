//! A program on both of our engines, loaded as a policy set loads a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_policy::{Budget, Meter, Value};
use portcullis_rego::analysis::KnownNames;
use portcullis_rego::analysis::{self, Analysis, Form};
use portcullis_rego::{Compiled, EngineChoice, builtins};

use super::value::Plain;
use super::{Answer, Program};

/// The program as it runs by default, and on the interpreter.
pub struct Ours {
    pub chosen: Compiled,
    pub interpreter: Compiled,
}

/// Time of one rule; a debug build on a machine that does other things needs some.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Instructions of one rule: programs here are small, and one that loops for ever must not cost the run its time.
const INSTRUCTIONS_MAX: usize = 200_000;

/// Loads a program.
///
/// # Errors
/// Why it does not load.
pub fn load(program: &Program) -> Result<Ours, String> {
    let analyses: Vec<Analysis> =
        program.modules.iter().map(analysis::analyse).collect::<Result<_, _>>().map_err(|p| p.message)?;
    let functions: BTreeMap<Vec<String>, usize> = analyses.iter().flat_map(functions_of).collect();
    let functions = |path: &[String]| functions.get(path).copied();
    for (module, analysis) in program.modules.iter().zip(&analyses) {
        if let Some(problem) = builtins::check(&module.path, analysis, &functions).first() {
            return Err(problem.message.clone());
        }
        if let Some(flaw) = analysis.flaws.first() {
            return Err(flaw.message.clone());
        }
        let others = analyses.iter().filter(|other| other.package == analysis.package);
        let names: BTreeSet<String> = others.flat_map(Analysis::names).collect();
        let arity = |name: &str| {
            builtins::function_arity(analysis, name, &functions).or_else(|| builtins::arity(name))
        };
        let unbound = analysis::unbound(module, &KnownNames { names: &names, arity: &arity });
        if let Some(flaw) = unbound.map_err(|problem| problem.message)?.first() {
            return Err(flaw.message.clone());
        }
    }
    let choice = EngineChoice::Auto;
    let modules: Vec<_> = program.modules.iter().collect();
    let compile = |choice: &EngineChoice| {
        Compiled::new(&program.package, &program.entries, &modules, choice).map_err(|problem| problem.message)
    };
    Ok(Ours {
        chosen: compile(&choice)?,
        interpreter: compile(&EngineChoice::Interpreter("asked for".to_owned()))?,
    })
}

fn functions_of(analysis: &Analysis) -> Vec<(Vec<String>, usize)> {
    let functions = analysis.rules.iter().filter(|rule| rule.form == Form::Function);
    functions.map(|rule| (analysis.package.iter().chain(&rule.path).cloned().collect(), rule.arity)).collect()
}

/// One rule of a program on one input.
pub fn answer(compiled: &Compiled, entry: usize, input: &Value, data: &Value) -> Answer {
    let budget = Budget {
        time: TIME_MAX,
        review: TIME_MAX * 2,
        deadline: Duration::from_mins(2),
        instructions: INSTRUCTIONS_MAX,
    };
    match compiled.evaluate(entry, input, data, None, &mut Meter::new(budget)) {
        Ok(value) => Plain::of(&value).map_or(Answer::Undefined, Answer::Value),
        Err(error) => Answer::Error(error.to_string()),
    }
}
