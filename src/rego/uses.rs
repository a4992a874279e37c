//! What one rule refers to by name: rules of its own package, of others, and `data`.
//!
//! A name that an argument, `some`, `:=` or `every` declares is a variable there; every other may be a rule. Nothing
//! that the engine would look up is left out: on this stands that no rule calls itself.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::safety::terms::{declared, is_comprehension, pattern, variables, word};
use super::safety::{indexes, statements};
use super::tree::{Step, chain, place};

/// A name, followed by constant steps, as a path below `data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Empty: all of `data`.
    pub path: Vec<String>,
    /// Whether it is called, or stands after `with … as`, where a function is put in the place of another.
    pub called: bool,
    /// Whether something follows the path that is no constant.
    pub open: bool,
    /// Line and column, from 1.
    pub place: (u32, u32),
}

/// Finds them in a rule. `package` is that of the module, `imports` are its names and their paths.
pub fn of(rule: &Json, text: &str, package: &[String], imports: &[(String, Vec<String>)]) -> Vec<Use> {
    let mut walk = Walk { text, package, imports, found: Vec::new() };
    walk.rule(rule);
    walk.found
}

struct Walk<'a> {
    text: &'a str,
    package: &'a [String],
    imports: &'a [(String, Vec<String>)],
    found: Vec<Use>,
}

type Names<'a> = BTreeSet<&'a str>;

impl<'a> Walk<'a> {
    fn rule(&mut self, rule: &'a Json) {
        let Some(head) = rule.pointer("/Spec/head").and_then(Json::as_object) else {
            return self.node(rule.pointer("/Default/value").unwrap_or(&Json::Null), &Names::new());
        };
        let head = head.values().next().unwrap_or(&Json::Null);
        let arguments: Names<'a> =
            head.get("args").into_iter().flat_map(variables).map(|name| name.text).collect();
        let mut outputs = indexes(head.get("refr").unwrap_or(&Json::Null));
        outputs.extend([head.get("key"), head.pointer("/assign/value")].into_iter().flatten());
        let bodies = rule.pointer("/Spec/bodies").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        if bodies.is_empty() {
            outputs.iter().for_each(|output| self.node(output, &arguments));
        }
        for body in bodies {
            let mut own = arguments.clone();
            own.extend(declared(statements(body.get("query")), self.text).iter().map(|name| name.text));
            outputs.iter().chain(&body.pointer("/assign/value")).for_each(|output| self.node(output, &own));
            body.get("query").into_iter().for_each(|query| self.node(query, &own));
        }
    }

    fn node(&mut self, node: &'a Json, own: &Names<'a>) {
        match node {
            Json::Array(items) => items.iter().for_each(|item| self.node(item, own)),
            Json::Object(map) => {
                if ["Var", "RefDot", "RefBrack"].iter().any(|kind| map.contains_key(*kind)) {
                    return self.reference(node, own, false);
                }
                if let Some(call) = map.get("Call") {
                    call.get("fcn").into_iter().for_each(|function| self.reference(function, own, true));
                    return call.get("params").into_iter().for_each(|params| self.node(params, own));
                }
                if let Some(some) = map.get("SomeIn") {
                    return self.some_in(some, own);
                }
                let mut inner = own.clone();
                if let Some(every) = map.get("Every") {
                    every.get("domain").into_iter().for_each(|domain| self.node(domain, own));
                    inner
                        .extend(["key", "value"].iter().filter_map(|part| word(self.text, every.get(part)?)));
                    return every.get("query").into_iter().for_each(|query| self.node(query, &inner));
                }
                let query = if is_comprehension(node) {
                    map.values().next().and_then(|parts| parts.get("query"))
                } else {
                    map.contains_key("stmts").then_some(node)
                };
                inner.extend(declared(statements(query), self.text).iter().map(|name| name.text));
                for (key, value) in map {
                    // The target of a `with` is no read; a function may stand for another after `as`.
                    match (key.as_str(), chain(value)) {
                        ("refr", _) if map.contains_key("as") => {}
                        ("as", (Some(_), _, _)) => self.reference(value, &inner, true),
                        _ => self.node(value, &inner),
                    }
                }
            }
            _ => {}
        }
    }

    /// The collection is looked up before the names exist that are bound to its elements.
    fn some_in(&mut self, some: &'a Json, own: &Names<'a>) {
        let mut taken = Vec::new();
        for part in ["key", "value"].iter().filter_map(|part| some.get(part)) {
            pattern(part, &mut taken, &mut Vec::new());
            self.node(part, own);
        }
        let outside = own.iter().filter(|name| !taken.iter().any(|taken| taken.text == **name)).copied();
        let outside: Names<'a> = outside.collect();
        some.get("collection").into_iter().for_each(|collection| self.node(collection, &outside));
    }

    fn reference(&mut self, node: &'a Json, own: &Names<'a>, called: bool) {
        let (root, steps, inner) = chain(node);
        inner.into_iter().for_each(|expression| self.node(expression, own));
        let Some(root) = root.filter(|root| !own.contains(root) && *root != "input") else { return };
        let count = steps.len();
        let constant =
            steps.into_iter().map_while(|step| if let Step::Name(name) = step { Some(name) } else { None });
        let constant: Vec<String> = constant.collect();
        let open = constant.len() < count;
        let imported = self.imports.iter().find(|(alias, _)| alias == root).map(|(_, path)| path.as_slice());
        let own_rule = [&["data".to_owned()], self.package, &[root.to_owned()]].concat();
        let before = match imported {
            Some(path) => path,
            None if root == "data" => own_rule.get(..1).unwrap_or_default(),
            None => &own_rule,
        };
        if let Some((root, before)) = before.split_first().filter(|(root, _)| *root == "data") {
            let _ = root;
            let path = before.iter().cloned().chain(constant).collect();
            self.found.push(Use { path, called, open, place: place(node) });
        }
    }
}
