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

use crate::budget::{EvalError, Interrupted};
use crate::source::{Problem, last_line};
use crate::strict_builtins;

/// Idle machines per policy. A machine takes about 2 KiB; no more than the worker threads are in use at once.
const IDLE_MAX: usize = 16;

/// Instructions between readings of the clock: a reading takes 25 ns, an instruction about 10.
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::new(256).unwrap();

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
    /// Compiles the entry points, in order. The error has the position in the source that the compiler refuses.
    pub(crate) fn new(mut engine: regorus::Engine, entries: &[String], file: &str) -> Result<Self, Problem> {
        let problem = |text: String| Problem::from_engine(file, &text);
        let first = entries.first().map(String::as_str).unwrap_or_default();
        let policy =
            engine.compile_with_entrypoint(&first.into()).map_err(|error| problem(format!("{error:#}")))?;
        let names: Vec<&str> = entries.iter().map(String::as_str).collect();
        let mut program =
            Compiler::compile_from_policy(&policy, &names).map_err(|error| problem(error.to_string()))?;
        let own = Arc::get_mut(&mut program).ok_or_else(|| problem("the program is shared".to_owned()))?;
        strict_builtins::wrap(own).map_err(|name| problem(format!("builtin `{name}` has no guard")))?;
        strip_unused(own);
        // The syntax trees are dropped here: the program holds the values of defaults.
        Ok(Self { program, idle: Mutex::new(Vec::new()) })
    }

    fn take(&self) -> RegoVM {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| {
            let mut machine = RegoVM::new();
            // Off by default: a failing builtin would be undefined, and a deny rule would not fire.
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
    pub(crate) fn evaluate(
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
            VmError::RegexSizeLimitExceeded { .. } => strict_builtins::take_failure()
                .map_or_else(|| EvalError::Budget(error.to_string()), EvalError::Engine)
                .into(),
            VmError::InstructionLimitExceeded { limit, .. } => {
                EvalError::Budget(format!("a rule used its {limit} instructions (--policy-instructions)"))
                    .into()
            }
            other => EvalError::Engine(last_line(&other.to_string())).into(),
        })?;
        self.give_back(machine);
        Ok(value)
    }
}

/// Removes what debuggers and listings alone need. The machine clones the description of a rule at each call, some ten
/// allocations, and reads of it only what is kept here (regorus 0.14.1, `rvm/vm/rules.rs`). Sources and spans were two
/// thirds of a program's memory.
fn strip_unused(program: &mut Program) {
    program.sources = Vec::new();
    program.instruction_spans = Vec::new();
    for rule in &mut program.rule_infos {
        rule.name = String::new();
        if let Some(function) = &mut rule.function_info {
            function.param_names = Vec::new();
        }
        if rule.destructuring_blocks.iter().all(Option::is_none) {
            rule.destructuring_blocks = Vec::new();
        }
        if rule.else_bodies.iter().flatten().all(|introduced_by_else| !introduced_by_else) {
            rule.else_bodies = Vec::new();
        }
    }
    // Only look-ups over rules and data alike need it. Without one, it is only searched for names of the gate's data that
    // hide a package, and no package may have one (`set/lint.rs`).
    if program.instruction_data.virtual_data_document_lookup_params.is_empty() {
        program.rule_tree = Value::new_object();
    }
    program.instructions.shrink_to_fit();
    program.literals.shrink_to_fit();
}
