//! Defects that a module's text shows: conditions that never hold, malformed findings, patches that append again, heads
//! that OPA refuses.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::analysis::{Analysis, Form};
use crate::syntax::{Flaw, Step, chain, location};

/// Conditions that never hold.
pub(crate) fn check_constants(ast: &Json, module: &Analysis) -> Vec<Flaw> {
    let mut found = Vec::new();
    let sets: BTreeSet<&str> = (module.rules.iter())
        .filter(|rule| rule.form == Form::Set && rule.path.len() == 1 && !rule.open)
        .map(|rule| rule.name.as_str())
        .collect();
    // Positions where a name means the rule and not a variable of the same name.
    let sets: BTreeSet<(u32, u32)> = (module.rules.iter())
        .flat_map(|rule| &rule.uses)
        .filter(|one| {
            one.path
                .split_last()
                .is_some_and(|(name, before)| before == module.package && sets.contains(name.as_str()))
        })
        .map(|one| one.location)
        .collect();
    visit(ast.get("rules").unwrap_or(&Json::Null), &sets, &mut found);
    found
}

fn visit(node: &Json, sets: &BTreeSet<(u32, u32)>, found: &mut Vec<Flaw>) {
    match node {
        Json::Array(items) => items.iter().for_each(|item| visit(item, sets, found)),
        Json::Object(map) => {
            if let Some(literal) = map.get("literal") {
                found.extend(never_true(literal, sets).map(|message| Flaw::at(literal, message)));
            }
            map.values().for_each(|value| visit(value, sets, found));
        }
        _ => {}
    }
}

fn never_true(literal: &Json, sets: &BTreeSet<(u32, u32)>) -> Option<String> {
    if let Some(expr) = literal.pointer("/Expr/expr") {
        if expr.pointer("/Bool/value") == Some(&Json::Bool(false)) {
            return Some(
                "`false` never holds, so this rule never fires; remove it, or set `mode: \"off\"`".to_owned(),
            );
        }
        let equal = expr.get("BoolExpr").filter(|expr| expr.get("op").and_then(Json::as_str) == Some("Eq"));
        let (left, right) = (equal?.get("lhs").and_then(constant)?, equal?.get("rhs").and_then(constant)?);
        return (left != right).then(|| format!("{left} never equals {right}, so this rule never fires"));
    }
    let expr = literal.pointer("/NotExpr/expr")?;
    if ["ArrayCompr", "SetCompr", "ObjectCompr", "Array", "Set", "Object"]
        .iter()
        .any(|kind| expr.get(kind).is_some())
    {
        return Some(
            "a collection is true even when it is empty, so `not` before it never holds; write `count(…) == 0`"
                .to_owned(),
        );
    }
    let name = match chain(expr) {
        (Some(name), steps, _) if steps.is_empty() => name,
        _ => return None,
    };
    sets.contains(&location(expr)).then(|| {
        format!("`{name}` is a set, which is true even when it is empty, so `not {name}` never holds; write `count({name}) == 0`")
    })
}

fn constant(node: &Json) -> Option<String> {
    let value = ["String", "RawString", "Number", "Bool", "Null"]
        .iter()
        .find_map(|kind| node.get(kind)?.get("value"));
    value.map(ToString::to_string)
}

/// The keys of a finding object.
pub const FINDING_KEYS: &str = "msg, field, observed, allowed, fix, details";

/// Malformed finding objects in the heads of `deny` and `warn`.
pub(crate) fn check_findings(ast: &Json) -> Vec<Flaw> {
    let rules = ast.get("rules").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let findings = rules.iter().flat_map(|rule| {
        let head = rule.pointer("/Spec/head/Set");
        let name = head.and_then(|head| head.pointer("/refr/Var/value")).and_then(Json::as_str);
        let key = head.filter(|_| matches!(name, Some("deny" | "warn"))).and_then(|head| head.get("key"));
        key.into_iter().flat_map(|key| object_literals(key, rule)).collect::<Vec<_>>()
    });
    findings.flat_map(finding_flaws).collect()
}

/// The object literals that a head holds, directly or through a variable of its body.
fn object_literals<'a>(key: &'a Json, rule: &'a Json) -> Vec<&'a Json> {
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

fn finding_flaws(object: &Json) -> Vec<Flaw> {
    let fields = object.get("fields").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let keys: Vec<&Json> = fields.iter().filter_map(|field| field.get(1)).collect();
    let text = |key: &Json| key.pointer("/String/value").and_then(Json::as_str).map(str::to_owned);
    let known: Vec<&str> = FINDING_KEYS.split(", ").collect();
    let mut flaws: Vec<Flaw> = keys
        .iter()
        .filter_map(|key| Some((key, text(key)?)))
        .filter(|(_, name)| !known.contains(&name.as_str()))
        .map(|(key, name)| {
            Flaw::at(key, format!("a finding has no key `{name}`; the keys are {FINDING_KEYS}"))
        })
        .collect();
    let constant = keys.iter().all(|key| text(key).is_some());
    if constant && !keys.iter().any(|key| text(key).as_deref() == Some("msg")) {
        flaws.push(Flaw::at(
            object,
            format!("a finding needs `msg`, which says what is wrong; the keys are {FINDING_KEYS}"),
        ));
    }
    flaws
}

/// Patches that append to a list without reading it: the API server calls again with the result (`reinvocationPolicy`),
/// and they would append again. `refers` says whether a rule uses others, which may read the list.
pub(crate) fn check_appends(ast: &Json, refers: &dyn Fn(&Json) -> bool) -> Vec<Flaw> {
    let rules = ast.get("rules").and_then(Json::as_array).into_iter().flatten();
    let patches = rules.filter(|rule| {
        rule.pointer("/Spec/head/Set/refr/Var/value").and_then(Json::as_str) == Some("patch") && !refers(rule)
    });
    patches.filter_map(patch_flaw).collect()
}

fn patch_flaw(rule: &Json) -> Option<Flaw> {
    let key = rule.pointer("/Spec/head/Set/key")?;
    object_literals(key, rule).into_iter().find_map(|object| {
        let field = |name: &str| {
            let fields = object.get("fields")?.as_array()?;
            fields.iter().find(|field| field.get(1).and_then(text) == Some(name))?.get(2)
        };
        let (path, location) = (field("path").and_then(text)?, field("path")?);
        let list = path.strip_suffix("/-")?.rsplit('/').next()?;
        let adds = field("op").and_then(text) == Some("add");
        (adds && !mentions(rule, list)).then(|| {
            let message = format!(
                "`{path}` appends on every call, and the API server calls again with the result; check whether `{list}` contains the item, as in `not present` with `present if some item in …`"
            );
            Flaw::at(location, message)
        })
    })
}

fn text(node: &Json) -> Option<&str> {
    ["String", "RawString"].iter().find_map(|kind| node.get(*kind)?.get("value")?.as_str())
}

/// Whether a rule mentions a string or field of this name.
fn mentions(node: &Json, name: &str) -> bool {
    match node {
        Json::String(found) => found == name,
        Json::Array(items) => items.iter().any(|item| mentions(item, name)),
        Json::Object(map) => map.values().any(|value| mentions(value, name)),
        _ => false,
    }
}

/// Heads that OPA refuses and the engine accepts (OPA 1.22.0, `v1/ast/parser.go`).
pub(crate) fn check_heads(ast: &Json) -> Vec<Flaw> {
    let rules = ast.get("rules").and_then(Json::as_array).into_iter().flatten();
    rules.filter_map(head_flaw).collect()
}

/// Node types that are allowed in an argument of a head.
const ARGUMENTS: &[&str] =
    &["Array", "Bool", "Null", "Number", "Object", "RawString", "Set", "String", "Var"];

fn head_flaw(rule: &Json) -> Option<Flaw> {
    let mut args = rule.pointer("/Spec/head/Func/args").and_then(Json::as_array).into_iter().flatten();
    if let Some(wrong) = args.find_map(computed) {
        let message = "an argument in a head must be a variable, a constant, or an array or object of them; compute it in the body";
        return Some(Flaw::at(wrong, message.to_owned()));
    }
    let otherwise = rule.pointer("/Spec/bodies/1")?;
    let head = rule.pointer("/Spec/head")?;
    let name = ["Compr", "Func"].iter().find_map(|kind| head.get(*kind)?.get("refr"))?;
    let variable = chain(name).1.iter().any(|step| !matches!(step, Step::Name(_)));
    let message = "`else` cannot follow a rule with a variable in its name; write a function of the key, which may have `else`";
    variable.then(|| Flaw::at(otherwise, message.to_owned()))
}

fn computed(arg: &Json) -> Option<&Json> {
    let (kind, inner) = arg.as_object()?.iter().next()?;
    let negative = kind == "UnaryExpr" && inner.pointer("/expr/Number").is_some();
    if !negative && !ARGUMENTS.contains(&kind.as_str()) {
        return Some(arg);
    }
    let items = inner.get("items").and_then(Json::as_array).into_iter().flatten();
    let fields = inner.get("fields").and_then(Json::as_array).into_iter().flatten();
    let parts = fields.filter_map(Json::as_array).flat_map(|field| field.iter().skip(1));
    items.chain(parts).find_map(computed)
}
