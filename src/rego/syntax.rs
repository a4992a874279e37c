//! Reads the engine's syntax tree, which is JSON: references, names, positions and the variables of an expression.

use std::collections::BTreeSet;

use serde_json::Value as Json;

/// A step of a reference: `.labels` or `["labels"]` is a name, anything else may be any key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Name(String),
    /// `[_]`, `[i]`, a number: any key.
    Any,
}

pub(crate) fn span(text: &str, span: &Json) -> Option<String> {
    let at = |key| span.get(key).and_then(Json::as_u64).and_then(|value| usize::try_from(value).ok());
    text.get(at("start")?..at("end")?).map(str::to_owned)
}

/// Splits a reference: its root variable, its steps, and the expressions inside it.
pub(crate) fn chain(node: &Json) -> (Option<&str>, Vec<Step>, Vec<&Json>) {
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
            // A call or a literal is indexed: the caller visits it as an expression.
            inner.push(current);
            return (None, Vec::new(), inner);
        }
    }
}

/// The name of a called function, as written.
pub(crate) fn called(call: &Json) -> Option<String> {
    names(call.get("fcn")?).map(|path| path.join("."))
}

/// A reference of constant steps alone.
pub(crate) fn names(node: &Json) -> Option<Vec<String>> {
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

/// Line and column of a node or span, from 1.
pub(crate) fn location(node: &Json) -> (u32, u32) {
    let below = || node.as_object()?.values().find_map(|inner| inner.get("span"));
    let span = node.get("line").and(Some(node)).or_else(|| node.get("span")).or_else(below);
    let at = |key| span.and_then(|s| s.get(key)).and_then(Json::as_u64).and_then(|v| u32::try_from(v).ok());
    (at("line").unwrap_or(0), at("col").unwrap_or(0))
}

/// A defect of a module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flaw {
    /// Line and column, from 1.
    pub location: (u32, u32),
    pub message: String,
}

impl Flaw {
    pub(crate) fn at(node: &Json, message: impl Into<String>) -> Self {
        Self { location: location(node), message: message.into() }
    }
}

pub(crate) fn statements(query: Option<&Json>) -> &[Json] {
    query.and_then(|query| query.get("stmts")).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// The expressions in brackets in the name of a rule.
pub(crate) fn indexes(refr: &Json) -> Vec<&Json> {
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

/// A mention of a variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variable<'a> {
    pub(crate) text: &'a str,
    pub(crate) node: &'a Json,
}

/// The variables of an expression.
#[derive(Debug, Default)]
pub(crate) struct Terms<'a> {
    /// Variables that must have a value.
    pub(crate) needs: Vec<Variable<'a>>,
    /// Variables in brackets, `x[i]`: they take each key unless they have a value.
    pub(crate) keys: Vec<Variable<'a>>,
    /// Comprehensions.
    pub(crate) closures: Vec<&'a Json>,
}

impl<'a> Terms<'a> {
    pub(crate) fn read(&mut self, node: &'a Json) {
        match node {
            Json::Array(items) => items.iter().for_each(|item| self.read(item)),
            Json::Object(map) => {
                if is_comprehension(node) {
                    self.closures.push(node);
                } else if let Some(name) = variable(node) {
                    self.needs.push(name);
                } else if let Some(bracket) = map.get("RefBrack") {
                    bracket.get("refr").into_iter().for_each(|refr| self.read(refr));
                    bracket.get("index").into_iter().for_each(|index| self.key(index));
                } else if let Some(call) = map.get("Call") {
                    call.get("params").into_iter().for_each(|params| self.read(params));
                } else {
                    map.values().for_each(|value| self.read(value));
                }
            }
            _ => {}
        }
    }

    fn key(&mut self, index: &'a Json) {
        let (mut names, mut rest) = (Vec::new(), Vec::new());
        pattern(index, &mut names, &mut rest);
        self.keys.extend(names.into_iter().filter(|name| name.text != "_"));
        rest.into_iter().for_each(|node| self.read(node));
    }
}

/// Splits a pattern into the variables that it binds and the other expressions.
pub(crate) fn pattern<'a>(node: &'a Json, names: &mut Vec<Variable<'a>>, rest: &mut Vec<&'a Json>) {
    if let Some(name) = variable(node) {
        names.push(name);
    } else if let Some(items) = node.pointer("/Array/items").and_then(Json::as_array) {
        items.iter().for_each(|item| pattern(item, names, rest));
    } else if let Some(fields) = node.pointer("/Object/fields").and_then(Json::as_array) {
        for field in fields {
            rest.extend(field.get(1));
            field.get(2).into_iter().for_each(|value| pattern(value, names, rest));
        }
    } else {
        rest.push(node);
    }
}

pub(crate) fn variable(node: &Json) -> Option<Variable<'_>> {
    let text = node.pointer("/Var/value").and_then(Json::as_str)?;
    Some(Variable { text, node })
}

/// Every variable below a node, except in comprehensions.
pub(crate) fn variables(node: &Json) -> Vec<Variable<'_>> {
    let mut terms = Terms::default();
    terms.read(node);
    terms.needs.append(&mut terms.keys);
    terms.needs
}

pub(crate) fn is_comprehension(node: &Json) -> bool {
    ["ArrayCompr", "SetCompr", "ObjectCompr"].iter().any(|kind| node.get(kind).is_some())
}

/// The source at a span.
pub(crate) fn word<'a>(text: &'a str, span: &Json) -> Option<&'a str> {
    let at = |key| span.get(key).and_then(Json::as_u64).and_then(|value| usize::try_from(value).ok());
    text.get(at("start")?..at("end")?)
}

/// Variables that the statements of a query declare, in order.
pub(crate) fn declared<'a>(stmts: &'a [Json], text: &'a str) -> Vec<Variable<'a>> {
    let mut found = Vec::new();
    for literal in stmts.iter().filter_map(|stmt| stmt.get("literal")) {
        if let Some(some) = literal.get("SomeVars") {
            for span in some.get("vars").and_then(Json::as_array).into_iter().flatten() {
                found.extend(word(text, span).map(|text| Variable { text, node: span }));
            }
        }
        for part in ["/SomeIn/key", "/SomeIn/value"] {
            literal.pointer(part).into_iter().for_each(|node| pattern(node, &mut found, &mut Vec::new()));
        }
        if let Some(assign) = literal.pointer("/Expr/expr/AssignExpr").filter(|assign| is_declaration(assign))
        {
            assign.get("lhs").into_iter().for_each(|node| pattern(node, &mut found, &mut Vec::new()));
        }
    }
    found.retain(|name| name.text != "_");
    found
}

pub(crate) fn is_declaration(assign: &Json) -> bool {
    assign.get("op").and_then(Json::as_str) == Some("ColEq")
}

/// Variables from outside that nested bodies of a node mention.
pub(crate) fn free<'a>(
    node: &'a Json,
    text: &'a str,
    own: &BTreeSet<&'a str>,
    found: &mut Vec<Variable<'a>>,
) {
    match node {
        Json::Array(items) => items.iter().for_each(|item| free(item, text, own, found)),
        Json::Object(map) => {
            if let Some(name) = variable(node) {
                found.extend((!own.contains(name.text)).then_some(name));
                return;
            }
            let mut inner = own.clone();
            if let Some(every) = map.get("Every") {
                every.get("domain").into_iter().for_each(|domain| free(domain, text, own, found));
                for part in ["key", "value"] {
                    inner.extend(every.get(part).and_then(|span| word(text, span)));
                }
                return every.get("query").into_iter().for_each(|query| free(query, text, &inner, found));
            }
            if is_comprehension(node) {
                let query = map.values().next().and_then(|compr| compr.get("query"));
                inner.extend(declared(statements(query), text).iter().map(|name| name.text));
            } else if map.contains_key("stmts") {
                inner.extend(declared(statements(Some(node)), text).iter().map(|name| name.text));
            } else if let Some(call) = map.get("Call") {
                return call.get("params").into_iter().for_each(|params| free(params, text, own, found));
            }
            map.values().for_each(|value| free(value, text, &inner, found));
        }
        _ => {}
    }
}
