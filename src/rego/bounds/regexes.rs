//! Regular expressions: what is compiled is kept within bounds, and a text is searched within bounds.
//!
//! The engine's own cache counts patterns, not bytes, leaves the automata that a search builds unbounded in number, and
//! gives each call a fresh one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use regorus::Value;
use rustix::time::{ClockId, clock_gettime};

use super::pattern::{fits, states_of};
use super::re2::{own_name, template, translate};
use super::text::Text;
use super::{Built, Cost, TEXT, VALUE, charge};

/// Bytes of a compiled pattern, as the engine has it.
const COMPILED_MAX: usize = 100 << 10;
/// Bytes of the automaton that a search builds of it as it goes.
const AUTOMATON_MAX: usize = 128 << 10;
/// Patterns that are kept, and their states together.
const KEPT_MAX: usize = 256;
const KEPT_STATES_MAX: usize = 32 << 10;
/// Processor time that one call may search for: looking for all matches can take a search of the whole text for each.
const TIME_MAX: Duration = Duration::from_millis(250);

/// A pattern that is compiled. Shared, because a clone would begin with a fresh automaton.
struct Compiled {
    regex: Regex,
    states: usize,
}

#[derive(Default)]
struct Kept {
    patterns: HashMap<Box<str>, Arc<Compiled>>,
    states: usize,
}

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// `None` where the pattern is none.
fn compile(pattern: &str) -> Result<Option<Arc<Compiled>>, String> {
    fits(pattern)?;
    let known = KEPT.lock().unwrap_or_else(PoisonError::into_inner).patterns.get(pattern).cloned();
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
    let compiled = Arc::new(Compiled { regex, states: states_of(&translated) });
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.patterns.len() >= KEPT_MAX || kept.states.saturating_add(compiled.states) > KEPT_STATES_MAX {
        *kept = Kept::default();
    }
    if kept.patterns.insert(pattern.into(), Arc::clone(&compiled)).is_none() {
        kept.states = kept.states.saturating_add(compiled.states);
    }
    Ok(Some(compiled))
}

/// The pattern and the text of a call, when the one can be searched for in the other.
fn asked<'a>(
    name: &str,
    pattern: Option<&Value>,
    text: Option<&'a Value>,
) -> Result<(Arc<Compiled>, &'a str), String> {
    let (Some(Value::String(pattern)), Some(Value::String(text))) = (pattern, text) else {
        return Err(format!("builtin `{name}` takes texts"));
    };
    searched(name, pattern, text)
}

fn searched<'a>(name: &str, pattern: &str, text: &'a str) -> Result<(Arc<Compiled>, &'a str), String> {
    let Some(compiled) = compile(pattern)? else {
        return Err(format!("builtin `{name}` failed: invalid regex"));
    };
    charge(name, Cost::steps(compiled.states.saturating_mul(text.len())))?;
    Ok((compiled, text))
}

pub fn is_match(args: &[Value]) -> Result<Value, String> {
    let (compiled, text) = asked("regex.match", args.first(), args.get(1))?;
    Ok(Value::from(compiled.regex.is_match(text)))
}

pub fn is_valid(args: &[Value]) -> Result<Value, String> {
    match args.first() {
        Some(Value::String(pattern)) => Ok(Value::from(compile(pattern)?.is_some())),
        _ => Ok(Value::from(false)),
    }
}

/// How many matches are asked for; a negative number asks for all.
fn asked_for(name: &str, number: Option<&Value>) -> Result<usize, String> {
    match number.map(Value::as_i64) {
        Some(Ok(max)) => Ok(usize::try_from(max).unwrap_or(usize::MAX)),
        _ => Err(format!("builtin `{name}`: n must be an integer")),
    }
}

pub fn find(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.find_n";
    let (compiled, text) = asked(NAME, args.first(), args.get(1))?;
    let mut pieces = Pieces::new(NAME);
    for found in compiled.regex.find_iter(text).take(asked_for(NAME, args.get(2))?) {
        pieces.push(found.as_str())?;
    }
    pieces.done()
}

/// Each match as a list: all of it, and what each group holds, which is no text where the group took no part.
pub fn submatches(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.find_all_string_submatch_n";
    let (compiled, text) = asked(NAME, args.first(), args.get(1))?;
    let mut pieces = Pieces::new(NAME);
    for captures in compiled.regex.captures_iter(text).take(asked_for(NAME, args.get(2))?) {
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

/// A template's patterns are one pattern, as OPA makes it (`v1/topdown/regex_template.go`). `regorus` 0.14.1 searches for
/// each pattern alone, ends it at the first closing delimiter, and panics on a text that is shorter than the template.
pub fn template_match(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.template_match";
    let texts: Vec<&str> = args
        .iter()
        .filter_map(|arg| if let Value::String(text) = arg { Some(&**text) } else { None })
        .collect();
    let [written, text, start, end] = *texts.as_slice() else {
        return Err(format!("builtin `{NAME}` takes texts"));
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

/// As Go splits: what is blank before a match at the start is left out, and so is what follows one at the end that is blank.
pub fn split(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.split";
    let (compiled, text) = asked(NAME, args.first(), args.get(1))?;
    let mut pieces = Pieces::new(NAME);
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

pub fn replace(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.replace";
    let (compiled, text) = asked(NAME, args.get(1), args.first())?;
    let Some(Value::String(new)) = args.get(2) else {
        return Err(format!("builtin `{NAME}` takes texts"));
    };
    let plan = plan(new);
    let mut built = Built::new(NAME);
    let mut made = Text::new(&mut built);
    let mut clock = Clock::new(NAME);
    let mut at = 0;
    for captures in compiled.regex.captures_iter(text) {
        clock.look()?;
        let Some(found) = captures.get(0) else { continue };
        made.push(text.get(at..found.start()).unwrap_or_default())?;
        at = found.end();
        for part in &plan {
            let group = match part {
                Part::Text(text) => {
                    made.push(text)?;
                    continue;
                }
                Part::Group(number) => captures.get(*number),
                Part::Named(name) => captures.name(name),
            };
            made.push(group.map_or("", |group| group.as_str()))?;
        }
    }
    made.push(text.get(at..).unwrap_or_default())?;
    made.done()
}

/// A piece of a replacement.
enum Part<'t> {
    Text(&'t str),
    Group(usize),
    Named(String),
}

/// `$1`, `${name}` and `$$` as Go's `Regexp.Expand` reads them: a name is as long as it can be.
fn plan(mut new: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    while let Some((before, after)) = new.split_once('$') {
        parts.push(Part::Text(before));
        if let Some(rest) = after.strip_prefix('$') {
            parts.push(Part::Text("$"));
            new = rest;
            continue;
        }
        let named = after.strip_prefix('{').unwrap_or(after);
        let end = named.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(named.len());
        let (name, rest) = named.split_at_checked(end).unwrap_or((named, ""));
        let rest = if named.len() == after.len() { Some(rest) } else { rest.strip_prefix('}') };
        let Some(rest) = rest.filter(|_| !name.is_empty()) else {
            parts.push(Part::Text("$"));
            new = after;
            continue;
        };
        let number =
            name.bytes().all(|byte| byte.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
        parts.push(if number {
            Part::Group(name.parse().unwrap_or(usize::MAX))
        } else {
            Part::Named(own_name(name))
        });
        new = rest;
    }
    parts.push(Part::Text(new));
    parts
}

/// Parts of a text, as a list.
struct Pieces {
    built: Built,
    clock: Clock,
    found: Vec<Value>,
}

impl Pieces {
    fn new(name: &'static str) -> Self {
        Self { built: Built::new(name), clock: Clock::new(name), found: Vec::new() }
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

struct Clock {
    name: &'static str,
    started: Duration,
    looked: u32,
}

impl Clock {
    fn new(name: &'static str) -> Self {
        Self { name, started: processor_time(), looked: 0 }
    }

    /// Each look is a search, and one in sixteen asks the clock.
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

/// Processor time of this thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// States of all patterns that are kept.
#[cfg(test)]
pub fn kept() -> usize {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).states
}
