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
use super::text::Text;
use super::{Built, Cost, TEXT, charge};

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
    let built = RegexBuilder::new(pattern).size_limit(COMPILED_MAX).dfa_size_limit(AUTOMATON_MAX).build();
    let regex = match built {
        Ok(regex) => regex,
        Err(regex::Error::CompiledTooBig(limit)) => {
            return Err(format!("a pattern is not compiled: it would take more than {limit} bytes"));
        }
        Err(_) => return Ok(None),
    };
    let compiled = Arc::new(Compiled { regex, states: states_of(pattern) });
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

pub fn find(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.find_n";
    let (compiled, text) = asked(NAME, args.first(), args.get(1))?;
    let max = match args.get(2).map(Value::as_i64) {
        Some(Ok(max)) => usize::try_from(max).unwrap_or(usize::MAX),
        _ => return Err(format!("builtin `{NAME}`: n must be an integer")),
    };
    let mut pieces = Pieces::new(NAME);
    for found in compiled.regex.find_iter(text).take(max) {
        pieces.push(found.as_str())?;
    }
    pieces.done()
}

pub fn split(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.split";
    let (compiled, text) = asked(NAME, args.first(), args.get(1))?;
    let mut pieces = Pieces::new(NAME);
    for piece in compiled.regex.split(text) {
        pieces.push(piece)?;
    }
    pieces.done()
}

pub fn replace(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "regex.replace";
    let (compiled, text) = asked(NAME, args.get(1), args.first())?;
    let Some(Value::String(new)) = args.get(2) else {
        return Err(format!("builtin `{NAME}` takes texts"));
    };
    // Each `$` may stand for the whole match.
    let references = new.bytes().filter(|byte| *byte == b'$').count();
    let mut built = Built::new(NAME);
    let mut made = Text::new(&mut built);
    let mut clock = Clock::new(NAME);
    let mut at = 0;
    let mut piece = String::new();
    for captures in compiled.regex.captures_iter(text) {
        clock.look()?;
        let Some(found) = captures.get(0) else { continue };
        made.push(text.get(at..found.start()).unwrap_or_default())?;
        at = found.end();
        if references == 0 {
            made.push(new)?;
            continue;
        }
        let longest = new.len().saturating_add(references.saturating_mul(found.len()));
        charge_alone(NAME, longest)?;
        piece.clear();
        captures.expand(new, &mut piece);
        made.push(&piece)?;
    }
    made.push(text.get(at..).unwrap_or_default())?;
    made.done()
}

/// Whether a piece fits into a call, before it is made.
fn charge_alone(name: &str, bytes: usize) -> Result<(), String> {
    if bytes > super::CALL_BYTES_MAX { charge(name, Cost { bytes, steps: 0 }) } else { Ok(()) }
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
