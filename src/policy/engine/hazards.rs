//! Constructs on which the register machine and the interpreter part ways, so that a policy that uses them is given to
//! the interpreter: it stops with an error, or answers as the language says, where the machine goes on with undefined
//! (regorus 0.14.1).
//!
//! 1. Several values for one complete rule or function: an error, and undefined on the machine.
//! 2. Defaults of functions, and rules with dotted names: undefined on the machine where only they answer.

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
    }
    found
}

fn line(node: &Json) -> u32 {
    let span = node.get("span").or_else(|| node.as_object()?.values().find_map(|inner| inner.get("span")));
    span.and_then(|span| span.get("line"))
        .and_then(Json::as_u64)
        .and_then(|line| u32::try_from(line).ok())
        .unwrap_or(0)
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

#[cfg(test)]
mod tests;
