//! What an expression needs, and what it gives.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::statements;

/// A variable where it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name<'a> {
    pub(crate) text: &'a str,
    /// Where.
    pub(crate) node: &'a Json,
}

/// The variables of an expression, by what is asked of them.
#[derive(Debug, Default)]
pub(crate) struct Terms<'a> {
    /// Must have a value.
    pub(crate) needs: Vec<Name<'a>>,
    /// Stand where a reference goes over keys, `x[i]`, and take each of them unless they have a value.
    pub(crate) keys: Vec<Name<'a>>,
    /// Comprehensions.
    pub(crate) closures: Vec<&'a Json>,
}

impl<'a> Terms<'a> {
    /// Reads an expression.
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

/// Takes a pattern apart: variables that can take a value from what it is held against, and the expressions between.
pub(crate) fn pattern<'a>(node: &'a Json, names: &mut Vec<Name<'a>>, rest: &mut Vec<&'a Json>) {
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

/// A variable and nothing else.
pub(crate) fn variable(node: &Json) -> Option<Name<'_>> {
    let text = node.pointer("/Var/value").and_then(Json::as_str)?;
    Some(Name { text, node })
}

/// Every variable below a node, comprehensions left out.
pub(crate) fn variables(node: &Json) -> Vec<Name<'_>> {
    let mut terms = Terms::default();
    terms.read(node);
    terms.needs.append(&mut terms.keys);
    terms.needs
}

pub(crate) fn is_comprehension(node: &Json) -> bool {
    ["ArrayCompr", "SetCompr", "ObjectCompr"].iter().any(|kind| node.get(kind).is_some())
}

/// A word of the source, by the span that the tree has in its place.
pub(crate) fn word<'a>(text: &'a str, span: &Json) -> Option<&'a str> {
    let at = |key| span.get(key).and_then(Json::as_u64).and_then(|value| usize::try_from(value).ok());
    text.get(at("start")?..at("end")?)
}

/// Names that the statements of one query declare, in order, each at its place.
pub(crate) fn declared<'a>(stmts: &'a [Json], text: &'a str) -> Vec<Name<'a>> {
    let mut found = Vec::new();
    for literal in stmts.iter().filter_map(|stmt| stmt.get("literal")) {
        if let Some(some) = literal.get("SomeVars") {
            for span in some.get("vars").and_then(Json::as_array).into_iter().flatten() {
                found.extend(word(text, span).map(|text| Name { text, node: span }));
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

/// Variables of the surroundings that a node with bodies of its own may mean.
pub(crate) fn free<'a>(node: &'a Json, text: &'a str, own: &BTreeSet<&'a str>, found: &mut Vec<Name<'a>>) {
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
