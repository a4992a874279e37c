//! Statements that the engine takes in another order than the language means (regorus 0.14.1, `scheduler.rs`).
//!
//! It does not look into the body of an `every`, and takes a variable in brackets below a `not` for one that the `not`
//! binds. Either is evaluated as soon as the rest of it can be, which is too early where a variable in it is bound
//! further down, or is another name of a variable. The rule would quietly say something else, so it is refused.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::scope::Scope;
use super::statement::Statement;
use super::terms::{Name, pattern};
use super::{Flaw, Known};

/// Judges a body that is safe. `every` has the variables that the body of each statement means, if it is an `every`.
pub(super) fn check(
    all: &[Statement<'_>],
    every: &[Vec<Name<'_>>],
    outer: &Scope<'_>,
    known: &Known<'_>,
) -> Vec<Flaw> {
    // What is bound here, and not around it.
    let here: BTreeSet<&str> = all
        .iter()
        .flat_map(Statement::names)
        .map(|name| name.text)
        .filter(|name| !outer.has(name, known))
        .collect();
    let mut found = Vec::new();
    for (at, (statement, inside)) in all.iter().zip(every).enumerate() {
        let what = if statement.negated { "not" } else { "every" };
        for name in statement.below_not.iter().chain(inside) {
            let waited_for =
                !statement.negated && statement.terms.needs.iter().any(|need| need.text == name.text);
            if waited_for || !here.contains(name.text) {
                continue;
            }
            let (before, after) = all.split_at(at);
            if before.iter().any(|other| gives(other, name.text) && source(other, name.text, &here).is_none())
            {
                continue;
            }
            let text = name.text;
            let message = match before.iter().find_map(|other| source(other, text, &here)) {
                Some(source) => format!(
                    "`{text}` is another name of `{source}`, which the engine does not follow into `{what}`; write `{source}` here"
                ),
                None if after.iter().any(|other| gives(other, text)) => {
                    format!(
                        "`{text}` is bound further down; write that line before this `{what}`, or the engine would look at it too early"
                    )
                }
                None => continue,
            };
            found.push(Flaw::at(name.node, message));
        }
    }
    found
}

fn gives(statement: &Statement<'_>, name: &str) -> bool {
    statement.names().iter().any(|given| given.text == name)
}

/// The variable of this body that `name` is made equal to, be it inside a pattern.
fn source<'a>(statement: &Statement<'a>, name: &str, here: &BTreeSet<&str>) -> Option<&'a str> {
    let (left, right) = statement.equal?;
    let other = counterpart(left, right, name)?;
    let mut names = Vec::new();
    pattern(other, &mut names, &mut Vec::new());
    names.iter().map(|name| name.text).find(|name| here.contains(name))
}

fn counterpart<'a>(left: &'a Json, right: &'a Json, name: &str) -> Option<&'a Json> {
    let items = |node: &'a Json| node.pointer("/Array/items").and_then(Json::as_array);
    if let (Some(left), Some(right)) = (items(left), items(right)) {
        return left.iter().zip(right).find_map(|(left, right)| counterpart(left, right, name));
    }
    let holds = |node: &'a Json| {
        let mut names = Vec::new();
        pattern(node, &mut names, &mut Vec::new());
        names.iter().any(|found| found.text == name)
    };
    if holds(left) { Some(right) } else { holds(right).then_some(left) }
}
