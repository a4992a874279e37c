//! Constructs on which the register machine and the interpreter part ways, so that a policy that uses them is given to
//! the interpreter: it stops with an error, or answers as the language says, where the machine goes on with undefined
//! (regorus 0.14.1).
//!
//! 1. Arithmetic and ordering on what may be no number: an error on both, which the machine drops at the next rule.
//! 2. Several values for one complete rule or function: an error, and undefined on the machine.
//! 3. `x := …` of something undefined: ends the body, and does not on the machine; seen only where nothing but a
//!    negation or a comprehension looks at `x`.
//! 4. Defaults of functions, and rules with dotted names: undefined on the machine where only they answer.

mod values;

use std::collections::BTreeSet;

use serde_json::Value as Json;

/// A construct, and how to say the same without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hazard {
    /// Line, from 1.
    pub line: u32,
    /// What it is and what to write instead.
    pub message: String,
}

/// Builtins whose value is a number wherever there is one.
const NUMBERS: &[&str] = &[
    "abs",
    "bits.and",
    "bits.or",
    "bits.rsh",
    "bits.xor",
    "ceil",
    "count",
    "floor",
    "indexof",
    "product",
    "round",
    "semver.compare",
    "strings.count",
    "sum",
    "time.parse_duration_ns",
    "time.parse_ns",
    "time.parse_rfc3339_ns",
    "time.add_date",
    "to_number",
    "units.parse",
    "units.parse_bytes",
];

/// Builtins whose value is a set wherever there is one.
const SETS: &[&str] = &["intersection", "object.keys", "union"];

/// Finds them in a module's tree.
pub fn find(ast: &Json) -> Vec<Hazard> {
    let mut found = Vec::new();
    let empty = Vec::new();
    let rules = ast.get("rules").and_then(Json::as_array).unwrap_or(&empty);
    values::conflicts(rules, &mut found);
    let heads = ["/Spec/head/Set/refr", "/Spec/head/Compr/refr", "/Spec/head/Func/refr", "/Default/refr"];
    let head_of = |rule: &Json| heads.iter().find_map(|head| rule.pointer(head).and_then(path));
    let names: BTreeSet<String> = rules.iter().filter_map(head_of).collect();
    for rule in rules {
        values::many_values(rule, &names, &mut found);
        values::unanswered(rule, &mut found);
        unused(rule, rule, &mut found);
    }
    let known = rules.iter().fold(Known::default(), |mut known, rule| {
        known.learn_rule(rule);
        known
    });
    for rule in rules {
        visit(rule, &known, &mut found);
    }
    found
}

/// Names that stand for a number, or for a set, wherever they stand for anything.
#[derive(Clone, Default)]
struct Known {
    numbers: BTreeSet<String>,
    sets: BTreeSet<String>,
}

impl Known {
    fn learn(&mut self, name: String, value: &Json) {
        if is_number(value, self) {
            self.numbers.insert(name);
        } else if is_set(value, self) {
            self.sets.insert(name);
        }
    }

    /// `r contains …`, or `r := {… | …}` where that is its only definition.
    fn learn_rule(&mut self, rule: &Json) {
        let head = rule.pointer("/Spec/head").unwrap_or(&Json::Null);
        if let Some(name) = head.pointer("/Set/refr").and_then(path) {
            self.sets.insert(name);
        } else if let (Some(name), Some(value)) =
            (head.pointer("/Compr/refr").and_then(path), head.pointer("/Compr/assign/value"))
        {
            self.learn(name, value);
        }
    }
}

fn line(node: &Json) -> u32 {
    let span = node.get("span").or_else(|| node.as_object()?.values().find_map(|inner| inner.get("span")));
    span.and_then(|span| span.get("line"))
        .and_then(Json::as_u64)
        .and_then(|line| u32::try_from(line).ok())
        .unwrap_or(0)
}

/// Visits a node with what is known where it stands.
fn visit(node: &Json, known: &Known, found: &mut Vec<Hazard>) {
    match node {
        Json::Array(items) => items.iter().for_each(|item| visit(item, known, found)),
        Json::Object(map) => {
            if let Some(statements) = map.get("stmts").and_then(Json::as_array) {
                let mut known = known.clone();
                statements.iter().filter_map(assigned).for_each(|(name, value)| known.learn(name, value));
                undefined(statements, found);
                return statements.iter().for_each(|statement| visit(statement, &known, found));
            }
            operands(map, known, found);
            map.values().for_each(|value| visit(value, known, found));
        }
        _ => {}
    }
}

fn operands(map: &serde_json::Map<String, Json>, known: &Known, found: &mut Vec<Hazard>) {
    let ordering = map
        .get("BoolExpr")
        .filter(|node| matches!(node.get("op").and_then(Json::as_str), Some("Lt" | "Le" | "Gt" | "Ge")));
    let (arithmetic, union) = (map.get("ArithExpr"), map.get("BinExpr"));
    let Some(node) = arithmetic.or(ordering).or(union) else { return };
    let both = |test| both_sides(node, known, test);
    let safe = both(is_set) || (union.is_none() && both(is_number));
    if !safe {
        let message = "arithmetic, ordering or union of what may be no number or set; put it into to_number(…), count(…) or a set comprehension".to_owned();
        found.push(Hazard { line: line(node), message });
    }
}

fn is_number(node: &Json, known: &Known) -> bool {
    if node.get("Number").is_some() {
        return true;
    }
    if let Some(name) = variable(node) {
        return known.numbers.contains(name);
    }
    if let Some(call) = node.get("Call") {
        return call.get("fcn").and_then(path).is_some_and(|name| NUMBERS.contains(&name.as_str()));
    }
    node.get("ArithExpr").is_some_and(|sum| both_sides(sum, known, is_number))
}

fn is_set(node: &Json, known: &Known) -> bool {
    if let Some(name) = variable(node) {
        return known.sets.contains(name);
    }
    if let Some(call) = node.get("Call") {
        return call.get("fcn").and_then(path).is_some_and(|name| SETS.contains(&name.as_str()));
    }
    let combined = node.get("BinExpr").or_else(|| node.get("ArithExpr"));
    node.get("SetCompr").is_some()
        || node.get("Set").is_some()
        || combined.is_some_and(|node| both_sides(node, known, is_set))
}

fn both_sides(node: &Json, known: &Known, test: fn(&Json, &Known) -> bool) -> bool {
    ["lhs", "rhs"].iter().all(|side| node.get(*side).is_some_and(|operand| test(operand, known)))
}

fn variable(node: &Json) -> Option<&str> {
    node.pointer("/Var/value").and_then(Json::as_str)
}

fn path(node: &Json) -> Option<String> {
    if let Some(name) = variable(node) {
        return Some(name.to_owned());
    }
    let dot = node.get("RefDot")?;
    Some(format!("{}.{}", path(dot.get("refr")?)?, dot.pointer("/field/1")?.as_str()?))
}

/// `x := value` of a statement.
fn assigned(statement: &Json) -> Option<(String, &Json)> {
    let assign = statement.pointer("/literal/Expr/expr/AssignExpr")?;
    let name = assign.get("lhs").and_then(variable)?;
    assign.get("op").and_then(Json::as_str).filter(|op| *op == "ColEq")?;
    Some((name.to_owned(), assign.get("rhs")?))
}

/// Variables that may be undefined and that only a negation or a comprehension looks at.
fn undefined(statements: &[Json], found: &mut Vec<Hazard>) {
    for (name, value) in statements.iter().filter_map(assigned) {
        if !may_be_undefined(value) {
            continue;
        }
        let (mut tested, mut hidden) = (false, false);
        for statement in statements {
            let literal = statement.get("literal").unwrap_or(&Json::Null);
            let negated = literal.get("NotExpr").is_some() || literal.get("Every").is_some();
            let own = assigned(statement).is_some_and(|(other, _)| other == name);
            match mentions(literal, &name, false) {
                _ if own => {}
                Some(Depth::Open) if !negated => tested = true,
                Some(_) => hidden = true,
                None => {}
            }
        }
        if hidden && !tested {
            let message = format!(
                "`{name}` may be undefined and only a negation or a comprehension looks at it; name the reference there instead, or test `{name}` first"
            );
            found.push(Hazard { line: line(value), message });
        }
    }
}

fn may_be_undefined(value: &Json) -> bool {
    let kinds = ["String", "RawString", "Number", "Bool", "Null", "ArrayCompr", "SetCompr", "ObjectCompr"];
    !kinds.iter().any(|kind| value.get(*kind).is_some())
}

/// Whether a mention stands in the open or inside a comprehension.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Inside,
    Open,
}

fn mentions(node: &Json, name: &str, inside: bool) -> Option<Depth> {
    let deepest = |found: Box<dyn Iterator<Item = Option<Depth>> + '_>| found.flatten().max();
    match node {
        Json::Object(_) if variable(node) == Some(name) => {
            Some(if inside { Depth::Inside } else { Depth::Open })
        }
        Json::Object(map) => {
            let comprehension =
                ["ArrayCompr", "SetCompr", "ObjectCompr"].iter().any(|kind| map.contains_key(*kind));
            deepest(Box::new(map.values().map(move |value| mentions(value, name, inside || comprehension))))
        }
        Json::Array(items) => deepest(Box::new(items.iter().map(move |item| mentions(item, name, inside)))),
        _ => None,
    }
}

/// What may be undefined, assigned and never looked at: a test that it is there, to the language and not to the machine.
fn unused(rule: &Json, node: &Json, found: &mut Vec<Hazard>) {
    match node {
        Json::Object(map) => {
            if let Some((name, value)) = assigned(node).filter(|(_, value)| may_be_undefined(value))
                && mentioned(rule, &name) == 1
            {
                let message = format!(
                    "`{name}` is assigned and never looked at; write its value alone to ask whether it is there"
                );
                found.push(Hazard { line: line(value), message });
            }
            map.values().for_each(|value| unused(rule, value, found));
        }
        Json::Array(items) => items.iter().for_each(|item| unused(rule, item, found)),
        _ => {}
    }
}

fn mentioned(node: &Json, name: &str) -> usize {
    match node {
        Json::Object(_) if variable(node) == Some(name) => 1,
        Json::Object(map) => map.values().map(|value| mentioned(value, name)).sum(),
        Json::Array(items) => items.iter().map(|item| mentioned(item, name)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
