//! Rules, functions and objects that could hold two values at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{Hazard, line, path, variable};

/// One definition that can hold several times over: a value under a loop, keys of an object that may meet.
///
/// `names` are the module's own rules: they stand for what they are, and an index by one is no loop.
pub(super) fn many_values(rule: &Json, names: &BTreeSet<String>, found: &mut Vec<Hazard>) {
    let head = rule.pointer("/Spec/head").and_then(|head| head.get("Compr").or_else(|| head.get("Func")));
    let mut bound = names.clone();
    let arguments = head.and_then(|head| head.get("args")).unwrap_or(&Json::Null);
    variables(arguments, &mut bound);
    assignments(rule, &mut bound);
    if let Some(head) = head {
        let keyed = head.pointer("/refr/RefBrack").is_some();
        let bodies = rule.pointer("/Spec/bodies").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let varies = |node: &Json| {
            node.get("assign").is_some_and(|assign| !assign.is_null()) && value_of(node).is_empty()
        };
        let several = bodies.iter().any(|body| (varies(head) || varies(body)) && loops(body, &bound));
        if keyed || several {
            let message = "a value under a loop, or a keyed rule, could have several values; make it `contains`, or take the one meant from a set comprehension";
            found.push(Hazard { line: line(rule), message: message.to_owned() });
        }
    }
    objects(rule, &bound, found);
}

/// What the machine answers with undefined where the language has a value: a call that only the default of a function
/// covers, and an object of rules with dotted names that is asked as a whole.
pub(super) fn unanswered(rule: &Json, found: &mut Vec<Hazard>) {
    let arguments = rule.pointer("/Default/args").and_then(Json::as_array);
    if arguments.is_some_and(|arguments| !arguments.is_empty()) {
        let message = "a default of a function; write `else := …` behind its last definition";
        found.push(Hazard { line: line(rule), message: message.to_owned() });
    }
    let refr = rule
        .pointer("/Spec/head")
        .and_then(Json::as_object)
        .and_then(|head| head.values().next()?.get("refr"));
    if refr.is_some_and(|refr| refr.get("RefDot").is_some()) {
        let message = "a rule with a dotted name; give it a plain one";
        found.push(Hazard { line: line(rule), message: message.to_owned() });
    }
}

fn variables(node: &Json, out: &mut BTreeSet<String>) {
    match node {
        Json::Object(_) if variable(node).is_some() => out.extend(variable(node).map(str::to_owned)),
        Json::Object(map) => map.values().for_each(|value| variables(value, out)),
        Json::Array(items) => items.iter().for_each(|item| variables(item, out)),
        _ => {}
    }
}

/// Every name that `:=` gives a value in a rule.
fn assignments(node: &Json, out: &mut BTreeSet<String>) {
    match node {
        Json::Object(map) => {
            if let Some(assign) = map.get("AssignExpr") {
                variables(assign.get("lhs").unwrap_or(&Json::Null), out);
            }
            map.values().for_each(|value| assignments(value, out));
        }
        Json::Array(items) => items.iter().for_each(|item| assignments(item, out)),
        _ => {}
    }
}

/// Whether a body iterates, its comprehensions not counted: those gather.
fn loops(node: &Json, bound: &BTreeSet<String>) -> bool {
    match node {
        Json::Object(map) => {
            let gathers =
                ["ArrayCompr", "SetCompr", "ObjectCompr", "Every"].iter().any(|kind| map.contains_key(*kind));
            let iterates = map.contains_key("SomeIn") || map.contains_key("SomeVars");
            let index = map.get("RefBrack").and_then(|node| node.get("index")).and_then(variable);
            let open = index.is_some_and(|name| !bound.contains(name));
            iterates || open || (!gathers && map.values().any(|value| loops(value, bound)))
        }
        Json::Array(items) => items.iter().any(|item| loops(item, bound)),
        _ => false,
    }
}

/// Object comprehensions whose keys are not known to be the keys of one collection.
fn objects(node: &Json, bound: &BTreeSet<String>, found: &mut Vec<Hazard>) {
    match node {
        Json::Object(map) => {
            if let Some(comprehension) = map.get("ObjectCompr") {
                let key = comprehension.get("key").and_then(variable);
                let empty = Vec::new();
                let statements =
                    comprehension.pointer("/query/stmts").and_then(Json::as_array).unwrap_or(&empty);
                let mut inner = bound.clone();
                for statement in statements {
                    ["key", "value"]
                        .iter()
                        .filter_map(|part| statement.pointer(&format!("/literal/SomeIn/{part}")))
                        .for_each(|part| variables(part, &mut inner));
                }
                let iterations: Vec<&Json> =
                    statements.iter().filter(|statement| loops(statement, &inner)).collect();
                let own = |statement: &&Json| {
                    key.is_some() && statement.pointer("/literal/SomeIn/key").and_then(variable) == key
                };
                if iterations.len() != 1 || !iterations.iter().all(own) {
                    let message = "keys of this object could meet with different values; iterate over one collection, by its own keys";
                    found.push(Hazard { line: line(comprehension), message: message.to_owned() });
                }
            }
            map.values().for_each(|value| objects(value, bound, found));
        }
        Json::Array(items) => items.iter().for_each(|item| objects(item, bound, found)),
        _ => {}
    }
}

/// Complete rules and functions that more than one definition could give different values.
pub(super) fn conflicts(rules: &[Json], found: &mut Vec<Hazard>) {
    let mut by_name: BTreeMap<String, Vec<(&Json, &Json)>> = BTreeMap::new();
    for rule in rules {
        let Some(head) =
            rule.pointer("/Spec/head").and_then(|head| head.get("Compr").or_else(|| head.get("Func")))
        else {
            continue;
        };
        let Some(name) = head.get("refr").and_then(path) else { continue };
        by_name.entry(name).or_default().push((rule, head));
    }
    for (name, definitions) in by_name.iter().filter(|(_, definitions)| definitions.len() > 1) {
        let values: BTreeSet<String> = definitions.iter().map(|(_, head)| value_of(head)).collect();
        let constant = values.len() == 1 && values.iter().all(|value| !value.is_empty());
        if constant || exclusive(definitions) {
            continue;
        }
        let line = definitions.get(1).map_or(0, |(rule, _)| line(rule));
        let message = format!(
            "`{name}` has several definitions that could hold at once with different values; join them by `else`, or tell them apart by a constant argument"
        );
        found.push(Hazard { line, message });
    }
}

/// The constant that a head assigns, `true` where it assigns nothing; empty where it is no constant.
fn value_of(head: &Json) -> String {
    match head.pointer("/assign/value") {
        None => "true".to_owned(),
        Some(value) => ["String", "RawString", "Number", "Bool", "Null"]
            .iter()
            .find_map(|kind| value.get(*kind)?.get("value"))
            .map(ToString::to_string)
            .unwrap_or_default(),
    }
}

/// Whether an argument is another constant in each definition.
fn exclusive(definitions: &[(&Json, &Json)]) -> bool {
    let arguments = |head: &Json| head.get("args").and_then(Json::as_array).cloned().unwrap_or_default();
    let count = definitions.iter().map(|(_, head)| arguments(head).len()).min().unwrap_or(0);
    (0..count).any(|at| {
        let constants: BTreeSet<String> = definitions
            .iter()
            .filter_map(|(_, head)| {
                arguments(head)
                    .get(at)
                    .and_then(|argument| argument.pointer("/String/value").map(ToString::to_string))
            })
            .collect();
        constants.len() == definitions.len()
    })
}
