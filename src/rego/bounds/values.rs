//! Builtins over lists, sets, maps and numbers.

use std::collections::BTreeSet;

use regorus::Value;
use regorus::value::Object;

use super::{CALL_BYTES_MAX, Cost, ENTRY, STEPS_MAX, VALUE, each};

/// Bits of a product, and of a number that is shifted.
const BITS_MAX: usize = 16 << 10;

/// How many members a list, a set or a map has.
fn len(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Set(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => 0,
    }
}

/// As many members as the arguments have together; what a member holds is shared.
pub fn elements(args: &[Value]) -> Cost {
    let count = args.iter().map(len).fold(0, usize::saturating_add);
    let one = if matches!(args.first(), Some(Value::Array(_))) { VALUE } else { ENTRY };
    Cost::bytes(count.saturating_mul(one))
}

/// Each union copies what the ones before it made.
pub fn union_all(args: &[Value]) -> Cost {
    let (mut count, mut steps) = (0_usize, 0_usize);
    each(args.first(), |part| {
        count = count.saturating_add(nested(part));
        steps = steps.saturating_add(count.saturating_mul(4));
    });
    Cost { bytes: count.saturating_mul(ENTRY), steps }
}

/// The members of a map and of the maps in it, since a union goes into both.
fn nested(value: &Value) -> usize {
    match value {
        Value::Object(entries) => {
            entries.iter().fold(entries.len(), |sum, (_, value)| sum.saturating_add(nested(value)))
        }
        other => len(other),
    }
}

/// Each step keeps no more than the one before.
pub fn intersection(args: &[Value]) -> Cost {
    let mut smallest = None;
    let mut steps = 0_usize;
    each(args.first(), |part| {
        smallest = Some(smallest.map_or(len(part), |least: usize| least.min(len(part))));
        steps = steps.saturating_add(len(part).saturating_mul(4));
    });
    Cost { bytes: smallest.unwrap_or(0).saturating_mul(ENTRY), steps }
}

/// Both maps, and where both have a map under one key, that too.
pub fn union(args: &[Value]) -> Cost {
    let (Some(Value::Object(one)), Some(Value::Object(other))) = (args.first(), args.get(1)) else {
        return Cost::default();
    };
    Cost::bytes(merged(one, other).saturating_mul(ENTRY))
}

fn merged(one: &Object, other: &Object) -> usize {
    let here = one.len().saturating_add(other.len());
    other.iter().fold(here, |sum, (key, value)| match (one.get(key), value) {
        (Some(Value::Object(one)), Value::Object(other)) => sum.saturating_add(merged(one, other)),
        _ => sum,
    })
}

/// `object.subset` as OPA has it (1.22.0, `v1/topdown/object.go`). Of an empty list the engine panics, and it takes a set
/// for a part of a list wherever they stand (regorus 0.14.1, `builtins/objects.rs`).
///
/// # Errors
/// Two kinds that OPA does not compare; the engine would say that one is no part of the other.
pub fn subset(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "object.subset";
    let (Some(whole), Some(part)) = (args.first(), args.get(1)) else {
        return Err(format!("builtin `{NAME}` takes two arguments"));
    };
    let of_one_kind = matches!(
        (whole, part),
        (Value::Object(_), Value::Object(_))
            | (Value::Set(_), Value::Set(_))
            | (Value::Array(_), Value::Array(_))
    );
    if !of_one_kind && !matches!((whole, part), (Value::Array(_), Value::Set(_))) {
        return Err(format!("builtin `{NAME}` takes two of one kind, or a list and a set"));
    }
    super::charge(NAME, Cost { bytes: len(whole).saturating_mul(ENTRY), steps: windows(whole, part) })?;
    Ok(Value::from(match (whole, part) {
        (Value::Array(whole), Value::Set(part)) => {
            let whole: BTreeSet<&Value> = whole.iter().collect();
            part.iter().all(|item| whole.contains(item))
        }
        _ => holds(whole, part),
    }))
}

fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, part)| whole.get(key).is_some_and(|whole| holds(whole, part)))
        }
        (Value::Set(whole), Value::Set(part)) => part.is_subset(whole),
        (Value::Array(whole), Value::Array(part)) => {
            part.is_empty() || whole.as_slice().windows(part.len()).any(|window| window == part.as_slice())
        }
        (whole, part) => whole == part,
    }
}

fn windows(whole: &Value, part: &Value) -> usize {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().fold(part.len(), |sum, (key, part)| {
            sum.saturating_add(whole.get(key).map_or(0, |whole| windows(whole, part)))
        }),
        (Value::Array(whole), Value::Array(part)) => whole
            .len()
            .saturating_mul(part.iter().fold(1, |sum, item| sum.saturating_add(nodes(item, STEPS_MAX)))),
        _ => len(whole).saturating_add(len(part)),
    }
}

/// How many values there are in a value, itself included, as far as `max`.
pub fn nodes(value: &Value, max: usize) -> usize {
    let mut count = 1_usize;
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        count = count.saturating_add(len(value));
        if count > max {
            break;
        }
        match value {
            Value::Array(items) => waiting.extend(items.iter().filter(|item| len(item) > 0)),
            Value::Set(items) => waiting.extend(items.iter().filter(|item| len(item) > 0)),
            Value::Object(entries) => {
                waiting.extend(
                    entries.iter().flat_map(|(key, value)| [key, value]).filter(|item| len(item) > 0),
                );
            }
            _ => {}
        }
    }
    count
}

/// The paths become a tree; what lies along them is copied, and never more than all.
pub fn paths(args: &[Value]) -> Cost {
    let Some(object) = args.first() else { return Cost::default() };
    let (mut steps, mut along) = (0_usize, 0_usize);
    each(args.get(1), |path| {
        let mut place = Some(object);
        let mut step = |key: &Value| {
            steps = steps.saturating_add(1);
            along = along.saturating_add(place.map_or(0, len));
            place = match place {
                Some(Value::Object(entries)) => entries.get(key),
                Some(Value::Array(items)) => index(key).and_then(|at| items.iter().nth(at)),
                _ => None,
            };
        };
        match path {
            Value::String(path) => path.split('/').for_each(|key| step(&Value::from(key))),
            Value::Array(path) => path.iter().for_each(step),
            _ => {}
        }
    });
    if along.saturating_mul(ENTRY) > CALL_BYTES_MAX {
        along = along.min(nodes(object, CALL_BYTES_MAX / ENTRY));
    }
    Cost::bytes(steps.saturating_add(along).saturating_mul(ENTRY))
}

fn index(key: &Value) -> Option<usize> {
    match key {
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Shifted by a constant, which its author may have written too large.
pub fn shift(args: &[Value]) -> Result<Cost, String> {
    let by = args.get(1).and_then(|by| by.as_u64().ok()).unwrap_or(0);
    match usize::try_from(by) {
        Ok(by) if by <= BITS_MAX => Ok(Cost::bytes(by / 8)),
        _ => Err(format!("a number is not shifted by {by} bits; at most {BITS_MAX} are allowed")),
    }
}

/// As many numbers as there are between two constants.
pub fn range(args: &[Value]) -> Cost {
    let number = |at: usize| args.get(at).and_then(|number| number.as_i64().ok());
    let (Some(from), Some(to)) = (number(0), number(1)) else { return Cost::default() };
    let step = number(2).unwrap_or(1).unsigned_abs().max(1);
    let count = usize::try_from(from.abs_diff(to) / step).unwrap_or(usize::MAX).saturating_add(1);
    Cost::bytes(count.saturating_mul(VALUE))
}
