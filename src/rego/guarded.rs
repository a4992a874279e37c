//! The bounds of builtins on the interpreter.
//!
//! The interpreter looks a function up among its extensions before it looks among its builtins (regorus 0.14.1,
//! `interpreter.rs`, `eval_call_impl`), so each bounded builtin is registered there under its own name. What answers is
//! a program of the register machine that holds this one call, so that both engines have one implementation.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use regorus::{Engine, Value};

use super::bounds::{self, Bound};
use super::builtins;
use super::rvm::Machine;
use super::{Interrupted, load};
use crate::module::Module;

/// The clock is looked at between instructions, and there are a handful around one call.
const TIME_MAX: Duration = Duration::from_secs(10);
const INSTRUCTIONS_MAX: usize = 1000;

static MACHINES: LazyLock<Mutex<BTreeMap<&'static str, Arc<Machine>>>> = LazyLock::new(Mutex::default);

/// Puts the bounds before the builtins of an interpreter.
///
/// # Errors
/// The engine knows one already.
pub fn install(engine: &mut Engine) -> Result<(), String> {
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
    let said = machine.evaluate(0, &input, &Value::new_object(), TIME_MAX, INSTRUCTIONS_MAX);
    said.map_err(|interrupted| match interrupted {
        Interrupted::Failed(error) => error.to_string(),
        Interrupted::Clock => format!("builtin `{name}` was stopped after {TIME_MAX:?}"),
    })
}

/// The program that calls a builtin with the parts of its input.
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
