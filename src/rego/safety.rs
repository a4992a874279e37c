//! Variables that nothing gives a value. OPA calls them unsafe and refuses them; to the engine they are undefined when
//! the rule runs, so that it never fires.
//!
//! A body has no order: of its statements each is taken as soon as all that it needs has a value, and may give values
//! to other variables. What is left over in the end cannot be evaluated by anybody. A body of its own (a comprehension,
//! `every`) sees what is around it and waits for it.

mod query;
mod scope;
mod statement;
pub(super) mod terms;

use std::collections::BTreeSet;

use serde_json::Value as Json;

use self::query::Outputs;
use self::scope::Scope;
use self::terms::variables;
use super::tree::place;

/// What is known of names beyond one rule.
pub struct Known<'k> {
    /// Rules of the package and imports of the module.
    pub names: &'k BTreeSet<String>,
    /// How many arguments a function or builtin takes, by its name as it is written; `None`: it is not known here.
    pub arity: &'k dyn Fn(&str) -> Option<usize>,
}

/// What is wrong with a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flaw {
    /// Line and column, from 1.
    pub place: (u32, u32),
    /// The sentence.
    pub message: String,
}

impl Flaw {
    pub(super) fn at(node: &Json, message: impl Into<String>) -> Self {
        Self { place: place(node), message: message.into() }
    }
}

/// Finds them in a module's tree; `text` is its source.
///
/// Knowing more names never finds more: whoever knows one module alone may ask again with all of them.
pub fn check(ast: &Json, text: &str, known: &Known<'_>) -> Vec<Flaw> {
    let mut checker = Checker { text, known, found: Vec::new() };
    for rule in ast.get("rules").and_then(Json::as_array).into_iter().flatten() {
        checker.rule(rule);
    }
    checker.found.sort();
    checker.found.dedup();
    checker.found
}

struct Checker<'a, 'k> {
    text: &'a str,
    known: &'k Known<'k>,
    found: Vec<Flaw>,
}

impl<'a> Checker<'a, '_> {
    fn rule(&mut self, rule: &'a Json) {
        if let Some(default) = rule.get("Default") {
            return self.default(default.get("value").unwrap_or(&Json::Null));
        }
        let head = rule.pointer("/Spec/head").and_then(Json::as_object).and_then(|head| head.values().next());
        let head = head.unwrap_or(&Json::Null);
        let mut outer = Scope::default();
        for name in head.get("args").into_iter().flat_map(variables) {
            if matches!(name.text, "input" | "data") {
                let message = format!("an argument hides `{}`; give it another name", name.text);
                self.found.push(Flaw::at(name.node, message));
            }
            outer.declare(name.text);
            outer.give(name.text);
        }
        let own = Outputs {
            needs: indexes(head.get("refr").unwrap_or(&Json::Null)),
            gives: [head.get("key"), head.pointer("/assign/value")].into_iter().flatten().collect(),
        };
        let bodies = rule.pointer("/Spec/bodies").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        if bodies.is_empty() {
            self.query(&[], &own, &outer);
        }
        for (index, body) in bodies.iter().enumerate() {
            let other =
                Outputs { needs: Vec::new(), gives: body.pointer("/assign/value").into_iter().collect() };
            let outputs =
                if index == 0 || body.get("is_else") != Some(&Json::Bool(true)) { &own } else { &other };
            self.query(statements(body.get("query")), outputs, &outer);
        }
    }

    /// A default is a constant; the engine would say so when the rule is asked, which is too late.
    fn default(&mut self, value: &Json) {
        let wrong = if !variables(value).is_empty() {
            "a variable or reference"
        } else if holds(value, "Call") {
            "a call"
        } else {
            return;
        };
        let message = format!("the value of a default must be a constant, and this holds {wrong}");
        self.found.push(Flaw::at(value, message));
    }
}

/// The statements of a query.
pub(super) fn statements(query: Option<&Json>) -> &[Json] {
    query.and_then(|query| query.get("stmts")).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// What stands in brackets in the name of a rule.
pub(super) fn indexes(refr: &Json) -> Vec<&Json> {
    let (mut found, mut current) = (Vec::new(), refr);
    loop {
        if let Some(bracket) = current.get("RefBrack") {
            found.extend(bracket.get("index"));
            current = bracket.get("refr").unwrap_or(&Json::Null);
        } else if let Some(dot) = current.get("RefDot") {
            current = dot.get("refr").unwrap_or(&Json::Null);
        } else {
            return found;
        }
    }
}

fn holds(node: &Json, kind: &str) -> bool {
    match node {
        Json::Object(map) => map.contains_key(kind) || map.values().any(|value| holds(value, kind)),
        Json::Array(items) => items.iter().any(|item| holds(item, kind)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
