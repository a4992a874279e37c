//! What a builtin builds, and how much it works, bounded before it is called.
//!
//! Budgets are looked at between instructions and never inside a builtin, and a tenant chooses its texts and lists. So
//! each builtin that may be called stands in [`TABLE`], with a measure of its arguments where its answer can be larger
//! than they are, or its work grow faster than they do. Both engines ask it: the register machine by `guard`, the
//! interpreter by `guarded`.

mod arithmetic;
mod format;
mod graph;
mod json;
mod marshal;
mod net;
mod pattern;
mod re2;
mod regexes;
mod replace;
mod text;
mod time;
mod values;
mod values_text;

pub use json::string_end;

use std::cell::Cell;

use regorus::Value;

/// Bytes that one call may build: more than the largest text of a ConfigMap, twice over.
pub const CALL_BYTES_MAX: usize = 4 << 20;
/// Bytes that all calls of one evaluation may build together, whether they are kept or not.
pub const EVALUATION_BYTES_MAX: usize = 16 << 20;
/// Steps of one call whose work grows faster than its arguments: some 50 ms.
pub const STEPS_MAX: usize = 32 << 20;
/// Digits of a number that is read from a text, and its exponent.
pub const DIGITS_MAX: usize = 512;
/// Bytes of a regular expression.
pub const PATTERN_BYTES_MAX: usize = 16 << 10;
/// The builtin in whose place operators are evaluated: no policy may call it, and the engine knows it by this name.
pub const OPERATORS: &str = "trace";
/// Bytes of a glob.
pub const GLOB_BYTES_MAX: usize = 1 << 10;

thread_local! {
    static BUILT: Cell<usize> = const { Cell::new(0) };
}

/// What a call may cost at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes of what it builds.
    pub bytes: usize,
    /// Steps of work beyond those that its arguments and its answer take.
    pub steps: usize,
}

impl Cost {
    fn bytes(bytes: usize) -> Self {
        Self { bytes, steps: 0 }
    }

    fn steps(steps: usize) -> Self {
        Self { bytes: 0, steps }
    }
}

/// How a builtin is bounded.
#[derive(Clone, Copy)]
pub enum Bound {
    /// Its answer is no larger than its arguments or shares them, and its work is linear.
    Linear,
    /// Counted before it is called.
    Counted(fn(&[Value]) -> Cost),
    /// The same, of arguments that may be refused whatever they cost.
    Measured(fn(&[Value]) -> Result<Cost, String>),
    /// Done here, because only the work itself shows how large the answer is.
    Own(fn(&[Value]) -> Result<Value, String>),
}

use Bound::{Counted, Linear, Measured, Own};

/// Every builtin that may be called. In its own order, which is by kind.
const TABLE: &[(&[&str], Bound)] = &[
    (
        &[
            "is_array",
            "is_boolean",
            "is_null",
            "is_number",
            "is_object",
            "is_set",
            "is_string",
            "type_name",
            "abs",
            "ceil",
            "floor",
            "round",
            "format_int",
            "bits.and",
            "bits.negate",
            "bits.or",
            "bits.rsh",
            "bits.xor",
            "count",
            "contains",
            "startswith",
            "endswith",
            "object.get",
            "semver.compare",
            "time.add_date",
            "time.clock",
            "time.date",
            "time.diff",
            "time.parse_duration_ns",
            "time.parse_ns",
            "time.weekday",
            "print",
        ],
        Linear,
    ),
    (&[OPERATORS], Own(arithmetic::evaluate)),
    (&["lower"], Own(text::lower)),
    (&["upper"], Own(text::upper)),
    (
        &[
            "strings.reverse",
            "substring",
            "trim_prefix",
            "trim_space",
            "trim_suffix",
            "base64.decode",
            "base64url.decode",
            "hex.decode",
            "base64.is_valid",
            "semver.is_valid",
        ],
        Counted(text::same),
    ),
    (
        &["base64.encode", "base64url.encode", "base64url.encode_no_pad", "hex.encode", "glob.quote_meta"],
        Counted(text::doubled),
    ),
    (&["trim", "trim_left", "trim_right"], Counted(text::trimmed)),
    (&["concat"], Counted(text::concat)),
    (&["replace"], Counted(text::replace)),
    (&["strings.replace_n"], Own(replace::replace_n)),
    (&["split"], Counted(text::split)),
    (&["sprintf"], Own(format::sprintf)),
    (&["indexof", "indexof_n"], Measured(text::indexes)),
    (&["strings.count"], Own(text::count)),
    (&["net.cidr_contains"], Own(net::cidr_contains)),
    (&["net.cidr_is_valid"], Own(net::cidr_is_valid)),
    (&["time.parse_rfc3339_ns"], Own(time::parse_rfc3339)),
    (&["strings.any_prefix_match", "strings.any_suffix_match"], Counted(text::any_match)),
    (&["time.format"], Counted(text::time_format)),
    (&["to_number"], Own(json::to_number)),
    (&["units.parse", "units.parse_bytes"], Measured(json::number)),
    (&["json.unmarshal"], Own(marshal::unmarshal)),
    (&["json.is_valid"], Measured(json::read)),
    (&["json.marshal"], Own(marshal::marshal)),
    (
        &["array.concat", "array.reverse", "array.slice", "object.keys", "object.filter", "object.remove"],
        Counted(values::elements),
    ),
    (&["union", "object.union_n"], Counted(values::union_all)),
    (&["intersection"], Counted(values::intersection)),
    (&["__builtin_sets.union", "__builtin_sets.intersection"], Counted(values::elements)),
    (&["object.union"], Counted(values::union)),
    (&["object.subset"], Own(values::subset)),
    (&["json.filter", "json.remove"], Counted(values::paths)),
    (&["sort"], Own(arithmetic::sort)),
    (&["min"], Own(arithmetic::min)),
    (&["max"], Own(arithmetic::max)),
    (&["sum"], Own(arithmetic::sum)),
    (&["product"], Own(arithmetic::product)),
    (&["bits.lsh"], Measured(values::shift)),
    (&["numbers.range", "numbers.range_step"], Counted(values::range)),
    (&["graph.reachable"], Counted(graph::reachable)),
    (&["graph.reachable_paths"], Own(graph::paths)),
    (&["walk"], Own(graph::walk)),
    (&["glob.match"], Measured(pattern::glob)),
    (&["regex.template_match"], Own(regexes::template_match)),
    (&["regex.find_all_string_submatch_n"], Own(regexes::submatches)),
    (&["regex.match"], Own(regexes::is_match)),
    (&["regex.is_valid"], Own(regexes::is_valid)),
    (&["regex.find_n"], Own(regexes::find)),
    (&["regex.split"], Own(regexes::split)),
    (&["regex.replace"], Own(regexes::replace)),
];

/// How a builtin is bounded; `None` for one that may not be called.
pub fn of(name: &str) -> Option<Bound> {
    TABLE.iter().find(|(names, _)| names.contains(&name)).map(|(_, bound)| *bound)
}

/// Begins an evaluation on this thread: nothing is built yet.
pub fn start() {
    BUILT.set(0);
}

/// Counts what a call is about to build.
///
/// # Errors
/// The builtin, the size and the bound that it exceeds.
pub fn charge(name: &str, cost: Cost) -> Result<(), String> {
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

/// A count that ended at its bound says so.
fn at_least(count: usize) -> String {
    if count == usize::MAX { "countless".to_owned() } else { count.to_string() }
}

/// What is built piece by piece: it stops at the bound.
struct Built {
    name: &'static str,
    bytes: usize,
}

impl Built {
    fn new(name: &'static str) -> Self {
        Self { name, bytes: 0 }
    }

    /// Before a piece is made.
    fn add(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > CALL_BYTES_MAX { self.end() } else { Ok(()) }
    }

    fn end(self: &mut Built) -> Result<(), String> {
        charge(self.name, Cost::bytes(self.bytes))
    }
}

/// A text among the arguments. Another kind is the builtin's own to refuse.
fn text_at(args: &[Value], at: usize) -> &str {
    match args.get(at) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

/// The members of an array or a set.
fn each<'a>(value: Option<&'a Value>, mut see: impl FnMut(&'a Value)) {
    match value {
        Some(Value::Array(items)) => items.iter().for_each(see),
        Some(Value::Set(items)) => items.iter().for_each(&mut see),
        _ => {}
    }
}

/// Bytes of one value in a list.
const VALUE: usize = size_of::<Value>();
/// Bytes of one text in a list: the value, and the counts before its characters.
const TEXT: usize = VALUE + 16;
/// Bytes of one member of a map or a set, with its share of the tree.
const ENTRY: usize = 3 * VALUE;

#[cfg(test)]
mod tests;
