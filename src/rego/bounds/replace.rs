//! `strings.replace_n`, as Go's `strings.NewReplacer` works.
//!
//! `regorus` 0.14.1 (`builtins/strings.rs`) replaces one text after the other, each in what the one before made. OPA goes
//! through the text once: at each place the first key in order that stands there is replaced, and what it put is left alone.

use regorus::Value;

use super::text::Text;
use super::{Built, Cost, charge};

const NAME: &str = "strings.replace_n";

pub fn replace_n(args: &[Value]) -> Result<Value, String> {
    let (Some(Value::Object(pairs)), Some(Value::String(text))) = (args.first(), args.get(1)) else {
        return Err(format!("builtin `{NAME}` takes an object and a text"));
    };
    let mut known: Vec<(&str, &str)> = Vec::new();
    for (old, new) in pairs.iter_sorted() {
        let (Value::String(old), Value::String(new)) = (old, new) else {
            return Err(format!("builtin `{NAME}` takes texts as keys and values"));
        };
        // A key that begins with one before it never comes into play: that one stands at the same place.
        if known.last().is_none_or(|(before, _)| before.is_empty() || !old.starts_with(before)) {
            known.push((old, new));
        }
    }
    let blank = known.first().filter(|(old, _)| old.is_empty()).map(|(_, new)| *new);
    if blank.is_some() {
        known.remove(0);
    }
    if blank.is_some() && !text.is_ascii() {
        return Err(format!("builtin `{NAME}` replaces no text in letters outside ASCII: it would cut them"));
    }
    let longest = known.iter().map(|(old, _)| old.len()).max().unwrap_or(0);
    let halvings = usize::try_from(known.len().checked_ilog2().unwrap_or(0)).unwrap_or(0) + 1;
    charge(NAME, Cost::steps(text.len().saturating_mul(halvings).saturating_mul(1 + longest / 16)))?;
    replaced(text, &known, blank)
}

/// What stands at a place, found by halving: no key begins with another, so it is the last one that is not beyond.
fn standing<'k>(known: &[(&'k str, &'k str)], rest: &str) -> Option<(&'k str, &'k str)> {
    let beyond = known.partition_point(|(old, _)| *old <= rest);
    let (old, new) = *known.get(beyond.checked_sub(1)?)?;
    rest.starts_with(old).then_some((old, new))
}

fn replaced(text: &str, known: &[(&str, &str)], blank: Option<&str>) -> Result<Value, String> {
    let mut built = Built::new(NAME);
    let mut made = Text::new(&mut built);
    let (mut from, mut at, mut after_blank) = (0, 0, false);
    while let Some(rest) = text.get(at..) {
        // The blank key comes first in order, but not twice at one place.
        let found = match blank {
            Some(new) if !after_blank => Some(("", new)),
            _ => standing(known, rest),
        };
        after_blank = found.is_some_and(|(old, _)| old.is_empty());
        if let Some((old, new)) = found {
            made.push(text.get(from..at).unwrap_or_default())?;
            made.push(new)?;
            at += old.len();
            from = at;
            continue;
        }
        at += rest.chars().next().map_or(1, char::len_utf8);
    }
    made.push(text.get(from..).unwrap_or_default())?;
    made.done()
}
