//! Makes a failing builtin end the evaluation on the register machine, and applies its bounds.
//!
//! `strict_builtin_errors` there stops at the nearest rule: the rule's body "does not hold", and a deny rule never
//! fires (regorus 0.14.1, `rvm/vm/rules.rs`). Only limit errors pass through. So each builtin of a program is wrapped:
//! a failure stores its message in a thread-local and returns a limit error.

use std::any::Any;
use std::cell::RefCell;
use std::sync::OnceLock;

use regorus::rvm::program::Program;
use regorus::{LimitError, Value};

use crate::bounds::{self, Bound};
use crate::source::sentence;

/// A builtin as the engine calls it. `S` is its span and `E` its expressions, whose types are private to the engine.
type Builtin<S, E> = fn(&S, &[E], &[Value], bool) -> anyhow::Result<Value>;

/// How many builtins can be wrapped; the allow-list is shorter.
const MAX: usize = 128;

/// The wrapped builtins. A name keeps its slot for the life of the process.
static ORIGINALS: [OnceLock<WrappedBuiltin>; MAX] = [const { OnceLock::new() }; MAX];

struct WrappedBuiltin {
    name: String,
    bound: Bound,
    function: Box<dyn Any + Send + Sync>,
}

thread_local! {
    static FAILURE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Wraps every builtin of a program; `Err` names one that cannot be wrapped.
pub(crate) fn wrap(program: &mut Program) -> Result<(), String> {
    for (builtin, info) in program.resolved_builtins.iter_mut().zip(&program.builtin_info_table) {
        builtin.0 = wrapped(&info.name, builtin.0).ok_or_else(|| info.name.clone())?;
    }
    Ok(())
}

/// Takes the message of the builtin that failed on this thread.
pub(crate) fn take_failure() -> Option<String> {
    FAILURE.take()
}

fn wrapped<S: 'static, E: 'static>(name: &str, original: Builtin<S, E>) -> Option<Builtin<S, E>> {
    let bound = bounds::of(name)?;
    let index = ORIGINALS.iter().position(|slot| {
        let new = || WrappedBuiltin { name: name.to_owned(), bound, function: Box::new(original) };
        slot.get_or_init(new).name == name
    });
    wrapper(index?)
}

fn call<S: 'static, E: 'static, const I: usize>(
    span: &S,
    expressions: &[E],
    arguments: &[Value],
    strict: bool,
) -> anyhow::Result<Value> {
    let slot = ORIGINALS.get(I).and_then(OnceLock::get);
    let Some((slot, original)) =
        slot.and_then(|slot| Some((slot, slot.function.downcast_ref::<Builtin<S, E>>()?)))
    else {
        return fail("the builtin changed after the policy was compiled".to_owned());
    };
    let name = &slot.name;
    // OPA returns false for an argument that is not a string; the engine fails.
    if name.ends_with(".is_valid") && !matches!(arguments.first(), Some(Value::String(_))) {
        return Ok(Value::from(false));
    }
    match slot.bound {
        Bound::Linear => {}
        Bound::Counted(count) => {
            if let Err(beyond) = bounds::charge(name, count(arguments)) {
                return fail(beyond);
            }
        }
        Bound::Measured(measure) => {
            if let Err(beyond) = measure(arguments).and_then(|cost| bounds::charge(name, cost)) {
                return fail(beyond);
            }
        }
        Bound::Own(own) => return own(arguments).or_else(fail),
    }
    original(span, expressions, arguments, strict).or_else(|error| {
        if error.downcast_ref::<LimitError>().is_some() {
            return Err(error);
        }
        fail(failure(name, &sentence(&format!("{error:#}"))))
    })
}

/// The error of a builtin with the type of the value in place of the value, which may be a tenant's whole object. The
/// engine's message may also name another builtin (regorus 0.14.1, `builtins/utils.rs`).
pub(crate) fn failure(name: &str, sentence: &str) -> String {
    if let Some((prefix, _)) = sentence.split_once("invalid duration: ") {
        return format!("builtin `{name}` failed: {prefix}invalid duration");
    }
    let Some((expected, value)) = sentence.split_once(". Got `") else {
        return format!("builtin `{name}` failed: {sentence}");
    };
    let expected = expected.split_once("` ").map_or(expected, |(_, expected)| expected);
    let kind = match value.chars().next() {
        Some('{') => "an object",
        Some('[') => "an array or a set",
        Some('"') => "a string",
        Some('t' | 'f') => "a boolean",
        Some('n') => "null",
        _ => "a number",
    };
    format!("builtin `{name}` failed: it {expected}, but got {kind}")
}

fn fail(message: String) -> anyhow::Result<Value> {
    FAILURE.set(Some(message));
    Err(LimitError::RegexSizeLimitExceeded { limit: 0 }.into())
}

macro_rules! wrappers {
    ($($index:literal)+) => {
        fn wrapper<S: 'static, E: 'static>(index: usize) -> Option<Builtin<S, E>> {
            match index {
                $($index => Some(call::<S, E, $index>),)+
                _ => None,
            }
        }
    };
}

wrappers! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42
    43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82
    83 84 85 86 87 88 89 90 91 92 93 94 95 96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116
    117 118 119 120 121 122 123 124 125 126 127
}
