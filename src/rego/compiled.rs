//! Compiles the rules of a policy for one of the two engines, and evaluates them.

use std::time::Duration;

use regorus::Value;

use crate::budget::{EvalError, Meter};
use crate::interpreter::Interpreter;
use crate::normal::{self, NormalForms, Target};
use crate::rvm::Machine;
use crate::source::{Module, Problem};
use crate::{bounds, parse};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EngineChoice {
    #[default]
    Auto,
    /// The interpreter alone; the text says why.
    Interpreter(String),
}

#[derive(Debug)]
pub enum Compiled {
    Machine(Box<Machine>),
    /// On the interpreter; the text says why.
    Interpreter(Box<Interpreter>, String),
}

impl Compiled {
    /// Compiles the rules of `package` (`data.…`) from its modules and the modules that it imports.
    ///
    /// # Errors
    /// The engine refuses a module.
    pub fn new(
        package: &str,
        rules: &[&'static str],
        modules: &[&Module],
        choice: &EngineChoice,
    ) -> Result<Self, Problem> {
        let file = modules.first().map_or("", |module| module.path.as_str());
        let trees = syntax_trees(modules)?;
        let entries: Vec<String> = rules.iter().map(|rule| format!("{package}.{rule}")).collect();
        let interpreter = |why: String| {
            let (engine, NormalForms { normal, .. }) = load_normal_forms(&trees, Target::Interpreter, None)?;
            let interpreter = Interpreter::new(engine, entries.clone(), &normal, file)
                .map_err(|problem| normal::in_source(problem, modules, &normal))?;
            Ok(Self::Interpreter(Box::new(interpreter), why))
        };
        if let EngineChoice::Interpreter(why) = choice {
            return interpreter(why.clone());
        }
        let (engine, NormalForms { normal, .. }) = load_normal_forms(&trees, Target::Machine, None)?;
        let unsupported = normal.iter().find_map(|normal| normal.unsupported(modules));
        if let Some(why) = unsupported {
            return interpreter(why);
        }
        match Machine::new(engine, &entries, file) {
            Ok(machine) => Ok(Self::Machine(Box::new(machine))),
            // The interpreter decides whether the policy is wrong or only the compiler cannot take it.
            Err(refused) => {
                let refused = normal::in_source(refused, modules, &normal);
                interpreter(refused.to_string()).or(Err(refused))
            }
        }
    }

    /// Evaluates the rule at `index` of those passed to [`Compiled::new`]. `own` is the policy's own time limit.
    ///
    /// # Errors
    /// The budget is spent, a builtin fails, the engine panics. An error never becomes undefined.
    pub fn evaluate(
        &self,
        index: usize,
        input: &Value,
        data: &Value,
        own: Option<Duration>,
        meter: &mut Meter,
    ) -> Result<Value, EvalError> {
        meter.run(own, |wall, instructions| {
            bounds::start();
            let run = std::panic::AssertUnwindSafe(|| match self {
                Self::Machine(machine) => machine.evaluate(index, input, data, wall, instructions),
                Self::Interpreter(interpreter, _) => interpreter.evaluate(index, input, data, wall),
            });
            std::panic::catch_unwind(run)
                .unwrap_or_else(|panic| Err(EvalError::Panic(panic_message(panic.as_ref())).into()))
        })
    }

    pub fn fallback(&self) -> Option<&str> {
        match self {
            Self::Machine(_) => None,
            Self::Interpreter(_, why) => Some(why),
        }
    }
}

pub(crate) type SyntaxTrees<'m> = Vec<(&'m Module, serde_json::Value)>;

pub(crate) fn syntax_trees<'m>(modules: &[&'m Module]) -> Result<SyntaxTrees<'m>, Problem> {
    modules.iter().map(|module| Ok((*module, parse::tree(module)?))).collect()
}

/// Makes the normal forms of the modules and loads them into an engine. `of` names a rule to trace.
pub(crate) fn load_normal_forms(
    trees: &SyntaxTrees<'_>,
    target: Target,
    of: Option<(usize, &str)>,
) -> Result<(regorus::Engine, NormalForms), Problem> {
    let modules: Vec<&Module> = trees.iter().map(|(module, _)| *module).collect();
    let forms = normal::normal_forms(trees, target, of).map_err(|problem| {
        match modules.iter().find(|module| module.path == problem.file) {
            Some(module) => problem.with_source_column(&module.text),
            None => problem,
        }
    })?;
    let sources: Vec<Module> = modules
        .iter()
        .zip(&forms.normal)
        .map(|(module, normal)| Module { path: module.path.clone(), text: normal.text.clone() })
        .collect();
    let engine = parse::load(&sources.iter().collect::<Vec<_>>())
        .map_err(|problem| normal::in_source(problem, &modules, &forms.normal))?;
    Ok((engine, forms))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Budget;

    /// `sprintf` panics on this format in tests.
    const PANICS: &str = "package t\ndeny contains sprintf(\"panic %d\", [count(input.name)])\n";

    #[test]
    fn panic_of_the_engine_is_an_error() {
        let module = Module { path: "t.rego".to_owned(), text: PANICS.to_owned() };
        let input = Value::from_json_str(r#"{"name": "a"}"#).unwrap();
        for choice in [EngineChoice::Auto, EngineChoice::Interpreter(String::new())] {
            let compiled = Compiled::new("data.t", &["deny"], &[&module], &choice).unwrap();
            for _ in 0..3 {
                let mut meter = Meter::new(Budget::default());
                let found = compiled.evaluate(0, &input, &Value::new_object(), None, &mut meter);
                assert!(
                    matches!(&found, Err(EvalError::Panic(message)) if message.contains("panics in tests")),
                    "{found:?}"
                );
            }
        }
    }
}
