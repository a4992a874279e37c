//! The builtins that a policy may call, and checks of calls when a policy is loaded, the same for both engines.
//!
//! Only pure functions of their arguments are allowed: no network, clock, environment or randomness, so that a replay
//! gives the same verdict. Builtins whose memory grows with a number need constant bounds, because a budget is checked
//! between instructions and never inside a builtin.

use serde_json::Value as Json;

use crate::analysis::{Analysis, Call, Form};
use crate::did_you_mean::nearest;
use crate::source::{Problem, last_line};
use crate::syntax::Flaw;

/// How many arguments a function takes, by its path below `data`; `None` if it is no function.
pub type Functions<'f> = &'f dyn Fn(&[String]) -> Option<usize>;

/// Signatures: `s` string, `n` number, `a` array, `o` object, `t` set, `@` array or set, `c` any of these but a number,
/// `*` anything.
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

/// Builtins whose memory grows with a number: these arguments must be constants.
const BOUNDED: &[(&str, &[usize])] =
    &[("bits.lsh", &[1]), ("numbers.range", &[0, 1]), ("numbers.range_step", &[0, 1, 2])];

/// Builtins that return undefined for an invalid pattern: this argument must be constant, so that it is checked at load.
const PATTERNS: &[(&str, &[usize])] = &[("regex.replace", &[1])];

/// Builtins that pad a number as wide as a string says, `%4000000000d`: this argument must be constant.
const FORMATS: &[(&str, &[usize])] = &[("sprintf", &[0])];

/// Signatures of builtins with constant arguments.
const SIGNATURES: &[(&str, &str)] = &[
    ("bits.lsh", "nn"),
    ("numbers.range", "nn"),
    ("numbers.range_step", "nnn"),
    ("regex.replace", "sss"),
    ("sprintf", "sa"),
];

const REFUSED: &[(&str, &str)] = &[
    ("http.send", "a review never waits for the network; put the data into params or the snapshot"),
    ("net.lookup_ip_addr", "a review never waits for the network"),
    ("net.cidr_expand", "a short prefix exhausts memory; use net.cidr_contains"),
    ("regex.globs_match", "the engine does not have it; use regex.match or glob.match"),
    ("opa.runtime", "a verdict must not depend on the environment; use params"),
    ("rand.intn", "a verdict must not be random"),
    ("uuid.rfc4122", "a verdict must not be random"),
    ("time.now_ns", "a replay must give the same verdict; use input.now with time.parse_rfc3339_ns"),
    ("trace", "use print, or `portcullis policy eval`"),
];

/// The signature of a builtin, a letter per argument; `None` for any number of arguments or a builtin that is not allowed.
pub fn signature(name: &str) -> Option<&'static str> {
    let known = ALLOWED.iter().chain(SIGNATURES).find(|(known, _)| *known == name);
    known.map(|(_, takes)| *takes).filter(|_| name != "print")
}

pub fn arity(name: &str) -> Option<usize> {
    signature(name).map(str::len)
}

/// Checks every call of a module.
pub fn check(file: &str, module: &Analysis, functions: Functions<'_>) -> Vec<Problem> {
    module
        .calls
        .iter()
        .filter_map(|call| check_call(module, call, functions))
        .map(|(call, message)| Problem::at(file, call.location.0, call.location.1, message))
        .collect()
}

fn check_call<'a>(module: &Analysis, call: &'a Call, functions: Functions<'_>) -> Option<(&'a Call, String)> {
    let name = call.name.as_str();
    if let Some(arity) = function_arity(module, name, functions) {
        return miscounted(call, arity);
    }
    // `f()` is the value of rule `f`.
    let value = module.rules.iter().any(|rule| rule.form == Form::Value && rule.name == name);
    if call.arguments.is_empty() && value {
        return None;
    }
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Some((call, format!("builtin `{name}` is refused: {why}")));
    }
    for (table, why) in [
        (BOUNDED, "its bounds must be constant numbers, or a tenant's number could exhaust memory"),
        (
            FORMATS,
            "its format must be a constant string, or a width in a tenant's string could exhaust memory",
        ),
        (PATTERNS, "its pattern must be a constant string, or an invalid pattern would go unnoticed"),
    ] {
        if let Some((_, indexes)) = table.iter().find(|(known, _)| *known == name) {
            let constant = indexes.iter().all(|index| call.constant.get(*index).copied().unwrap_or(false));
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

/// A call with the wrong number of arguments; as a statement it may have one more, which takes the result.
fn miscounted(call: &Call, arity: usize) -> Option<(&Call, String)> {
    let given = call.arguments.len();
    if given == arity || (call.statement && given == arity + 1) {
        return (call.name == "walk" && given == arity).then(|| {
            (
                call,
                "`walk` has many results, which the engine supports only as `walk(x, [path, value])`"
                    .to_owned(),
            )
        });
    }
    let plural = if arity == 1 { "" } else { "s" };
    Some((call, format!("`{}` takes {arity} argument{plural}, but got {given}", call.name)))
}

/// How many arguments a function of the module or the bundle takes, by its name as written.
pub fn function_arity(module: &Analysis, name: &str, functions: Functions<'_>) -> Option<usize> {
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

/// Every builtin that is allowed, with the condition if it has one.
pub fn allowed() -> impl Iterator<Item = (&'static str, &'static str)> {
    let bounded = BOUNDED.iter().map(|(name, _)| (*name, "with constant bounds"));
    let patterns = PATTERNS.iter().map(|(name, _)| (*name, "with a constant pattern"));
    let formats = FORMATS.iter().map(|(name, _)| (*name, "with a constant format"));
    ALLOWED.iter().map(|(name, _)| (*name, "")).chain(bounded).chain(formats).chain(patterns)
}

/// Every builtin that is refused by name, with the reason.
pub fn refused() -> impl Iterator<Item = (&'static str, &'static str)> {
    REFUSED.iter().copied()
}

fn type_of_letter(letter: char) -> &'static str {
    match letter {
        's' => "a string",
        'n' => "a number",
        'b' => "a boolean",
        'a' => "an array",
        'o' => "an object",
        't' => "a set",
        '@' => "an array or a set",
        _ => "a collection or a string",
    }
}

/// Checks constant arguments of builtins: types, patterns, formats. Functions of policies are not checked here.
pub(crate) fn check_arguments(calls: &[Call]) -> Vec<Flaw> {
    calls
        .iter()
        .filter_map(|call| Some(Flaw { location: call.location, message: check_call_arguments(call)? }))
        .collect()
}

fn check_call_arguments(call: &Call) -> Option<String> {
    let name = call.name.as_str();
    let takes = signature(name)?;
    for (at, (letter, given)) in takes.chars().zip(&call.arguments).enumerate() {
        if !given.fits(letter) {
            let kind = given.kind.unwrap_or_default();
            return Some(format!(
                "argument {} of `{name}` must be {}, but is {kind}",
                at + 1,
                type_of_letter(letter)
            ));
        }
    }
    let text = |at: usize| call.arguments.get(at).and_then(|given| given.text.as_deref());
    match name {
        "sprintf" => format(text(0)?, call.arguments.get(1).and_then(|given| given.items)),
        "regex.match" | "regex.split" | "regex.find_n" => pattern(text(0)?),
        "regex.replace" => pattern(text(1)?),
        "glob.match" => glob(text(0)?),
        _ => None,
    }
}

fn pattern(text: &str) -> Option<String> {
    let refused = engine_error(&format!("regex.match({}, \"\")", Json::from(text)))?;
    let hint = if text.contains("(?") { "; look-around is not supported" } else { "" };
    Some(format!("`{text}` is not a valid regular expression: {refused}{hint}"))
}

fn glob(text: &str) -> Option<String> {
    let refused = engine_error(&format!("glob.match({}, [], \"\")", Json::from(text)))?;
    Some(format!("`{text}` is not a valid glob: {refused}"))
}

/// The engine's error for a query.
fn engine_error(query: &str) -> Option<String> {
    let mut engine = regorus::Engine::new();
    engine.set_strict_builtin_errors(true);
    let refused = engine.eval_query(query.to_owned(), false).err()?;
    let message = last_line(&format!("{refused:#}"));
    Some(message.trim_start_matches("error:").trim().to_owned())
}

const VERBS: &str = "svbcdoOxXeEfFgGq";

fn format(text: &str, given: Option<usize>) -> Option<String> {
    let (mut verbs, mut letters) = (0, text.chars());
    while let Some(letter) = letters.next() {
        if letter != '%' {
            continue;
        }
        let mut verb = letters.next();
        if verb == Some('%') {
            continue;
        }
        if verb.is_some_and(|letter| letter == '.' || letter.is_numeric()) {
            verb = letters.find(|letter| !letter.is_numeric());
        }
        if verb == Some('+') {
            verb = letters.next().filter(|letter| *letter == 'v').or(Some('+'));
        }
        match verb {
            Some('.') => {
                return Some("sprintf takes a width or a precision, not both: `%5s` or `%.2f`".to_owned());
            }
            Some(verb) if VERBS.contains(verb) => verbs += 1,
            Some(verb) => {
                return Some(format!(
                    "`%{verb}` is not a verb of sprintf; use %s, %d, %v, or %% for a percent sign"
                ));
            }
            None => {
                return Some(
                    "the format of sprintf ends in the middle of a verb; write %% for a percent sign"
                        .to_owned(),
                );
            }
        }
    }
    let given = given.filter(|given| *given != verbs)?;
    let plural = if verbs == 1 { "" } else { "s" };
    Some(format!("the format of sprintf has {verbs} verb{plural}, but got {given}"))
}

#[cfg(test)]
mod tests;
