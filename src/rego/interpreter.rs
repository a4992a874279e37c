//! The interpreter, for what the register machine's compiler refuses (`with`, for example).

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use super::normal::Normal;
use super::rvm::{last_line, sentence};
use super::{EvalError, Interrupted, builtins, guard, guarded};
use crate::problem::Problem;

const IDLE_MAX: usize = 16;
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::new(64).unwrap();

/// One policy on the interpreter. A prepared engine is cloned a run and kept, since cloning shares the modules.
pub struct Interpreter {
    prepared: Engine,
    entries: Vec<String>,
    /// The keys of the data that its modules name; `None` where one takes it whole.
    roots: Option<BTreeSet<String>>,
    /// Each with the data that it has: for other data, regorus prepares all modules anew (`engine.rs`, 0.14.1).
    idle: Mutex<Vec<(Engine, Value)>>,
}

impl std::fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interpreter").field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl Interpreter {
    /// Prepares the entry points: what can be found wrong without input is found here.
    ///
    /// # Errors
    /// What the engine refuses, at its place.
    pub fn new(
        mut engine: Engine,
        entries: Vec<String>,
        sources: &[Normal],
        file: &str,
    ) -> Result<Self, Problem> {
        guarded::install(&mut engine).map_err(|error| Problem::from_engine(file, &error))?;
        for entry in &entries {
            engine
                .compile_with_entrypoint(&entry.as_str().into())
                .map_err(|error| Problem::from_engine(file, &format!("{error:#}")))?;
        }
        let roots = sources.iter().map(|source| roots(&source.text)).collect::<Option<Vec<_>>>();
        let roots = roots.map(|roots| roots.into_iter().flatten().collect());
        Ok(Self { prepared: engine, entries, roots, idle: Mutex::new(Vec::new()) })
    }

    /// Evaluates one entry point, until `wall` has passed.
    ///
    /// # Errors
    /// Budget spent or evaluation failed.
    pub(super) fn evaluate(
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
        // What a policy prints is for its author, not for a server's standard error; a tenant could write it.
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

    /// The data without what its modules do not name, which changes from review to review.
    fn used(&self, data: &Value) -> Value {
        let (Some(roots), Ok(all)) = (&self.roots, data.as_object()) else { return data.clone() };
        let named =
            all.iter().filter(|(key, _)| key.as_string().is_ok_and(|key| roots.contains(key.as_ref())));
        let mut kept = Value::new_object();
        if let Ok(object) = kept.as_object_mut() {
            named.for_each(|(key, value)| {
                object.insert(key.clone(), value.clone());
            });
        }
        kept
    }

    fn with_data(&self, data: &Value) -> Result<Engine, EvalError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // Documents share their parts by pointer, so equal ones compare without reading them.
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

/// The names behind `data` in a source; `None` where it stands alone.
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

/// The sentence of a failing builtin as the register machine has it, with the name before it.
fn named(sentence: &str) -> String {
    let name = sentence.strip_prefix('`').and_then(|rest| rest.split('`').next());
    match name.filter(|name| builtins::arity(name).is_some()) {
        Some(name) => guard::failure(name, sentence),
        None => sentence.to_owned(),
    }
}
