//! Evaluates rules of modules by name, for tests and traces, as a review evaluates them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

pub use super::normal::Test;
use super::normal::{self, Made, Normal, Reached, Target};
use super::{Trees, bounds, guarded, normalised, trees};
use crate::module::Module;
use crate::problem::Problem;
use portcullis_telemetry::visible;

/// Reports kept of one rule: a test may iterate over a thousand inputs.
const ASKED_MAX: usize = 64;

/// How long one rule may take, so that a test that loops does not block the others.
const LIMIT: ExecutionTimerConfig =
    ExecutionTimerConfig { limit: Duration::from_secs(30), check_interval: NonZeroU32::new(256).unwrap() };

thread_local! {
    static ASKED: RefCell<BTreeSet<Value>> = const { RefCell::new(BTreeSet::new()) };
}

/// The interpreter with some modules.
pub struct AnyRule<'m> {
    prepared: Engine,
    idle: Mutex<Vec<Engine>>,
    data: Value,
    modules: &'m [&'m Module],
    trees: Trees<'m>,
    normal: Vec<Normal>,
    tests: Vec<Test>,
}

/// The result of a rule.
#[derive(Debug)]
pub struct Answer {
    /// Its value; or why it failed, at the place of the file that was given where no other is known.
    pub value: Result<Value, Problem>,
    /// What it printed.
    pub prints: Vec<String>,
    /// What it put in place of `input` and `data`: lists of a path and what stands there.
    pub asked: Vec<Value>,
}

impl<'m> AnyRule<'m> {
    /// Reads the modules.
    ///
    /// # Errors
    /// A module that is no Rego, at its place.
    pub fn new(modules: &'m [&'m Module], data: Value) -> Result<Self, Problem> {
        let trees = trees(modules)?;
        let (engine, Made { normal, tests, .. }) = normalised(&trees, Target::Tests, None)?;
        let prepared = prepared(engine, &data)?;
        Ok(Self { prepared, idle: Mutex::default(), data, modules, trees, normal, tests })
    }

    /// What `input` is from now on.
    pub fn input(&mut self, input: Value) {
        self.idle = Mutex::default();
        self.prepared.set_input(input);
    }

    /// The value of a rule (`data.…`), and what it said.
    pub fn value(&self, file: &str, rule: String) -> Answer {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut engine = idle.unwrap_or_else(|| self.prepared.clone());
        engine.set_execution_timer_config(LIMIT);
        ASKED.take();
        bounds::start();
        let value = engine.eval_rule(rule).map_err(|error| {
            let problem = Problem::from_engine(file, &format!("{error:#}"));
            normal::settled(problem, self.modules, &self.normal)
        });
        let prints = engine.take_prints().unwrap_or_default();
        let prints = prints.iter().map(|line| self.printed(line)).collect();
        // An engine that failed may hold half an evaluation.
        if value.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
        }
        Answer { value, prints, asked: ASKED.take().into_iter().collect() }
    }

    /// The tests of the modules.
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// What `print` said at the place where it is written.
    fn printed(&self, text: &str) -> String {
        let found = self.modules.iter().zip(&self.normal).find_map(|(module, normal)| {
            let (line, said) = text.strip_prefix(&module.path)?.strip_prefix(':')?.split_once(':')?;
            let (module, place) = normal.origin(line.parse().ok()?, self.modules)?;
            Some(format!("{}:{}:{said}", module.path, place.0))
        });
        found.unwrap_or_else(|| text.to_owned())
    }

    /// Which line of each body of a rule does not hold, with the values that it was reached with. The rule is one of the
    /// module at an index.
    ///
    /// # Errors
    /// The engine refuses what it accepted before.
    pub fn why_undefined(&self, at: usize, package: &str, name: &str) -> Result<Vec<String>, Problem> {
        let (engine, Made { bodies, .. }) = normalised(&self.trees, Target::Interpreter, Some((at, name)))?;
        let mut engine = prepared(engine, &self.data)?;
        engine.set_execution_timer_config(LIMIT);
        let mut holds = |rule: &str| match engine.eval_rule(format!("{package}.{rule}")) {
            Ok(Value::Set(found)) => found.first().cloned(),
            _ => None,
        };
        let module = self.modules.get(at).ok_or_else(|| Problem::of("", "no such module"))?;
        let base = normal::base(at, self.modules);
        let first = bodies.iter().filter_map(|body| {
            let line = body.iter().find(|line| holds(&line.held).is_none())?;
            let values = line.rule.as_deref().and_then(&mut holds);
            Some(why(line, module, base, values.as_ref()))
        });
        Ok(first.collect())
    }
}

fn why(line: &Reached, module: &Module, base: u32, values: Option<&Value>) -> String {
    let values =
        values.and_then(|values| values.as_array().ok()).into_iter().flat_map(|values| values.iter());
    let shown = line.labels.iter().zip(values).map(|(label, value)| format!("`{label}` is {value}"));
    let shown: Vec<String> = shown.map(|value| clip(&value)).collect();
    let values = if shown.is_empty() { String::new() } else { format!("; {}", shown.join(", ")) };
    let number = usize::try_from(line.place.0.saturating_sub(base)).unwrap_or_default();
    let written = || {
        let source = module.text.lines().nth(number.saturating_sub(1)).unwrap_or_default();
        format!("`{}` does not hold", clip(source.trim()))
    };
    format!("line {number}: {}{values}", line.says.clone().unwrap_or_else(written))
}

fn clip(text: &str) -> String {
    let mut kept = String::new();
    for letter in text.chars().take(SHOWN_MAX) {
        if visible::is_harmless(letter) {
            kept.push(letter);
        } else {
            kept.extend(letter.escape_unicode());
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        kept.push('…');
    }
    kept
}

/// Characters of a value or a line that is shown.
const SHOWN_MAX: usize = 200;

fn prepared(mut engine: Engine, data: &Value) -> Result<Engine, Problem> {
    guarded::install(&mut engine).map_err(|error| Problem::of("", error))?;
    let report = |args: Vec<Value>| {
        ASKED.with_borrow_mut(|asked| {
            if asked.len() < ASKED_MAX {
                asked.extend(args);
            }
        });
        Ok(Value::from(true))
    };
    let added = engine.add_extension(normal::ASKED.join("."), 1, Box::new(report));
    added.map_err(|error| Problem::of("", format!("{error:#}")))?;
    engine.set_gather_prints(true);
    engine.add_data(data.clone()).map_err(|error| Problem::of("data", format!("{error:#}")))?;
    Ok(engine)
}
