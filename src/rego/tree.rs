//! Reading the engine's syntax tree, as JSON: references, names, places.

use serde_json::Value as Json;

/// A step of a reference: `.labels` or `["labels"]` is a name, anything else can be any key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A constant key.
    Name(String),
    /// `[_]`, `[i]`, a number: any key.
    Any,
}

pub(super) fn span(text: &str, span: &Json) -> Option<String> {
    let at = |key| span.get(key).and_then(Json::as_u64).and_then(|value| usize::try_from(value).ok());
    text.get(at("start")?..at("end")?).map(str::to_owned)
}

/// Unwinds a reference: its root variable, its steps, and the expressions that stand inside it.
pub(super) fn chain(node: &Json) -> (Option<&str>, Vec<Step>, Vec<&Json>) {
    let (mut steps, mut inner, mut current) = (Vec::new(), Vec::new(), node);
    loop {
        if let Some(dot) = current.get("RefDot") {
            let field = dot.pointer("/field/1").and_then(Json::as_str);
            steps.push(field.map_or(Step::Any, |name| Step::Name(name.to_owned())));
            current = dot.get("refr").unwrap_or(&Json::Null);
        } else if let Some(bracket) = current.get("RefBrack") {
            let index = bracket.get("index").unwrap_or(&Json::Null);
            let constant =
                ["String", "RawString"].iter().find_map(|kind| index.get(*kind)).and_then(|s| s.get("value"));
            if let Some(name) = constant.and_then(Json::as_str) {
                steps.push(Step::Name(name.to_owned()));
            } else {
                steps.push(Step::Any);
                inner.push(index);
            }
            current = bracket.get("refr").unwrap_or(&Json::Null);
        } else if let Some(var) = current.get("Var") {
            steps.reverse();
            return (var.get("value").and_then(Json::as_str), steps, inner);
        } else {
            // A call or a literal is indexed: what it holds is judged on its own.
            inner.push(current);
            return (None, Vec::new(), inner);
        }
    }
}

/// The name of a function where it is called, as it is written.
pub(super) fn called(call: &Json) -> Option<String> {
    names(call.get("fcn")?).map(|path| path.join("."))
}

/// A reference that is nothing but names.
pub(super) fn names(node: &Json) -> Option<Vec<String>> {
    let (root, steps, _) = chain(node);
    let mut path = vec![root?.to_owned()];
    for step in steps {
        match step {
            Step::Name(name) => path.push(name),
            Step::Any => return None,
        }
    }
    Some(path)
}

/// Line and column of a node, or of the span that it is, from 1.
pub(super) fn place(node: &Json) -> (u32, u32) {
    let below = || node.as_object()?.values().find_map(|inner| inner.get("span"));
    let span = node.get("line").and(Some(node)).or_else(|| node.get("span")).or_else(below);
    let at = |key| span.and_then(|s| s.get(key)).and_then(Json::as_u64).and_then(|v| u32::try_from(v).ok());
    (at("line").unwrap_or(0), at("col").unwrap_or(0))
}
