//! Lines of which can be seen that they never hold: `false`, two constants that differ, `not` before what always is.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::analysis::{Analysis, Form};
use super::safety::Flaw;
use super::tree::{chain, place};

/// Finds them in a module's tree.
pub(super) fn check(ast: &Json, module: &Analysis) -> Vec<Flaw> {
    let mut found = Vec::new();
    let sets: BTreeSet<&str> = (module.rules.iter())
        .filter(|rule| rule.form == Form::Set && rule.path.len() == 1 && !rule.open)
        .map(|rule| rule.name.as_str())
        .collect();
    // Where a name stands for the rule, and not for a variable that is called the same.
    let sets: BTreeSet<(u32, u32)> = (module.rules.iter())
        .flat_map(|rule| &rule.uses)
        .filter(|one| {
            one.path
                .split_last()
                .is_some_and(|(name, before)| before == module.package && sets.contains(name.as_str()))
        })
        .map(|one| one.place)
        .collect();
    visit(ast.get("rules").unwrap_or(&Json::Null), &sets, &mut found);
    found
}

fn visit(node: &Json, sets: &BTreeSet<(u32, u32)>, found: &mut Vec<Flaw>) {
    match node {
        Json::Array(items) => items.iter().for_each(|item| visit(item, sets, found)),
        Json::Object(map) => {
            if let Some(literal) = map.get("literal") {
                found.extend(never(literal, sets).map(|message| Flaw::at(literal, message)));
            }
            map.values().for_each(|value| visit(value, sets, found));
        }
        _ => {}
    }
}

/// Why a line never holds.
fn never(literal: &Json, sets: &BTreeSet<(u32, u32)>) -> Option<String> {
    if let Some(expr) = literal.pointer("/Expr/expr") {
        if expr.pointer("/Bool/value") == Some(&Json::Bool(false)) {
            return Some("`false` never holds, so nothing of this body ever fires; take it out, or set `mode: \"off\"`".to_owned());
        }
        let equal = expr.get("BoolExpr").filter(|expr| expr.get("op").and_then(Json::as_str) == Some("Eq"));
        let (left, right) = (equal?.get("lhs").and_then(constant)?, equal?.get("rhs").and_then(constant)?);
        return (left != right)
            .then(|| format!("{left} is never {right}, so nothing of this body ever fires"));
    }
    let expr = literal.pointer("/NotExpr/expr")?;
    if ["ArrayCompr", "SetCompr", "ObjectCompr", "Array", "Set", "Object"]
        .iter()
        .any(|kind| expr.get(kind).is_some())
    {
        return Some(
            "a collection holds even when it is empty, so `not` before it never does; write `count(…) == 0`"
                .to_owned(),
        );
    }
    let name = match chain(expr) {
        (Some(name), steps, _) if steps.is_empty() => name,
        _ => return None,
    };
    sets.contains(&place(expr)).then(|| {
        format!("`{name}` is a set, which holds even when it is empty, so `not {name}` never does; write `count({name}) == 0`")
    })
}

fn constant(node: &Json) -> Option<String> {
    let value = ["String", "RawString", "Number", "Bool", "Null"]
        .iter()
        .find_map(|kind| node.get(kind)?.get("value"));
    value.map(ToString::to_string)
}
