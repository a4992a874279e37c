//! Modules whose rules are asked by name, for tests and traces. What they answer is what a review would get.

use regorus::{Engine, Value};

use super::normal::{self, Normal, Target};
use super::{bounds, guarded, normalised, trees};
use crate::policy::bundle::Module;
use crate::policy::problem::Problem;

/// The interpreter with some modules.
pub struct AnyRule<'m> {
    engine: Engine,
    modules: &'m [&'m Module],
    normal: Vec<Normal>,
}

impl<'m> AnyRule<'m> {
    /// Reads the modules.
    ///
    /// # Errors
    /// A module that is no Rego, at its place.
    pub fn new(modules: &'m [&'m Module], data: Value) -> Result<Self, Problem> {
        let (mut engine, normal) = normalised(&trees(modules)?, Target::Interpreter)?;
        guarded::install(&mut engine).map_err(|error| Problem::of("", error))?;
        engine.set_gather_prints(true);
        engine.add_data(data).map_err(|error| Problem::of("data", format!("{error:#}")))?;
        Ok(Self { engine, modules, normal })
    }

    /// What `input` is from now on.
    pub fn input(&mut self, input: Value) {
        self.engine.set_input(input);
    }

    /// The value of a rule (`data.…`), and what it printed.
    ///
    /// # Errors
    /// It failed; at the place of `file` where no other is known.
    pub fn value(&mut self, file: &str, rule: String) -> (Result<Value, Problem>, Vec<String>) {
        bounds::start();
        let value = self.engine.eval_rule(rule).map_err(|error| {
            let problem = Problem::from_engine(file, &format!("{error:#}"));
            normal::settled(problem, self.modules, &self.normal)
        });
        (value, self.engine.take_prints().unwrap_or_default())
    }
}
