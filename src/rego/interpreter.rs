//! The interpreter, for policies that the register machine's compiler refuses (`with`, for example).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use crate::bounds::{self, Bound};
use crate::budget::{EvalError, Interrupted};
use crate::normal::NormalForm;
use crate::parse::load;
use crate::rvm::Machine;
use crate::source::{Module, Problem, last_line, sentence};
use crate::{builtins, strict_builtins};

const IDLE_MAX: usize = 16;
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::new(64).unwrap();

/// One policy on the interpreter. A prepared engine is cloned for a run and kept; clones share the modules.
pub struct Interpreter {
    prepared: Engine,
    entries: Vec<String>,
    /// The keys below `data` that its modules name; `None` if one reads `data` as a whole.
    roots: Option<BTreeSet<String>>,
    /// Engines with their data: for other data, regorus prepares all modules again (`engine.rs`, 0.14.1).
    idle: Mutex<Vec<(Engine, Value)>>,
}

impl std::fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interpreter").field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl Interpreter {
    /// Prepares the entry points, which reports all that can be found wrong without input.
    pub(crate) fn new(
        mut engine: Engine,
        entries: Vec<String>,
        sources: &[NormalForm],
        file: &str,
    ) -> Result<Self, Problem> {
        install_bounds(&mut engine).map_err(|error| Problem::from_engine(file, &error))?;
        for entry in &entries {
            engine
                .compile_with_entrypoint(&entry.as_str().into())
                .map_err(|error| Problem::from_engine(file, &format!("{error:#}")))?;
        }
        let roots = sources.iter().map(|source| roots(&source.text)).collect::<Option<Vec<_>>>();
        let roots = roots.map(|roots| roots.into_iter().flatten().collect());
        Ok(Self { prepared: engine, entries, roots, idle: Mutex::new(Vec::new()) })
    }

    pub(crate) fn evaluate(
        &self,
        index: usize,
        input: &Value,
        data: &Value,
        wall: Duration,
    ) -> Result<Value, Interrupted> {
        let entry =
            self.entries.get(index).ok_or_else(|| EvalError::Engine(format!("no rule at {index}")))?;
        let data = &self.used(data);
        let mut engine = self.with_data(data)?;
        engine
            .set_execution_timer_config(ExecutionTimerConfig { limit: wall, check_interval: CLOCK_INTERVAL });
        engine.set_input(input.clone());
        // `print` is for the author and must not reach the server's standard error: its arguments may be a tenant's.
        engine.set_gather_prints(true);
        let value = engine.eval_rule(entry.clone()).map_err(|error| {
            let text = named(&sentence(&format!("{error:#}")));
            if text.contains("time limit") { Interrupted::Clock } else { EvalError::Engine(text).into() }
        })?;
        engine.set_input(Value::Undefined);
        let _ = engine.take_prints();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push((engine, data.clone()));
        }
        Ok(value)
    }

    /// The data that its modules name. The rest changes from review to review.
    fn used(&self, data: &Value) -> Value {
        let (Some(roots), Ok(all)) = (&self.roots, data.as_object()) else { return data.clone() };
        let named =
            all.iter().filter(|(key, _)| key.as_string().is_ok_and(|key| roots.contains(key.as_ref())));
        let mut used = Value::new_object();
        if let Ok(object) = used.as_object_mut() {
            named.for_each(|(key, value)| {
                object.insert(key.clone(), value.clone());
            });
        }
        used
    }

    fn with_data(&self, data: &Value) -> Result<Engine, EvalError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Documents share their parts by pointer, so equal ones compare fast.
        if let Some(at) = idle.iter().position(|(_, known)| known == data) {
            return Ok(idle.swap_remove(at).0);
        }
        let any = idle.pop();
        drop(idle);
        let mut engine = any.map_or_else(|| self.prepared.clone(), |(engine, _)| engine);
        engine.clear_data();
        engine.add_data(data.clone()).map_err(|error| EvalError::Engine(last_line(&format!("{error:#}"))))?;
        Ok(engine)
    }
}

/// The keys that follow `data` in a source; `None` where `data` stands alone.
fn roots(source: &str) -> Option<BTreeSet<String>> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    let mut rest = source;
    while let Some(at) = rest.find("data") {
        let (before, behind) = (rest.get(..at)?, rest.get(at + 4..)?);
        rest = behind;
        if before.ends_with(word) || before.ends_with('.') || behind.starts_with(word) {
            continue;
        }
        let name = behind.strip_prefix('.')?;
        found.insert(name.chars().take_while(|c| word(*c)).collect());
    }
    Some(found)
}

/// The message of a failing builtin, the same as on the register machine.
fn named(sentence: &str) -> String {
    let name = sentence.strip_prefix('`').and_then(|rest| rest.split('`').next());
    match name.filter(|name| builtins::arity(name).is_some()) {
        Some(name) => strict_builtins::failure(name, sentence),
        None => sentence.to_owned(),
    }
}

/// The clock is read between instructions, of which one call needs only a few.
const TIME_MAX: Duration = Duration::from_secs(10);
const INSTRUCTIONS_MAX: usize = 1000;

static MACHINES: LazyLock<Mutex<BTreeMap<&'static str, Arc<Machine>>>> = LazyLock::new(Mutex::default);

/// Registers each bounded builtin as an extension under its own name, which the interpreter looks up before its builtins
/// (regorus 0.14.1, `interpreter.rs`, `eval_call_impl`). The extension runs a program of the register machine with this
/// one call, so both engines have one implementation.
pub(crate) fn install_bounds(engine: &mut Engine) -> Result<(), String> {
    let allowed = builtins::allowed().map(|(name, _)| (name, builtins::arity(name)));
    for (name, arity) in allowed.chain([(bounds::OPERATORS, Some(1))]) {
        let Some(arity) = arity.and_then(|arity| u8::try_from(arity).ok()) else { continue };
        if matches!(bounds::of(name), None | Some(Bound::Linear)) {
            continue;
        }
        let call = move |args: Vec<Value>| call(name, arity, &args).map_err(anyhow::Error::msg);
        engine.add_extension(name.to_owned(), arity, Box::new(call)).map_err(|error| format!("{error:#}"))?;
    }
    Ok(())
}

fn call(name: &'static str, arity: u8, args: &[Value]) -> Result<Value, String> {
    if let Some(Bound::Own(own)) = bounds::of(name) {
        return own(args);
    }
    let input = Value::from(args.to_vec());
    let machine = machine(name, arity)?;
    let result = machine.evaluate(0, &input, &Value::new_object(), TIME_MAX, INSTRUCTIONS_MAX);
    result.map_err(|interrupted| match interrupted {
        Interrupted::Failed(error) => error.to_string(),
        Interrupted::Clock => format!("builtin `{name}` was stopped after {TIME_MAX:?}"),
    })
}

/// A program that calls a builtin with the elements of its input.
fn machine(name: &'static str, arity: u8) -> Result<Arc<Machine>, String> {
    let mut machines = MACHINES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(machine) = machines.get(name) {
        return Ok(Arc::clone(machine));
    }
    let arguments: Vec<String> = (0..arity).map(|at| format!("input[{at}]")).collect();
    let text = format!("package portcullis.builtin\n\nanswer := {name}({})\n", arguments.join(", "));
    let module = Module { path: format!("{name}.rego"), text };
    let engine = load(&[&module]).map_err(|problem| problem.to_string())?;
    let entry = "data.portcullis.builtin.answer".to_owned();
    let machine = Machine::new(engine, &[entry], &module.path).map_err(|problem| problem.to_string())?;
    let machine = Arc::new(machine);
    machines.insert(name, Arc::clone(&machine));
    Ok(machine)
}
