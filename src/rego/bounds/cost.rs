//! What calls of builtins may build and work: the limits, and the count of what this thread's evaluation has built.

use std::cell::Cell;

use regorus::Value;

/// Bytes that one call may build: twice the largest value of a ConfigMap and more.
pub(crate) const CALL_BYTES_MAX: usize = 4 << 20;
/// Bytes that all calls of one evaluation may build together, whether they are still used or not.
pub(crate) const EVALUATION_BYTES_MAX: usize = 16 << 20;
/// Steps of one call whose work grows faster than its arguments: about 50 ms.
pub(crate) const STEPS_MAX: usize = 32 << 20;
/// Digits of a number that is parsed, and its exponent.
pub(crate) const DIGITS_MAX: usize = 512;
pub(crate) const PATTERN_BYTES_MAX: usize = 16 << 10;
pub(crate) const GLOB_BYTES_MAX: usize = 1 << 10;

thread_local! {
    static BUILT: Cell<usize> = const { Cell::new(0) };
}

/// An upper bound of what a call costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) bytes: usize,
    /// Steps of work beyond reading the arguments and writing the result.
    pub(crate) steps: usize,
}

impl Cost {
    pub(crate) fn bytes(bytes: usize) -> Self {
        Self { bytes, steps: 0 }
    }

    pub(crate) fn steps(steps: usize) -> Self {
        Self { bytes: 0, steps }
    }
}

/// Begins an evaluation on this thread.
pub(crate) fn start() {
    BUILT.set(0);
}

/// Counts what a call is about to build. The error names the builtin, the size and the limit.
pub(crate) fn charge(name: &str, cost: Cost) -> Result<(), String> {
    if cost.bytes > CALL_BYTES_MAX {
        return Err(format!(
            "builtin `{name}` would build {} bytes; one call may build at most {CALL_BYTES_MAX}",
            at_least(cost.bytes)
        ));
    }
    if cost.steps > STEPS_MAX {
        return Err(format!(
            "builtin `{name}` would take {} steps; one call may take at most {STEPS_MAX}",
            at_least(cost.steps)
        ));
    }
    let built = BUILT.get().saturating_add(cost.bytes);
    if built > EVALUATION_BYTES_MAX {
        return Err(format!(
            "builtin `{name}` would build {} bytes; with them one evaluation would build {built}, and at most {EVALUATION_BYTES_MAX} are allowed",
            cost.bytes
        ));
    }
    BUILT.set(built);
    Ok(())
}

fn at_least(count: usize) -> String {
    if count == usize::MAX { "countless".to_owned() } else { count.to_string() }
}

/// Counts what is built piece by piece, and stops at the limit.
pub(crate) struct ByteCounter {
    pub(crate) name: &'static str,
    bytes: usize,
}

impl ByteCounter {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, bytes: 0 }
    }

    /// Call it before a piece is made.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > CALL_BYTES_MAX { self.end() } else { Ok(()) }
    }

    pub(crate) fn end(self: &mut ByteCounter) -> Result<(), String> {
        charge(self.name, Cost::bytes(self.bytes))
    }
}

/// A string argument. Other types give `""`; the builtin refuses them itself.
pub(crate) fn text_at(args: &[Value], at: usize) -> &str {
    match args.get(at) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

/// Visits the members of an array or a set.
pub(crate) fn each<'a>(value: Option<&'a Value>, mut see: impl FnMut(&'a Value)) {
    match value {
        Some(Value::Array(items)) => items.iter().for_each(see),
        Some(Value::Set(items)) => items.iter().for_each(&mut see),
        _ => {}
    }
}

/// Bytes of one value in an array.
pub(crate) const VALUE: usize = size_of::<Value>();
/// Bytes of one string in an array without its characters: the value and the counts.
pub(crate) const TEXT: usize = VALUE + 16;
/// Bytes of one member of an object or a set, with its share of the tree.
pub(crate) const ENTRY: usize = 3 * VALUE;
