//! Heads that take no `else`, beyond those that the engine refuses (OPA 1.22.0, `v1/ast/parser.go`).

use serde_json::Value as Json;

use super::safety::Flaw;
use super::tree::{Step, chain};

/// Judges the rules of a module's tree.
pub(super) fn check(ast: &Json) -> Vec<Flaw> {
    let rules = ast.get("rules").and_then(Json::as_array).into_iter().flatten();
    rules.filter_map(judge).collect()
}

fn judge(rule: &Json) -> Option<Flaw> {
    let otherwise = rule.pointer("/Spec/bodies/1")?;
    let head = rule.pointer("/Spec/head")?;
    let name = ["Compr", "Func"].iter().find_map(|kind| head.get(*kind)?.get("refr"))?;
    let variable = chain(name).1.iter().any(|step| !matches!(step, Step::Name(_)));
    let message = "`else` cannot follow a rule with a variable in its name: write a function of the key, which may have one";
    variable.then(|| Flaw::at(otherwise, message.to_owned()))
}
