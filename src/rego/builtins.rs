//! The builtins a policy may call. Anything else is refused when the policy is loaded, on both engines alike.
//!
//! Pure functions of their arguments only: no network, clock, environment or randomness, so that a replay gives
//! the same verdict. What can exhaust memory on a tenant's number is refused unless its bounds are constants,
//! because a budget is looked at between instructions and never inside a builtin.

use super::analysis::{Analysis, Call, Form};
use crate::did_you_mean::nearest;
use crate::problem::Problem;

/// How many arguments a function takes, by its path below `data`; `None`: it is none.
pub type Functions<'f> = &'f dyn Fn(&[String]) -> Option<usize>;

/// What each takes: `s` a text, `n` a number, `a` an array, `o` an object, `t` a set, `@` an array or a set, `c` any of
/// these but a number, `*` anything.
#[rustfmt::skip]
const ALLOWED: &[(&str, &str)] = &[
    ("abs", "n"), ("array.concat", "aa"), ("array.reverse", "a"), ("array.slice", "ann"),
    ("base64.decode", "s"), ("base64.encode", "s"), ("base64.is_valid", "s"), ("base64url.decode", "s"),
    ("base64url.encode", "s"), ("base64url.encode_no_pad", "s"), ("bits.and", "nn"), ("bits.negate", "n"),
    ("bits.or", "nn"), ("bits.rsh", "nn"), ("bits.xor", "nn"), ("ceil", "n"), ("concat", "s@"),
    ("contains", "ss"), ("count", "c"), ("endswith", "ss"), ("floor", "n"), ("format_int", "nn"),
    ("glob.match", "s*s"), ("glob.quote_meta", "s"), ("graph.reachable", "o@"), ("graph.reachable_paths", "o@"),
    ("hex.decode", "s"), ("hex.encode", "s"), ("indexof", "ss"), ("indexof_n", "ss"), ("intersection", "t"),
    ("is_array", "*"), ("is_boolean", "*"), ("is_null", "*"), ("is_number", "*"), ("is_object", "*"),
    ("is_set", "*"), ("is_string", "*"), ("json.filter", "o@"), ("json.is_valid", "s"), ("json.marshal", "*"),
    ("json.remove", "o@"), ("json.unmarshal", "s"), ("lower", "s"), ("max", "@"), ("min", "@"),
    ("net.cidr_contains", "ss"), ("net.cidr_is_valid", "s"), ("object.filter", "oc"), ("object.get", "o**"),
    ("object.keys", "o"), ("object.remove", "oc"), ("object.subset", "cc"), ("object.union", "oo"),
    ("object.union_n", "a"), ("print", ""), ("product", "@"), ("regex.find_all_string_submatch_n", "ssn"),
    ("regex.find_n", "ssn"), ("regex.is_valid", "s"), ("regex.match", "ss"), ("regex.split", "ss"),
    ("regex.template_match", "ssss"), ("replace", "sss"), ("round", "n"), ("semver.compare", "ss"),
    ("semver.is_valid", "*"), ("sort", "@"), ("split", "ss"), ("startswith", "ss"),
    ("strings.any_prefix_match", "cc"), ("strings.any_suffix_match", "cc"), ("strings.count", "ss"),
    ("strings.replace_n", "os"), ("strings.reverse", "s"), ("substring", "snn"), ("sum", "@"),
    ("time.add_date", "nnnn"), ("time.clock", "*"), ("time.date", "*"), ("time.diff", "**"),
    ("time.format", "*"), ("time.parse_duration_ns", "s"), ("time.parse_ns", "ss"),
    ("time.parse_rfc3339_ns", "s"), ("time.weekday", "*"), ("to_number", "*"), ("trim", "ss"),
    ("trim_left", "ss"), ("trim_prefix", "ss"), ("trim_right", "ss"), ("trim_space", "s"),
    ("trim_suffix", "ss"), ("type_name", "*"), ("union", "t"), ("units.parse", "s"), ("units.parse_bytes", "s"),
    ("upper", "s"), ("walk", "*"),
];

/// Builtins that grow with the value of a number: allowed when the arguments at these places are constants.
const BOUNDED: &[(&str, &[usize])] =
    &[("bits.lsh", &[1]), ("numbers.range", &[0, 1]), ("numbers.range_step", &[0, 1, 2])];

/// Builtins that answer a pattern that is none with undefined instead of an error: the pattern must be constant, so that
/// its author sees what it does.
const PATTERNS: &[(&str, &[usize])] = &[("regex.replace", &[1])];

/// Builtins that write a number as wide as a text says, `%4000000000d`: the text must be constant.
const FORMATS: &[(&str, &[usize])] = &[("sprintf", &[0])];

/// What the conditional ones take.
const SIGNATURES: &[(&str, &str)] = &[
    ("bits.lsh", "nn"),
    ("numbers.range", "nn"),
    ("numbers.range_step", "nnn"),
    ("regex.replace", "sss"),
    ("sprintf", "sa"),
];

const REFUSED: &[(&str, &str)] = &[
    ("http.send", "a review never waits for the network; put the facts into params or the snapshot"),
    ("net.lookup_ip_addr", "a review never waits for the network"),
    ("net.cidr_expand", "a short prefix exhausts memory; use net.cidr_contains"),
    ("regex.globs_match", "the engine does not have it; use regex.match or glob.match"),
    ("opa.runtime", "the environment is no part of a verdict; use params"),
    ("rand.intn", "a verdict is the same every time"),
    ("uuid.rfc4122", "a verdict is the same every time"),
    ("time.now_ns", "a replay must give the same verdict; use input.now with time.parse_rfc3339_ns"),
    ("trace", "use print, or `portcullis policy eval`"),
];

/// What a builtin takes, one letter an argument; `None`: as many as there are, or no builtin that may be called.
pub fn signature(name: &str) -> Option<&'static str> {
    let known = ALLOWED.iter().chain(SIGNATURES).find(|(known, _)| *known == name);
    known.map(|(_, takes)| *takes).filter(|_| name != "print")
}

/// How many arguments a builtin takes.
pub fn arity(name: &str) -> Option<usize> {
    signature(name).map(str::len)
}

/// Judges every call of a module. `functions` answers how many arguments a function of the bundle takes, by its path
/// below `data`.
pub fn check(file: &str, module: &Analysis, functions: Functions<'_>) -> Vec<Problem> {
    module
        .calls
        .iter()
        .filter_map(|call| judge(module, call, functions))
        .map(|(call, message)| Problem::at(file, call.place.0, call.place.1, message))
        .collect()
}

fn judge<'a>(module: &Analysis, call: &'a Call, functions: Functions<'_>) -> Option<(&'a Call, String)> {
    let name = call.name.as_str();
    if let Some(arity) = takes(module, name, functions) {
        return miscounted(call, arity);
    }
    // `f()` is the value of the rule `f`.
    let value = module.rules.iter().any(|rule| rule.form == Form::Value && rule.name == name);
    if call.given.is_empty() && value {
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
            let inconstant = (!constant).then(|| (call, format!("builtin `{name}`: {why}")));
            return inconstant.or_else(|| miscounted(call, arity(name)?));
        }
    }
    if ALLOWED.iter().any(|(known, _)| *known == name) {
        return miscounted(call, arity(name)?);
    }
    let own = module.rules.iter().filter(|rule| rule.form == Form::Function).map(|rule| rule.name.as_str());
    let meant = nearest(name, own.chain(allowed().map(|(name, _)| name)));
    let meant = meant.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
    Some((
        call,
        format!(
            "unknown function or builtin `{name}`; `portcullis policy builtins` lists what is allowed{meant}"
        ),
    ))
}

/// A call with too few or too many arguments; as a statement it may name its answer as one more.
fn miscounted(call: &Call, arity: usize) -> Option<(&Call, String)> {
    let given = call.given.len();
    if given == arity || (call.statement && given == arity + 1) {
        return (call.name == "walk" && given == arity).then(|| {
            (
                call,
                "`walk` answers many times, which the engine knows only as `walk(x, [path, value])`"
                    .to_owned(),
            )
        });
    }
    let plural = if arity == 1 { "" } else { "s" };
    Some((call, format!("`{}` takes {arity} argument{plural}, and is given {given}", call.name)))
}

/// How many arguments a function of a module or of the bundle takes, by its name as it is written.
pub fn takes(module: &Analysis, name: &str, functions: Functions<'_>) -> Option<usize> {
    let parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    let (first, rest) = parts.split_first()?;
    let own = module.rules.iter().find(|rule| rule.form == Form::Function && rule.path == parts);
    if let Some(own) = own {
        return Some(own.arity);
    }
    let imported = module.imports.iter().find(|(alias, _)| alias == first);
    let full = match imported {
        Some((_, path)) => path.iter().skip(1).cloned().chain(rest.iter().cloned()).collect(),
        None if first == "data" => rest.to_vec(),
        None => module.package.iter().cloned().chain(parts.iter().cloned()).collect(),
    };
    functions(&full)
}

/// Every builtin that may be called, in order, and the conditional ones.
pub fn allowed() -> impl Iterator<Item = (&'static str, &'static str)> {
    let bounded = BOUNDED.iter().map(|(name, _)| (*name, "with constant bounds"));
    let patterns = PATTERNS.iter().map(|(name, _)| (*name, "with a constant pattern"));
    let formats = FORMATS.iter().map(|(name, _)| (*name, "with a constant format"));
    ALLOWED.iter().map(|(name, _)| (*name, "")).chain(bounded).chain(formats).chain(patterns)
}

/// Every builtin that is refused by name, and why.
pub fn refused() -> impl Iterator<Item = (&'static str, &'static str)> {
    REFUSED.iter().copied()
}

#[cfg(test)]
mod tests;
