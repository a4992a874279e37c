//! Findings that are written out: a key that no finding has, or none for what it says. Either would fail for everyone
//! whom the rule is asked about.

use serde_json::Value as Json;

use super::safety::Flaw;

/// The keys of a finding that is an object.
pub const KEYS: &str = "msg, field, observed, allowed, fix, details";

/// Judges the findings of a module's tree.
pub(super) fn check(ast: &Json) -> Vec<Flaw> {
    let rules = ast.get("rules").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let findings = rules.iter().flat_map(|rule| {
        let head = rule.pointer("/Spec/head/Set");
        let name = head.and_then(|head| head.pointer("/refr/Var/value")).and_then(Json::as_str);
        let key = head.filter(|_| matches!(name, Some("deny" | "warn"))).and_then(|head| head.get("key"));
        key.into_iter().flat_map(|key| written(key, rule)).collect::<Vec<_>>()
    });
    findings.flat_map(judge).collect()
}

/// The objects that a head holds, itself or by a variable of its body.
pub(super) fn written<'a>(key: &'a Json, rule: &'a Json) -> Vec<&'a Json> {
    if let Some(object) = key.get("Object") {
        return vec![object];
    }
    let Some(name) = key.pointer("/Var/value") else { return Vec::new() };
    let bodies = rule.pointer("/Spec/bodies").and_then(Json::as_array).into_iter().flatten();
    let lines = bodies.filter_map(|body| body.pointer("/query/stmts").and_then(Json::as_array)).flatten();
    let assigned = lines.filter_map(|line| line.pointer("/literal/Expr/expr/AssignExpr"));
    assigned
        .filter(|assign| assign.pointer("/lhs/Var/value") == Some(name))
        .filter_map(|assign| assign.pointer("/rhs/Object"))
        .collect()
}

fn judge(object: &Json) -> Vec<Flaw> {
    let fields = object.get("fields").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let keys: Vec<&Json> = fields.iter().filter_map(|field| field.get(1)).collect();
    let text = |key: &Json| key.pointer("/String/value").and_then(Json::as_str).map(str::to_owned);
    let known: Vec<&str> = KEYS.split(", ").collect();
    let mut flaws: Vec<Flaw> = keys
        .iter()
        .filter_map(|key| Some((key, text(key)?)))
        .filter(|(_, name)| !known.contains(&name.as_str()))
        .map(|(key, name)| Flaw::at(key, format!("a finding has no key `{name}`; the keys are {KEYS}")))
        .collect();
    let constant = keys.iter().all(|key| text(key).is_some());
    if constant && !keys.iter().any(|key| text(key).as_deref() == Some("msg")) {
        flaws.push(Flaw::at(
            object,
            format!("a finding needs `msg`, which says what is wrong; the keys are {KEYS}"),
        ));
    }
    flaws
}
