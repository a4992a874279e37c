//! The Rego engine behind one door: analyse modules, compile a policy, evaluate its rules.
//!
//! A module is rewritten into OPA's normal form first. A policy compiles to a program on the register machine; what that
//! compiler refuses runs on the interpreter. Verdicts are OPA's on both, which the tests hold.

pub mod analysis;
pub mod any_rule;
mod appends;
pub mod bounds;
mod budget;
pub mod builtins;
mod constants;
mod depth;
pub mod did_you_mean;
pub mod findings;
mod guard;
mod guarded;
mod heads;
mod imports;
pub mod interpreter;
mod light;
pub mod literals;
mod module;
mod normal;
pub mod problem;
pub mod reads;
pub mod rvm;
pub mod safety;
mod tree;
pub mod uses;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

pub use budget::{Budget, Meter};
use regorus::PolicyLengthConfig;
pub use regorus::Value;
/// The engine's map, keyed by values.
pub use regorus::value::Object;

use interpreter::Interpreter;
use normal::{Made, Target};
use rvm::Machine;

pub use module::Module;
pub use problem::{Problem, Problems};

/// Why an evaluation gave no answer. The words are the `reason` label of `portcullis_policy_errors_total`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Ran out of time or instructions.
    #[error("stopped: {0}")]
    Budget(String),
    /// A builtin failed, two complete rules disagreed, or the engine said something else was wrong.
    #[error("{0}")]
    Engine(String),
    /// What it reads is not there.
    #[error("{0}")]
    Data(String),
    /// The engine panicked; the process lives.
    #[error("panicked: {0}")]
    Panic(String),
}

impl EvalError {
    /// The label of the error counter.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Budget(_) => "budget",
            Self::Engine(_) => "evaluation",
            Self::Data(_) => "data",
            Self::Panic(_) => "panic",
        }
    }
}

/// Why an engine stopped.
enum Interrupted {
    /// The wall clock that it was given has passed.
    Clock,
    /// Anything else.
    Failed(EvalError),
}

impl From<EvalError> for Interrupted {
    fn from(error: EvalError) -> Self {
        Self::Failed(error)
    }
}

/// Which engine to use; `Auto` is the register machine with the interpreter as fallback.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// The register machine where its compiler accepts the policy.
    #[default]
    Auto,
    /// The interpreter, and why.
    Interpreter(String),
}

/// A policy ready to run.
#[derive(Debug)]
pub enum Compiled {
    /// On the register machine.
    Machine(Box<Machine>),
    /// On the interpreter, and why.
    Interpreter(Box<Interpreter>, String),
}

impl Compiled {
    /// Compiles the rules of `package` (`data.…`) from its modules and those it refers to.
    ///
    /// # Errors
    /// What the engine says, at its place.
    pub fn new(
        package: &str,
        rules: &[&'static str],
        modules: &[&Module],
        choice: &Choice,
    ) -> Result<Self, Problem> {
        let file = modules.first().map_or("", |module| module.path.as_str());
        let trees = trees(modules)?;
        let entries: Vec<String> = rules.iter().map(|rule| format!("{package}.{rule}")).collect();
        let interpreter = |why: String| {
            let (engine, Made { normal, .. }) = normalised(&trees, Target::Interpreter, None)?;
            let interpreter = Interpreter::new(engine, entries.clone(), &normal, file)
                .map_err(|problem| normal::settled(problem, modules, &normal))?;
            Ok(Self::Interpreter(Box::new(interpreter), why))
        };
        if let Choice::Interpreter(why) = choice {
            return interpreter(why.clone());
        }
        let (engine, Made { normal, .. }) = normalised(&trees, Target::Machine, None)?;
        let unanswered = normal.iter().find_map(|normal| normal.unanswered(modules));
        if let Some(why) = unanswered {
            return interpreter(why);
        }
        match Machine::new(engine, &entries, file) {
            Ok(machine) => Ok(Self::Machine(Box::new(machine))),
            // A defect that both engines refuse is a problem; what only the compiler refuses is a fallback.
            Err(refused) => {
                let refused = normal::settled(refused, modules, &normal);
                interpreter(refused.to_string()).or(Err(refused))
            }
        }
    }

    /// Evaluates the rule at `index` of those given to [`Compiled::new`]. `own` is the policy's own bound on its time.
    ///
    /// # Errors
    /// Budget spent, a failing builtin, a panic; never a quiet undefined.
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
                .unwrap_or_else(|panic| Err(EvalError::Panic(said(panic.as_ref())).into()))
        })
    }

    /// Why it runs on the interpreter; `None` on the register machine.
    pub fn fallback(&self) -> Option<&str> {
        match self {
            Self::Machine(_) => None,
            Self::Interpreter(_, why) => Some(why),
        }
    }
}

/// Modules with their syntax trees.
type Trees<'m> = Vec<(&'m Module, serde_json::Value)>;

fn trees<'m>(modules: &[&'m Module]) -> Result<Trees<'m>, Problem> {
    modules.iter().map(|module| Ok((*module, analysis::tree(module)?))).collect()
}

/// An engine with the normal forms of the modules, these, and the lines of the rule `of` the module at an index.
fn normalised(
    trees: &Trees<'_>,
    target: Target,
    of: Option<(usize, &str)>,
) -> Result<(regorus::Engine, Made), Problem> {
    let modules: Vec<&Module> = trees.iter().map(|(module, _)| *module).collect();
    let made = normal::all(trees, target, of).map_err(|problem| {
        match modules.iter().find(|module| module.path == problem.file) {
            Some(module) => problem.settled(&module.text),
            None => problem,
        }
    })?;
    let sources: Vec<Module> = modules
        .iter()
        .zip(&made.normal)
        .map(|(module, normal)| Module { path: module.path.clone(), text: normal.text.clone() })
        .collect();
    let engine = load(&sources.iter().collect::<Vec<_>>())
        .map_err(|problem| normal::settled(problem, &modules, &made.normal))?;
    Ok((engine, made))
}

/// What the engine's parser takes: some times what a file of a bundle may have.
const LENGTHS: PolicyLengthConfig = PolicyLengthConfig {
    max_col: NonZeroU32::new(1 << 24).unwrap(),
    max_file_bytes: NonZeroUsize::new(16 << 20).unwrap(),
    max_lines: NonZeroUsize::new(1 << 20).unwrap(),
};

/// An engine with the modules added, Rego v1, failing builtins being errors.
pub(crate) fn load(modules: &[&Module]) -> Result<regorus::Engine, Problem> {
    let mut engine = regorus::Engine::new();
    engine.set_rego_v0(false);
    engine.set_strict_builtin_errors(true);
    // A file is bounded where it is read; the normal form of a list is one line.
    engine.set_policy_length_config(LENGTHS);
    for module in modules {
        depth::check(module)?;
        engine
            .add_policy(module.path.clone(), heads::completed(&imports::blanked(module)?).0)
            .map_err(|error| Problem::from_engine(&module.path, &format!("{error:#}")))?;
    }
    Ok(engine)
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
        .to_owned()
}

#[cfg(test)]
mod tests;
