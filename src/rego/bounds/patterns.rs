//! Regular expressions and globs: what is compiled is cached within bounds, and a string is searched within bounds.
//!
//! The engine's own cache counts patterns, not bytes, does not bound the automata that a search builds, and gives each
//! call a fresh one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};
use regorus::Value;

use super::cost::{ByteCounter, Cost, GLOB_BYTES_MAX, PATTERN_BYTES_MAX, TEXT, VALUE, charge, each, text_at};
use super::re2::{group_name, template, translate};
use super::text::StringBuilder;
use crate::budget::processor_time;

/// Bytes of a compiled pattern, the engine's limit.
const COMPILED_MAX: usize = 100 << 10;
/// Bytes of the lazy automaton of a search.
const AUTOMATON_MAX: usize = 128 << 10;
/// How many patterns are cached, and their states together.
const CACHED_MAX: usize = 256;
const CACHED_STATES_MAX: usize = 32 << 10;
/// Processor time of one call: finding all matches may take a search of the whole string for each.
const TIME_MAX: Duration = Duration::from_millis(250);

/// A compiled pattern. It is shared, because a clone starts with a fresh automaton.
struct CompiledPattern {
    regex: Regex,
    states: usize,
}

#[derive(Default)]
struct PatternCache {
    patterns: HashMap<Box<str>, Arc<CompiledPattern>>,
    states: usize,
}

static CACHE: LazyLock<Mutex<PatternCache>> = LazyLock::new(Mutex::default);

/// Compiles or takes from the cache; `None` for an invalid pattern.
fn compile(pattern: &str) -> Result<Option<Arc<CompiledPattern>>, String> {
    fits(pattern)?;
    let known = CACHE.lock().unwrap_or_else(PoisonError::into_inner).patterns.get(pattern).cloned();
    if known.is_some() {
        return Ok(known);
    }
    let Some(translated) = translate(pattern) else { return Ok(None) };
    let built = RegexBuilder::new(&translated).size_limit(COMPILED_MAX).dfa_size_limit(AUTOMATON_MAX).build();
    let regex = match built {
        Ok(regex) => regex,
        Err(regex::Error::CompiledTooBig(limit)) => {
            return Err(format!("a pattern is not compiled: it would take more than {limit} bytes"));
        }
        Err(_) => return Ok(None),
    };
    let compiled = Arc::new(CompiledPattern { regex, states: states_of(&translated) });
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.patterns.len() >= CACHED_MAX || cache.states.saturating_add(compiled.states) > CACHED_STATES_MAX
    {
        *cache = PatternCache::default();
    }
    if cache.patterns.insert(pattern.into(), Arc::clone(&compiled)).is_none() {
        cache.states = cache.states.saturating_add(compiled.states);
    }
    Ok(Some(compiled))
}

/// The pattern and the string of a call, if the search is within bounds.
fn pattern_and_text<'a>(
    name: &str,
    pattern: Option<&Value>,
    text: Option<&'a Value>,
) -> Result<(Arc<CompiledPattern>, &'a str), String> {
    let (Some(Value::String(pattern)), Some(Value::String(text))) = (pattern, text) else {
        return Err(format!("builtin `{name}` takes strings"));
    };
    searched(name, pattern, text)
}

fn searched<'a>(name: &str, pattern: &str, text: &'a str) -> Result<(Arc<CompiledPattern>, &'a str), String> {
    let Some(compiled) = compile(pattern)? else {
        return Err(format!("builtin `{name}` failed: invalid regex"));
    };
    charge(name, Cost::steps(compiled.states.saturating_mul(text.len())))?;
    Ok((compiled, text))
}

pub(crate) fn is_match(args: &[Value]) -> Result<Value, String> {
    let (compiled, text) = pattern_and_text("regex.match", args.first(), args.get(1))?;
    Ok(Value::from(compiled.regex.is_match(text)))
}

pub(crate) fn is_valid(args: &[Value]) -> Result<Value, String> {
    match args.first() {
        Some(Value::String(pattern)) => Ok(Value::from(compile(pattern)?.is_some())),
        _ => Ok(Value::from(false)),
    }
}

/// How many matches the call wants; a negative number is all.
fn match_limit(name: &str, number: Option<&Value>) -> Result<usize, String> {
    match number.map(Value::as_i64) {
        Some(Ok(max)) => Ok(usize::try_from(max).unwrap_or(usize::MAX)),
        _ => Err(format!("builtin `{name}`: n must be an integer")),
    }
}

pub(crate) fn find(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.find_n";
    let (compiled, text) = pattern_and_text(NAME, args.first(), args.get(1))?;
    let mut pieces = PieceList::new(NAME);
    for found in compiled.regex.find_iter(text).take(match_limit(NAME, args.get(2))?) {
        pieces.push(found.as_str())?;
    }
    pieces.done()
}

/// Each match as an array: the whole match and each group, `""` for a group that took no part.
pub(crate) fn submatches(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.find_all_string_submatch_n";
    let (compiled, text) = pattern_and_text(NAME, args.first(), args.get(1))?;
    let mut pieces = PieceList::new(NAME);
    for captures in compiled.regex.captures_iter(text).take(match_limit(NAME, args.get(2))?) {
        pieces.clock.look()?;
        pieces.built.add(VALUE)?;
        let mut groups = Vec::new();
        for group in captures.iter() {
            let group = group.map_or("", |group| group.as_str());
            pieces.built.add(TEXT + group.len())?;
            groups.push(Value::from(group));
        }
        pieces.found.push(Value::from(groups));
    }
    pieces.done()
}

/// A template becomes one pattern, as in OPA (`v1/topdown/regex_template.go`). `regorus` 0.14.1 searches for each part
/// alone, ends a part at the first closing delimiter, and panics on a string shorter than the template.
pub(crate) fn template_match(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.template_match";
    let texts: Vec<&str> = args
        .iter()
        .filter_map(|arg| if let Value::String(text) = arg { Some(&**text) } else { None })
        .collect();
    let [written, text, start, end] = *texts.as_slice() else {
        return Err(format!("builtin `{NAME}` takes strings"));
    };
    let ([start], [end]) = (start.as_bytes(), end.as_bytes()) else {
        return Err(format!("builtin `{NAME}` takes delimiters of one byte"));
    };
    fits(written)?;
    let pattern =
        template(written, *start, *end).ok_or_else(|| format!("builtin `{NAME}` failed: invalid regex"))?;
    let (compiled, text) = searched(NAME, &pattern, text)?;
    Ok(Value::from(compiled.regex.is_match(text)))
}

/// Splits as Go does: an empty piece before a match at the start or after one at the end is left out.
pub(crate) fn split(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.split";
    let (compiled, text) = pattern_and_text(NAME, args.first(), args.get(1))?;
    let mut pieces = PieceList::new(NAME);
    if text.is_empty() && !compiled.regex.as_str().is_empty() {
        pieces.push("")?;
        return pieces.done();
    }
    let (mut from, mut end) = (0, 0);
    for found in compiled.regex.find_iter(text) {
        end = found.start();
        if found.end() != 0 {
            pieces.push(text.get(from..end).unwrap_or_default())?;
        }
        from = found.end();
    }
    if end != text.len() {
        pieces.push(text.get(from..).unwrap_or_default())?;
    }
    pieces.done()
}

pub(crate) fn replace(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.replace";
    let (compiled, text) = pattern_and_text(NAME, args.get(1), args.first())?;
    let Some(Value::String(new)) = args.get(2) else {
        return Err(format!("builtin `{NAME}` takes strings"));
    };
    let plan = plan(new);
    let mut built = ByteCounter::new(NAME);
    let mut made = StringBuilder::new(&mut built);
    let mut clock = SearchClock::new(NAME);
    let mut at = 0;
    for captures in compiled.regex.captures_iter(text) {
        clock.look()?;
        let Some(found) = captures.get(0) else { continue };
        made.push(text.get(at..found.start()).unwrap_or_default())?;
        at = found.end();
        for part in &plan {
            let group = match part {
                ReplacementPart::Text(text) => {
                    made.push(text)?;
                    continue;
                }
                ReplacementPart::Group(number) => captures.get(*number),
                ReplacementPart::Named(name) => captures.name(name),
            };
            made.push(group.map_or("", |group| group.as_str()))?;
        }
    }
    made.push(text.get(at..).unwrap_or_default())?;
    made.done()
}

enum ReplacementPart<'t> {
    Text(&'t str),
    Group(usize),
    Named(String),
}

/// Parses `$1`, `${name}` and `$$` as Go's `Regexp.Expand`: names are as long as possible.
fn plan(mut new: &str) -> Vec<ReplacementPart<'_>> {
    let mut parts = Vec::new();
    while let Some((before, after)) = new.split_once('$') {
        parts.push(ReplacementPart::Text(before));
        if let Some(rest) = after.strip_prefix('$') {
            parts.push(ReplacementPart::Text("$"));
            new = rest;
            continue;
        }
        let named = after.strip_prefix('{').unwrap_or(after);
        let end = named.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(named.len());
        let (name, rest) = named.split_at_checked(end).unwrap_or((named, ""));
        let rest = if named.len() == after.len() { Some(rest) } else { rest.strip_prefix('}') };
        let Some(rest) = rest.filter(|_| !name.is_empty()) else {
            parts.push(ReplacementPart::Text("$"));
            new = after;
            continue;
        };
        let number =
            name.bytes().all(|byte| byte.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
        parts.push(if number {
            ReplacementPart::Group(name.parse().unwrap_or(usize::MAX))
        } else {
            ReplacementPart::Named(group_name(name))
        });
        new = rest;
    }
    parts.push(ReplacementPart::Text(new));
    parts
}

/// Collects pieces of a string.
struct PieceList {
    built: ByteCounter,
    clock: SearchClock,
    found: Vec<Value>,
}

impl PieceList {
    fn new(name: &'static str) -> Self {
        Self { built: ByteCounter::new(name), clock: SearchClock::new(name), found: Vec::new() }
    }

    fn push(&mut self, piece: &str) -> Result<(), String> {
        self.clock.look()?;
        self.built.add(TEXT + piece.len())?;
        self.found.push(Value::from(piece));
        Ok(())
    }

    fn done(mut self) -> Result<Value, String> {
        self.built.end()?;
        Ok(Value::from(self.found))
    }
}

struct SearchClock {
    name: &'static str,
    started: Duration,
    looked: u32,
}

impl SearchClock {
    fn new(name: &'static str) -> Self {
        Self { name, started: processor_time(), looked: 0 }
    }

    /// Called per match; every sixteenth call reads the clock.
    fn look(&mut self) -> Result<(), String> {
        self.looked = self.looked.wrapping_add(1);
        if !self.looked.is_multiple_of(16) {
            return Ok(());
        }
        if processor_time().saturating_sub(self.started) > TIME_MAX {
            return Err(format!("builtin `{}` was stopped after {TIME_MAX:?}", self.name));
        }
        Ok(())
    }
}

/// States of all cached patterns.
#[cfg(test)]
pub(crate) fn cached_states() -> usize {
    CACHE.lock().unwrap_or_else(PoisonError::into_inner).states
}

/// Delimiters of a glob.
const DELIMITERS_MAX: usize = 16;
/// States per character of a glob.
const GLOB_STATES: usize = 8;

/// In the worst case each state is tried on each byte.
pub(crate) fn glob(args: &[Value]) -> Result<Cost, String> {
    let (pattern, text) = (text_at(args, 0), text_at(args, 2));
    if pattern.len() > GLOB_BYTES_MAX {
        return Err(format!(
            "a glob of {} bytes is not read; at most {GLOB_BYTES_MAX} are allowed",
            pattern.len()
        ));
    }
    // OPA matches it with the empty string, the engine with no string.
    if ["{,", ",,", ",}", "{}"].iter().any(|empty| pattern.contains(empty)) {
        return Err(format!(
            "an empty alternative in the glob `{pattern}` is not supported; write two globs"
        ));
    }
    let mut delimiters = 0;
    each(args.get(1), |_| delimiters += 1);
    if delimiters > DELIMITERS_MAX {
        return Err(format!("`glob.match` takes at most {DELIMITERS_MAX} delimiters, but got {delimiters}"));
    }
    let longer = text.len().saturating_mul(1 + 2 * delimiters);
    let states = pattern.len().saturating_mul(GLOB_STATES * (1 + 2 * delimiters));
    Ok(Cost { bytes: longer, steps: states.saturating_mul(longer) })
}

/// Checks the length of a regular expression.
pub(crate) fn fits(pattern: &str) -> Result<(), String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "a pattern of {} bytes is not compiled; at most {PATTERN_BYTES_MAX} are allowed",
            pattern.len()
        ));
    }
    Ok(())
}

/// An estimate of the states of a compiled pattern; an invalid one counts its bytes.
pub(crate) fn states_of(pattern: &str) -> usize {
    regex_syntax::parse(pattern).map_or(pattern.len(), |hir| states(&hir))
}

fn states(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) => 4,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            states(&repetition.sub)
                .saturating_mul(usize::try_from(times).unwrap_or(usize::MAX))
                .saturating_add(1)
        }
        HirKind::Capture(capture) => states(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().fold(1, |sum, part| sum.saturating_add(states(part)))
        }
    }
}
