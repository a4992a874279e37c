//! Bounds on what builtins build and how much they work, checked before a call.
//!
//! Budgets are checked between instructions and never inside a builtin, and a tenant chooses strings and arrays. So each
//! allowed builtin has an entry in [`TABLE`], with a measure of its arguments if its result may be larger than they are
//! or its work grow faster. Both engines use it: the register machine by `strict_builtins`, the interpreter by extensions.

mod arithmetic;
mod collections;
mod cost;
mod json;
mod net;
mod patterns;
mod re2;
mod sprintf;
mod text;
mod time;

use regorus::Value;

pub(crate) use self::cost::{Cost, charge, start};
pub(crate) use self::json::string_end;

/// The builtin that evaluates operators. No policy may call it, and the engine has to know the name.
pub(crate) const OPERATORS: &str = "trace";

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    /// The result is no larger than the arguments or shares them, and the work is linear.
    Linear,
    /// The cost is computed before the call.
    Counted(fn(&[Value]) -> Cost),
    /// The same, but some arguments are refused whatever they cost.
    Measured(fn(&[Value]) -> Result<Cost, String>),
    /// Implemented here.
    Own(fn(&[Value]) -> Result<Value, String>),
}

use Bound::{Counted, Linear, Measured, Own};

/// Every allowed builtin, ordered by kind.
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
    (&["strings.replace_n"], Own(text::replace_n)),
    (&["split"], Counted(text::split)),
    (&["sprintf"], Own(sprintf::sprintf)),
    (&["indexof", "indexof_n"], Measured(text::indexes)),
    (&["strings.count"], Own(text::count)),
    (&["net.cidr_contains"], Own(net::cidr_contains)),
    (&["net.cidr_is_valid"], Own(net::cidr_is_valid)),
    (&["time.parse_rfc3339_ns"], Own(time::parse_rfc3339)),
    (&["strings.any_prefix_match", "strings.any_suffix_match"], Counted(text::any_match)),
    (&["time.format"], Counted(text::time_format)),
    (&["to_number"], Own(json::to_number)),
    (&["units.parse", "units.parse_bytes"], Measured(json::number)),
    (&["json.unmarshal"], Own(json::unmarshal)),
    (&["json.is_valid"], Measured(json::read_cost)),
    (&["json.marshal"], Own(json::marshal)),
    (
        &["array.concat", "array.reverse", "array.slice", "object.keys", "object.filter", "object.remove"],
        Counted(collections::elements),
    ),
    (&["union", "object.union_n"], Counted(collections::union_all)),
    (&["intersection"], Counted(collections::intersection)),
    (&["__builtin_sets.union", "__builtin_sets.intersection"], Counted(collections::elements)),
    (&["object.union"], Counted(collections::union)),
    (&["object.subset"], Own(collections::subset)),
    (&["json.filter", "json.remove"], Counted(collections::paths)),
    (&["sort"], Own(arithmetic::sort)),
    (&["min"], Own(arithmetic::min)),
    (&["max"], Own(arithmetic::max)),
    (&["sum"], Own(arithmetic::sum)),
    (&["product"], Own(arithmetic::product)),
    (&["bits.lsh"], Measured(collections::shift)),
    (&["numbers.range", "numbers.range_step"], Counted(collections::range)),
    (&["graph.reachable"], Counted(collections::reachable)),
    (&["graph.reachable_paths"], Own(collections::reachable_paths)),
    (&["walk"], Own(collections::walk)),
    (&["glob.match"], Measured(patterns::glob)),
    (&["regex.template_match"], Own(patterns::template_match)),
    (&["regex.find_all_string_submatch_n"], Own(patterns::submatches)),
    (&["regex.match"], Own(patterns::is_match)),
    (&["regex.is_valid"], Own(patterns::is_valid)),
    (&["regex.find_n"], Own(patterns::find)),
    (&["regex.split"], Own(patterns::split)),
    (&["regex.replace"], Own(patterns::replace)),
];

/// The bound of a builtin; `None` if it is not allowed.
pub(crate) fn of(name: &str) -> Option<Bound> {
    TABLE.iter().find(|(names, _)| names.contains(&name)).map(|(_, bound)| *bound)
}

#[cfg(test)]
mod tests;
