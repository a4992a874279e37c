//! Builtins over arrays, sets, objects, graphs and ranges. How many paths a graph has shows only when they are followed.

use std::collections::BTreeSet;

use regorus::Value;
use regorus::value::Object;

use super::cost::{ByteCounter, CALL_BYTES_MAX, Cost, ENTRY, STEPS_MAX, TEXT, VALUE, charge, each};

/// Bits of a shifted number.
const BITS_MAX: usize = 16 << 10;

fn len(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Set(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => 0,
    }
}

/// As many members as the arguments have together; the members themselves are shared.
pub(crate) fn elements(args: &[Value]) -> Cost {
    let count = args.iter().map(len).fold(0, usize::saturating_add);
    let one = if matches!(args.first(), Some(Value::Array(_))) { VALUE } else { ENTRY };
    Cost::bytes(count.saturating_mul(one))
}

/// Each union copies the result of the one before.
pub(crate) fn union_all(args: &[Value]) -> Cost {
    let (mut count, mut steps) = (0_usize, 0_usize);
    each(args.first(), |part| {
        count = count.saturating_add(nested(part));
        steps = steps.saturating_add(count.saturating_mul(4));
    });
    Cost { bytes: count.saturating_mul(ENTRY), steps }
}

/// The members of an object and of objects in it, because a union copies both.
fn nested(value: &Value) -> usize {
    match value {
        Value::Object(entries) => {
            entries.iter().fold(entries.len(), |sum, (_, value)| sum.saturating_add(nested(value)))
        }
        other => len(other),
    }
}

/// The result is no larger than the smallest set.
pub(crate) fn intersection(args: &[Value]) -> Cost {
    let mut smallest = None;
    let mut steps = 0_usize;
    each(args.first(), |part| {
        smallest = Some(smallest.map_or(len(part), |least: usize| least.min(len(part))));
        steps = steps.saturating_add(len(part).saturating_mul(4));
    });
    Cost { bytes: smallest.unwrap_or(0).saturating_mul(ENTRY), steps }
}

/// Both objects, and the nested objects that both have under one key.
pub(crate) fn union(args: &[Value]) -> Cost {
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

/// `object.subset` as in OPA (1.22.0, `v1/topdown/object.go`). The engine panics on an empty array, compares types that
/// OPA refuses, and accepts a set as a part of any array (regorus 0.14.1, `builtins/objects.rs`).
pub(crate) fn subset(args: &[Value]) -> Result<Value, String> {
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
        return Err(format!("builtin `{NAME}` takes two values of one type, or an array and a set"));
    }
    charge(NAME, Cost { bytes: len(whole).saturating_mul(ENTRY), steps: windows(whole, part) })?;
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

/// How many values there are in a value, itself included; counting stops beyond `max`.
pub(crate) fn nodes(value: &Value, max: usize) -> usize {
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

/// The paths become a tree; the members along them are copied, at most all of the object.
pub(crate) fn paths(args: &[Value]) -> Cost {
    let Some(object) = args.first() else { return Cost::default() };
    let (mut steps, mut along) = (0_usize, 0_usize);
    each(args.get(1), |path| {
        let mut current = Some(object);
        let mut step = |key: &Value| {
            steps = steps.saturating_add(1);
            along = along.saturating_add(current.map_or(0, len));
            current = match current {
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

/// The shift is a constant, which may be too large.
pub(crate) fn shift(args: &[Value]) -> Result<Cost, String> {
    let by = args.get(1).and_then(|by| by.as_u64().ok()).unwrap_or(0);
    match usize::try_from(by) {
        Ok(by) if by <= BITS_MAX => Ok(Cost::bytes(by / 8)),
        _ => Err(format!("a number is not shifted by {by} bits; at most {BITS_MAX} are allowed")),
    }
}

pub(crate) fn range(args: &[Value]) -> Cost {
    let number = |at: usize| args.get(at).and_then(|number| number.as_i64().ok());
    let (Some(from), Some(to)) = (number(0), number(1)) else { return Cost::default() };
    let step = number(2).unwrap_or(1).unsigned_abs().max(1);
    let count = usize::try_from(from.abs_diff(to) / step).unwrap_or(usize::MAX).saturating_add(1);
    Cost::bytes(count.saturating_mul(VALUE))
}

/// Nodes of one path: each is one recursion.
const PATH_MAX: usize = 256;
/// Steps of following paths; each looks up a node.
const FOLLOWED_MAX: usize = STEPS_MAX / 256;

pub(crate) fn reachable(args: &[Value]) -> Cost {
    let mut edges = 0_usize;
    each(args.get(1), |_| edges += 1);
    if let Some(Value::Object(graph)) = args.first() {
        for (_, neighbours) in graph.iter() {
            each(Some(neighbours), |_| edges += 1);
        }
        edges = edges.saturating_add(graph.len());
    }
    Cost::bytes(edges.saturating_mul(ENTRY))
}

/// All paths from some nodes, as in OPA: a path ends at a node without edges, or where it meets itself.
pub(crate) fn reachable_paths(args: &[Value]) -> Result<Value, String> {
    const NAME: &str = "graph.reachable_paths";
    let (Some(Value::Object(graph)), Some(Value::Array(_) | Value::Set(_))) = (args.first(), args.get(1))
    else {
        return Err(format!("builtin `{NAME}` takes an object, and an array or a set"));
    };
    let mut starts = Vec::new();
    each(args.get(1), |start| starts.push(start));
    let mut finder = PathFinder {
        graph,
        path: Vec::new(),
        on_path: BTreeSet::new(),
        paths: BTreeSet::new(),
        built: ByteCounter::new(NAME),
        steps: 0,
    };
    for start in starts {
        finder.visit(start)?;
    }
    finder.built.end()?;
    Ok(Value::from(finder.paths))
}

struct PathFinder<'a> {
    graph: &'a Object,
    path: Vec<Value>,
    on_path: BTreeSet<&'a Value>,
    paths: BTreeSet<Value>,
    built: ByteCounter,
    steps: usize,
}

impl<'a> PathFinder<'a> {
    fn visit(&mut self, node: &'a Value) -> Result<(), String> {
        self.steps += 1;
        if self.steps > FOLLOWED_MAX {
            return Err(format!("builtin `{}` would take more than {FOLLOWED_MAX} steps", self.built.name));
        }
        let nameless = matches!(node, Value::String(name) if name.is_empty());
        let neighbours = self.graph.get(node).filter(|_| !nameless);
        let Some(neighbours) = neighbours else { return self.end() };
        if self.on_path.contains(node) {
            return self.end();
        }
        if self.path.len() >= PATH_MAX {
            return Err(format!(
                "builtin `{}` would follow a path of more than {PATH_MAX} nodes",
                self.built.name
            ));
        }
        let mut next = Vec::new();
        match neighbours {
            Value::Array(_) | Value::Set(_) => each(Some(neighbours), |neighbour| next.push(neighbour)),
            Value::Null => {}
            _ => return Err(format!("builtin `{}`: neighbours must be an array or a set", self.built.name)),
        }
        self.path.push(node.clone());
        self.on_path.insert(node);
        for neighbour in &next {
            self.visit(neighbour)?;
        }
        if next.is_empty() {
            self.end()?;
        }
        self.on_path.remove(node);
        self.path.pop();
        Ok(())
    }

    /// Adds the current path.
    fn end(&mut self) -> Result<(), String> {
        if self.path.is_empty() {
            return Ok(());
        }
        self.built.add(ENTRY + TEXT + self.path.len() * VALUE)?;
        self.paths.insert(Value::from(self.path.clone()));
        Ok(())
    }
}

/// Every value in a value, with its path.
pub(crate) fn walk(args: &[Value]) -> Result<Value, String> {
    let mut walker = Walker { path: Vec::new(), found: Vec::new(), built: ByteCounter::new("walk") };
    if let Some(value) = args.first() {
        walker.visit(value)?;
    }
    walker.built.end()?;
    Ok(Value::from(walker.found))
}

struct Walker {
    path: Vec<Value>,
    found: Vec<Value>,
    built: ByteCounter,
}

impl Walker {
    fn visit(&mut self, value: &Value) -> Result<(), String> {
        self.built.add(2 * TEXT + 3 * VALUE + self.path.len() * VALUE)?;
        self.found.push(Value::from(vec![Value::from(self.path.clone()), value.clone()]));
        match value {
            Value::Array(items) => {
                items.iter().enumerate().try_for_each(|(at, item)| self.below(Value::from(at), item))
            }
            Value::Set(items) => items.iter().try_for_each(|item| self.below(item.clone(), item)),
            Value::Object(entries) => {
                entries.iter_sorted().try_for_each(|(key, value)| self.below(key.clone(), value))
            }
            _ => Ok(()),
        }
    }

    fn below(&mut self, key: Value, value: &Value) -> Result<(), String> {
        self.path.push(key);
        self.visit(value)?;
        self.path.pop();
        Ok(())
    }
}
