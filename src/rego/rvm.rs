//! Programs on the register machine: strict, pooled, within budgets.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regorus::Value;
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
use regorus::rvm::program::Program;
use regorus::rvm::vm::VmError;
use regorus::utils::limits::ExecutionTimerConfig;

use super::{EvalError, Interrupted, guard, light};
use crate::problem::Problem;

/// Idle machines kept a policy. A machine is some 2 KiB; more than the worker threads are never in use at once.
const IDLE_MAX: usize = 16;

/// Instructions between looks at the clock: a look costs 25 ns, an instruction about 10.
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::new(256).unwrap();

/// One policy's program and its idle machines.
pub struct Machine {
    program: Arc<Program>,
    idle: Mutex<Vec<RegoVM>>,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("entry_points", &self.program.entry_points.keys())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// Compiles the entry points, in order.
    ///
    /// # Errors
    /// What the compiler refuses, at its place.
    pub fn new(mut engine: regorus::Engine, entries: &[String], file: &str) -> Result<Self, Problem> {
        let problem = |text: String| Problem::from_engine(file, &text);
        let first = entries.first().map(String::as_str).unwrap_or_default();
        let policy =
            engine.compile_with_entrypoint(&first.into()).map_err(|error| problem(format!("{error:#}")))?;
        let names: Vec<&str> = entries.iter().map(String::as_str).collect();
        let mut program =
            Compiler::compile_from_policy(&policy, &names).map_err(|error| problem(error.to_string()))?;
        let own = Arc::get_mut(&mut program).ok_or_else(|| problem("the program is shared".to_owned()))?;
        guard::wrap(own).map_err(|name| problem(format!("builtin `{name}` has no guard")))?;
        light::lighten(own);
        // The policy's syntax trees end here: defaults are literals of the program, and nothing else asks for them.
        Ok(Self { program, idle: Mutex::new(Vec::new()) })
    }

    fn take(&self) -> RegoVM {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| {
            let mut machine = RegoVM::new();
            // Off by default there: a failing builtin would be undefined, and a deny rule would never fire.
            machine.set_strict_builtin_errors(true);
            machine.load_program(Arc::clone(&self.program));
            machine
        })
    }

    fn give_back(&self, mut machine: RegoVM) {
        machine.set_input(Value::Undefined);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(machine);
        }
    }

    /// Evaluates one entry point, until `wall` has passed. A machine whose run failed or panicked is thrown away.
    ///
    /// # Errors
    /// Budget spent or evaluation failed.
    pub(super) fn evaluate(
        &self,
        index: usize,
        input: &Value,
        data: &Value,
        wall: Duration,
        instructions: usize,
    ) -> Result<Value, Interrupted> {
        let mut machine = self.take();
        machine.set_max_instructions(instructions);
        machine.set_execution_timer_config(Some(ExecutionTimerConfig {
            limit: wall,
            check_interval: CLOCK_INTERVAL,
        }));
        machine.set_data(data.clone()).map_err(|error| EvalError::Engine(error.to_string()))?;
        machine.set_input(input.clone());
        let value = machine.execute_entry_point_by_index(index).map_err(|error| match error {
            VmError::TimeLimitExceeded { .. } => Interrupted::Clock,
            VmError::RegexSizeLimitExceeded { .. } => {
                guard::take().map_or_else(|| EvalError::Budget(error.to_string()), EvalError::Engine).into()
            }
            VmError::InstructionLimitExceeded { limit, .. } => {
                EvalError::Budget(format!("a rule had its {limit} instructions (--policy-instructions)"))
                    .into()
            }
            other => EvalError::Engine(last_line(&other.to_string())).into(),
        })?;
        self.give_back(machine);
        Ok(value)
    }
}

/// The last line without the word `error:`.
pub(super) fn sentence(text: &str) -> String {
    let line = last_line(text);
    line.strip_prefix("error:").map_or_else(|| line.clone(), |rest| rest.trim().to_owned())
}

/// The engine quotes source above its sentence; a denial message has room for the sentence.
pub(super) fn last_line(text: &str) -> String {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("failed").to_owned()
}
