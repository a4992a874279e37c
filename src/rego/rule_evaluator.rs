//! Evaluates rules by name, for tests and traces, the same way as a review does.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use portcullis_telemetry::escape;

use crate::bounds;
use crate::compiled::{SyntaxTrees, load_normal_forms, syntax_trees};
use crate::interpreter::install_bounds;
use crate::normal::{self, BodyLine, NormalForm, NormalForms, Target, Test};
use crate::source::{Module, Problem};

/// Reports per rule: a test may iterate over a thousand inputs.
const MOCKS_MAX: usize = 64;

/// Time limit of one rule, so that a test in a loop does not block the others.
const LIMIT: ExecutionTimerConfig =
    ExecutionTimerConfig { limit: Duration::from_secs(30), check_interval: NonZeroU32::new(256).unwrap() };

thread_local! {
    static MOCKS: RefCell<BTreeSet<Value>> = const { RefCell::new(BTreeSet::new()) };
}

pub struct RuleEvaluator<'m> {
    prepared: Engine,
    idle: Mutex<Vec<Engine>>,
    data: Value,
    modules: &'m [&'m Module],
    trees: SyntaxTrees<'m>,
    normal: Vec<NormalForm>,
    tests: Vec<Test>,
}

#[derive(Debug)]
pub struct RuleResult {
    /// Its value, or its failure; the position is in the given file if no other is known.
    pub value: Result<Value, Problem>,
    /// Lines of `print`.
    pub prints: Vec<String>,
    /// What it put in place of `input` and `data` by `with`: lists of a path and its value.
    pub mocks: Vec<Value>,
}

impl<'m> RuleEvaluator<'m> {
    pub fn new(modules: &'m [&'m Module], data: Value) -> Result<Self, Problem> {
        let trees = syntax_trees(modules)?;
        let (engine, NormalForms { normal, tests, .. }) = load_normal_forms(&trees, Target::Tests, None)?;
        let prepared = prepared(engine, &data)?;
        Ok(Self { prepared, idle: Mutex::default(), data, modules, trees, normal, tests })
    }

    pub fn set_input(&mut self, input: Value) {
        self.idle = Mutex::default();
        self.prepared.set_input(input);
    }

    /// Evaluates a rule (`data.…`).
    pub fn evaluate(&self, file: &str, rule: String) -> RuleResult {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut engine = idle.unwrap_or_else(|| self.prepared.clone());
        engine.set_execution_timer_config(LIMIT);
        MOCKS.take();
        bounds::start();
        let value = engine.eval_rule(rule).map_err(|error| {
            let problem = Problem::from_engine(file, &format!("{error:#}"));
            normal::in_source(problem, self.modules, &self.normal)
        });
        let prints = engine.take_prints().unwrap_or_default();
        let prints = prints.iter().map(|line| self.printed(line)).collect();
        // An engine that failed may hold a partial evaluation.
        if value.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
        }
        RuleResult { value, prints, mocks: MOCKS.take().into_iter().collect() }
    }

    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// A line of `print` with the position in the source.
    fn printed(&self, text: &str) -> String {
        let found = self.modules.iter().zip(&self.normal).find_map(|(module, normal)| {
            let (line, output) = text.strip_prefix(&module.path)?.strip_prefix(':')?.split_once(':')?;
            let (module, location) = normal.origin(line.parse().ok()?, self.modules)?;
            Some(format!("{}:{}:{output}", module.path, location.0))
        });
        found.unwrap_or_else(|| text.to_owned())
    }

    /// For each body of a rule: the line that does not hold, with the values at that line. The rule belongs to the module at
    /// index `at`.
    pub fn why_undefined(&self, at: usize, package: &str, name: &str) -> Result<Vec<String>, Problem> {
        let (engine, NormalForms { bodies, .. }) =
            load_normal_forms(&self.trees, Target::Interpreter, Some((at, name)))?;
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

fn why(line: &BodyLine, module: &Module, base: u32, values: Option<&Value>) -> String {
    let values =
        values.and_then(|values| values.as_array().ok()).into_iter().flat_map(|values| values.iter());
    let shown = line.labels.iter().zip(values).map(|(label, value)| format!("`{label}` is {value}"));
    let shown: Vec<String> = shown.map(|value| clip(&value)).collect();
    let values = if shown.is_empty() { String::new() } else { format!("; {}", shown.join(", ")) };
    let number = usize::try_from(line.location.0.saturating_sub(base)).unwrap_or_default();
    let written = || {
        let source = module.text.lines().nth(number.saturating_sub(1)).unwrap_or_default();
        format!("`{}` does not hold", clip(source.trim()))
    };
    format!("line {number}: {}{values}", line.failure.clone().unwrap_or_else(written))
}

fn clip(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars().take(SHOWN_MAX) {
        if escape::is_visible(letter) {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_unicode());
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Characters that are shown of a value or a line.
const SHOWN_MAX: usize = 200;

fn prepared(mut engine: Engine, data: &Value) -> Result<Engine, Problem> {
    install_bounds(&mut engine).map_err(|error| Problem::of("", error))?;
    let report = |args: Vec<Value>| {
        MOCKS.with_borrow_mut(|mocks| {
            if mocks.len() < MOCKS_MAX {
                mocks.extend(args);
            }
        });
        Ok(Value::from(true))
    };
    let added = engine.add_extension(normal::MOCK_REPORT.join("."), 1, Box::new(report));
    added.map_err(|error| Problem::of("", format!("{error:#}")))?;
    engine.set_gather_prints(true);
    engine.add_data(data.clone()).map_err(|error| Problem::of("data", format!("{error:#}")))?;
    Ok(engine)
}
