//! The builtins a policy may call. Anything else is refused when the policy is loaded, on both engines alike.
//!
//! Pure functions of their arguments only: no network, clock, environment or randomness, so that a replay gives
//! the same verdict. What can exhaust memory on a tenant's number is refused unless its bounds are constants,
//! because a budget is looked at between instructions and never inside a builtin.

use super::analysis::{Analysis, Call, Form};
use crate::policy::problem::Problem;

#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    "abs", "array.concat", "array.reverse", "array.slice", "base64.decode", "base64.encode", "base64.is_valid",
    "base64url.decode", "base64url.encode", "base64url.encode_no_pad", "bits.and", "bits.negate", "bits.or",
    "bits.rsh", "bits.xor", "ceil", "concat", "contains", "count", "endswith", "floor", "format_int", "glob.match",
    "glob.quote_meta", "graph.reachable", "graph.reachable_paths", "hex.decode", "hex.encode", "indexof",
    "indexof_n", "intersection", "is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set",
    "is_string", "json.filter", "json.is_valid", "json.marshal", "json.remove", "json.unmarshal", "lower", "max",
    "min", "net.cidr_contains", "net.cidr_is_valid", "object.filter", "object.get", "object.keys", "object.remove",
    "object.subset", "object.union", "object.union_n", "print", "product", "regex.find_n", "regex.globs_match",
    "regex.is_valid", "regex.match", "regex.split", "regex.template_match", "replace", "round",
    "semver.compare", "semver.is_valid", "sort", "split", "startswith", "strings.any_prefix_match",
    "strings.any_suffix_match", "strings.count", "strings.replace_n", "strings.reverse", "substring", "sum",
    "time.add_date", "time.clock", "time.date", "time.diff", "time.format", "time.parse_duration_ns",
    "time.parse_ns", "time.parse_rfc3339_ns", "time.weekday", "to_number", "trim", "trim_left", "trim_prefix",
    "trim_right", "trim_space", "trim_suffix", "type_name", "union", "units.parse", "units.parse_bytes", "upper", "walk",
];

/// Builtins that grow with the value of a number: allowed when the arguments at these places are constants.
const BOUNDED: &[(&str, &[usize])] =
    &[("bits.lsh", &[1]), ("numbers.range", &[0, 1]), ("numbers.range_step", &[0, 1, 2])];

/// Builtins that answer a pattern that is none with undefined instead of an error: the pattern must be constant, so that
/// its author sees what it does.
const PATTERNS: &[(&str, &[usize])] = &[("regex.replace", &[1])];

/// Builtins that write a number as wide as a text says, `%4000000000d`: the text must be constant.
const FORMATS: &[(&str, &[usize])] = &[("sprintf", &[0])];

const REFUSED: &[(&str, &str)] = &[
    ("http.send", "a review never waits for the network; put the facts into params or the snapshot"),
    ("net.lookup_ip_addr", "a review never waits for the network"),
    ("net.cidr_expand", "a short prefix exhausts memory; use net.cidr_contains"),
    ("opa.runtime", "the environment is no part of a verdict; use params"),
    ("rand.intn", "a verdict is the same every time"),
    ("uuid.rfc4122", "a verdict is the same every time"),
    ("time.now_ns", "a replay must give the same verdict; use input.now with time.parse_rfc3339_ns"),
    ("trace", "use print, or `portcullis policy eval`"),
];

/// Judges every call of a module. `functions` answers whether a full path (`data.…`) is a function of the bundle.
pub fn check(file: &str, module: &Analysis, functions: &dyn Fn(&[String]) -> bool) -> Vec<Problem> {
    module
        .calls
        .iter()
        .filter_map(|call| judge(module, call, functions))
        .map(|(call, message)| Problem::at(file, call.place.0, call.place.1, message))
        .collect()
}

fn judge<'a>(
    module: &Analysis,
    call: &'a Call,
    functions: &dyn Fn(&[String]) -> bool,
) -> Option<(&'a Call, String)> {
    let name = call.name.as_str();
    if is_function(module, name, functions) {
        return None;
    }
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Some((call, format!("builtin `{name}` is refused: {why}")));
    }
    for (table, why) in [
        (BOUNDED, "its bounds must be constant numbers, or a tenant's number could exhaust memory"),
        (FORMATS, "its format must be a constant text, or a width in a tenant's text could exhaust memory"),
        (PATTERNS, "its pattern must be a constant text, or a pattern that is none would go unnoticed"),
    ] {
        if let Some((_, places)) = table.iter().find(|(known, _)| *known == name) {
            let constant = places.iter().all(|place| call.constant.get(*place).copied().unwrap_or(false));
            return (!constant).then(|| (call, format!("builtin `{name}`: {why}")));
        }
    }
    if ALLOWED.contains(&name) {
        return None;
    }
    Some((
        call,
        format!("unknown function or builtin `{name}`; `portcullis policy builtins` lists what is allowed"),
    ))
}

fn is_function(module: &Analysis, name: &str, functions: &dyn Fn(&[String]) -> bool) -> bool {
    let parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    let Some((first, rest)) = parts.split_first() else { return false };
    if rest.is_empty() && module.rules.iter().any(|rule| rule.form == Form::Function && rule.name == *first) {
        return true;
    }
    let own: Vec<String> = module.package.iter().cloned().chain(parts.iter().cloned()).collect();
    let imported = module.imports.iter().find(|(alias, _)| alias == first);
    let full = match imported {
        Some((_, path)) => path.iter().skip(1).cloned().chain(rest.iter().cloned()).collect(),
        None if first == "data" => rest.to_vec(),
        None => own,
    };
    functions(&full)
}

/// Every builtin that may be called, in order, and the conditional ones.
pub fn allowed() -> impl Iterator<Item = (&'static str, &'static str)> {
    let bounded = BOUNDED.iter().map(|(name, _)| (*name, "with constant bounds"));
    let patterns = PATTERNS.iter().map(|(name, _)| (*name, "with a constant pattern"));
    let formats = FORMATS.iter().map(|(name, _)| (*name, "with a constant format"));
    ALLOWED.iter().map(|name| (*name, "")).chain(bounded).chain(formats).chain(patterns)
}

/// Every builtin that is refused by name, and why.
pub fn refused() -> impl Iterator<Item = (&'static str, &'static str)> {
    REFUSED.iter().copied()
}

#[cfg(test)]
mod tests;
