//! Reads what a module declares and uses from its syntax tree: package, imports, rules, calls, and the paths of `input`
//! and `data` that it reads.
//!
//! Every use of `input` or `data` counts, whatever node it stands in. Of what follows, only constant steps narrow it.

mod locals;
mod result;

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use self::locals::Locals;
pub use self::result::{Analysis, Argument, Call, Comparison, Form, Reference, Rule, Use};
use crate::parse::tree;
use crate::source::{Module, Problem};
pub use crate::syntax::{Flaw, Step};
use crate::syntax::{
    called, chain, declared, indexes, is_comprehension, location, names, pattern, span, statements,
    variables, word,
};
pub use crate::unbound_variables::KnownNames;
use crate::{builtins, lints, unbound_variables};

pub fn analyse(module: &Module) -> Result<Analysis, Problem> {
    let ast = &tree(module)?;
    let mut analyser = Analyser { text: &module.text, found: Analysis::default(), locals: Locals::default() };
    analyser.found.package = names(ast.pointer("/package/refr").unwrap_or(&Json::Null)).unwrap_or_default();
    analyser.imports(ast.get("imports").unwrap_or(&Json::Null));
    for rule in ast.get("rules").and_then(Json::as_array).into_iter().flatten() {
        analyser.rule(rule);
    }
    let mut found = analyser.found;
    let arity = |name: &str| {
        let own = found.rules.iter().find(|rule| rule.form == Form::Function && rule.path == [name]);
        own.map(|rule| rule.arity).or_else(|| builtins::arity(name))
    };
    found.flaws = builtins::check_arguments(&found.calls);
    found.flaws.extend(lints::check_constants(ast, &found));
    found.flaws.extend(lints::check_findings(ast));
    found.flaws.extend(lints::check_heads(ast));
    let refers = |rule: &Json| !uses_of(rule, &module.text, &found.package, &found.imports).is_empty();
    found.appends = lints::check_appends(ast, &refers);
    found.unbound =
        unbound_variables::check(ast, &module.text, &KnownNames { names: &found.names(), arity: &arity });
    Ok(found)
}

/// Unbound variables of a module, given the names of its package and all functions.
pub fn unbound(module: &Module, known: &KnownNames<'_>) -> Result<Vec<Flaw>, Problem> {
    Ok(unbound_variables::check(&tree(module)?, &module.text, known))
}

struct Analyser<'a> {
    text: &'a str,
    found: Analysis,
    /// The local names of the current rule.
    locals: Locals,
}

impl Analyser<'_> {
    fn imports(&mut self, imports: &Json) {
        for import in imports.as_array().into_iter().flatten() {
            let Some(path) = import.get("refr").and_then(names) else { continue };
            let alias =
                import.get("as").and_then(|as_| span(self.text, as_)).or_else(|| path.last().cloned());
            if let Some(alias) = alias {
                self.found.imports.push((alias, path));
            }
        }
    }

    fn rule(&mut self, rule: &Json) {
        let (head, form) = match (rule.pointer("/Spec/head"), rule.get("Default")) {
            (Some(head), _) => match (head.get("Set"), head.get("Func"), head.get("Compr")) {
                (Some(set), _, _) => (Some(set), Form::Set),
                // `f() := 1` is `f := 1`.
                (_, Some(function), _) if function.pointer("/args/0").is_some() => {
                    (Some(function), Form::Function)
                }
                (_, Some(value), _) => (Some(value), Form::Value),
                (_, _, value) => (value, Form::Value),
            },
            (None, default) => {
                let function = default
                    .and_then(|d| d.get("args"))
                    .and_then(Json::as_array)
                    .is_some_and(|a| !a.is_empty());
                (default, if function { Form::Function } else { Form::Value })
            }
        };
        if let Some(refr) = head.and_then(|head| head.get("refr")) {
            let (root, steps, _) = chain(refr);
            let name = root.map(str::to_owned).unwrap_or_default();
            let count = steps.len();
            let constant = steps
                .into_iter()
                .map_while(|step| if let Step::Name(name) = step { Some(name) } else { None });
            let path: Vec<String> = [name.clone()].into_iter().chain(constant).collect();
            self.found.rules.push(Rule {
                open: path.len() <= count,
                steps: count,
                name,
                path,
                form,
                default: rule.get("Default").is_some(),
                arity: head.and_then(|head| head.get("args")).and_then(Json::as_array).map_or(0, Vec::len),
                uses: uses_of(rule, self.text, &self.found.package, &self.found.imports),
                location: location(rule),
            });
        }
        self.locals = Locals::of(rule, self.text, &|root| self.leads_to_input(root));
        self.node(rule);
        for name in self.locals.unused() {
            self.through(&name, &[]);
        }
    }

    fn leads_to_input(&self, root: &str) -> bool {
        let imported = self.found.imports.iter().find(|(alias, _)| alias == root);
        imported.map_or(root, |(_, path)| path.first().map_or("", String::as_str)) == "input"
    }

    fn node(&mut self, node: &Json) {
        match node {
            Json::Array(items) => items.iter().for_each(|item| self.node(item)),
            Json::Object(map) => {
                self.add_comparisons(map);
                if ["Var", "RefDot", "RefBrack"].iter().any(|kind| map.contains_key(*kind)) {
                    self.reference(node);
                } else if let Some(call) = map.get("Call") {
                    self.call(call, false);
                } else if let Some(call) = map.get("Expr").and_then(|literal| literal.pointer("/expr/Call")) {
                    self.call(call, true);
                } else if let Some(binding) = self.locals.followed(map, self.text) {
                    chain(binding.value).2.into_iter().chain(binding.rest).for_each(|inner| self.node(inner));
                } else {
                    map.values().for_each(|value| self.node(value));
                }
            }
            _ => {}
        }
    }

    fn add_comparisons(&mut self, map: &serde_json::Map<String, Json>) {
        for (reference, text) in comparisons(map) {
            let (Some(root), steps, _) = chain(reference) else { continue };
            let (root, steps) = self.locals.surely(root, &steps).unwrap_or_else(|| (root.to_owned(), steps));
            if let Some(path) = self.below_input(&root, steps) {
                self.found.comparisons.push(Comparison { path, text, location: location(reference) });
            }
        }
    }

    /// The path below `input` of a root and its steps, if they lead there.
    fn below_input(&self, root: &str, steps: Vec<Step>) -> Option<Vec<Step>> {
        let imported = self.found.imports.iter().find(|(alias, _)| alias == root);
        let before = match imported {
            Some((_, path)) => path.split_first().filter(|(first, _)| *first == "input")?.1,
            None => (root == "input").then_some(&[][..])?,
        };
        Some(before.iter().cloned().map(Step::Name).chain(steps).collect())
    }

    /// Adds the paths that a local name reads when `steps` follow it.
    fn through(&mut self, name: &str, steps: &[Step]) {
        for (root, path) in self.locals.reads(name, steps) {
            let imported = self.found.imports.iter().find(|(alias, _)| *alias == root);
            let before = imported.map_or(&[][..], |(_, path)| path.get(1..).unwrap_or_default());
            self.found.through_locals.push(before.iter().cloned().map(Step::Name).chain(path).collect());
        }
    }

    fn call(&mut self, call: &Json, statement: bool) {
        let empty = Vec::new();
        let params = call.get("params").and_then(Json::as_array).unwrap_or(&empty);
        let function = call.get("fcn").unwrap_or(&Json::Null);
        self.found.calls.push(Call {
            name: called(call).unwrap_or_default(),
            statement,
            arguments: params.iter().map(Argument::of).collect(),
            constant: params
                .iter()
                .map(|param| ["Number", "String", "RawString"].iter().any(|kind| param.get(*kind).is_some()))
                .collect(),
            location: location(call),
        });
        self.reference(function);
        for param in params {
            self.node(param);
        }
    }

    fn reference(&mut self, node: &Json) {
        let (root, steps, inner) = chain(node);
        for expression in inner {
            self.node(expression);
        }
        let Some(root) = root else { return };
        self.through(root, &steps);
        if let Some(path) =
            self.locals.surely(root, &steps).and_then(|(root, path)| self.below_input(&root, path))
        {
            self.found.certain_paths.push(Reference { path, location: location(node) });
        }
        let imported =
            self.found.imports.iter().find(|(alias, _)| alias == root).map(|(_, path)| path.clone());
        let mut path = imported.unwrap_or_else(|| vec![root.to_owned()]).into_iter();
        let first = path.next();
        let steps: Vec<Step> = path.map(Step::Name).chain(steps).collect();
        match first.as_deref() {
            Some("input") => self.found.input.push(Reference { path: steps, location: location(node) }),
            Some("data") => {
                let constant = steps
                    .into_iter()
                    .map_while(|step| if let Step::Name(name) = step { Some(name) } else { None });
                self.found.data.push(Reference { path: constant.collect(), location: location(node) });
            }
            _ => {}
        }
    }
}

/// References that a node compares with string constants by `==`, `=` or `in`.
fn comparisons(map: &Map<String, Json>) -> Vec<(&Json, String)> {
    let equal = map.get("BoolExpr").filter(|node| node.get("op").and_then(Json::as_str) == Some("Eq"));
    let equal = equal
        .or_else(|| map.get("AssignExpr").filter(|node| node.get("op").and_then(Json::as_str) == Some("Eq")));
    let mut found = Vec::new();
    if let Some((left, right)) = equal.and_then(|node| Some((node.get("lhs")?, node.get("rhs")?))) {
        for (one, other) in [(left, right), (right, left)] {
            found.extend(text(other).filter(|_| is_reference(one)).map(|text| (one, text)));
        }
    }
    let membership = map.get("Membership").filter(|node| node.get("key").is_none_or(Json::is_null));
    if let Some((value, collection)) =
        membership.and_then(|node| Some((node.get("value")?, node.get("collection")?)))
    {
        let items = ["/Set/items", "/Array/items"].iter().find_map(|at| collection.pointer(at)?.as_array());
        let texts = items.into_iter().flatten().filter_map(text);
        found.extend(texts.filter(|_| is_reference(value)).map(|text| (value, text)));
    }
    found
}

fn text(node: &Json) -> Option<String> {
    let text = ["String", "RawString"].iter().find_map(|kind| node.get(kind)?.get("value")?.as_str());
    text.map(str::to_owned)
}

fn is_reference(node: &Json) -> bool {
    chain(node).0.is_some()
}

/// The rules and paths of `data` that a rule refers to. A name that an argument, `some`, `:=` or `every` declares is a
/// variable. Nothing that the engine would look up may be missing: the check that no rule calls itself depends on it.
fn uses_of(rule: &Json, text: &str, package: &[String], imports: &[(String, Vec<String>)]) -> Vec<Use> {
    let mut collector = UseCollector { text, package, imports, found: Vec::new() };
    collector.rule(rule);
    collector.found
}

struct UseCollector<'a> {
    text: &'a str,
    package: &'a [String],
    imports: &'a [(String, Vec<String>)],
    found: Vec<Use>,
}

type DeclaredNames<'a> = BTreeSet<&'a str>;

impl<'a> UseCollector<'a> {
    fn rule(&mut self, rule: &'a Json) {
        let Some(head) = rule.pointer("/Spec/head").and_then(Json::as_object) else {
            return self.node(rule.pointer("/Default/value").unwrap_or(&Json::Null), &DeclaredNames::new());
        };
        let head = head.values().next().unwrap_or(&Json::Null);
        let arguments: DeclaredNames<'a> =
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

    fn node(&mut self, node: &'a Json, own: &DeclaredNames<'a>) {
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
                    // The target of a `with` is not read; after `as`, a function may replace another.
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

    /// DeclaredNames that `some … in` binds are not visible in the collection.
    fn some_in(&mut self, some: &'a Json, own: &DeclaredNames<'a>) {
        let mut taken = Vec::new();
        for part in ["key", "value"].iter().filter_map(|part| some.get(part)) {
            pattern(part, &mut taken, &mut Vec::new());
            self.node(part, own);
        }
        let outside = own.iter().filter(|name| !taken.iter().any(|taken| taken.text == **name)).copied();
        let outside: DeclaredNames<'a> = outside.collect();
        some.get("collection").into_iter().for_each(|collection| self.node(collection, &outside));
    }

    fn reference(&mut self, node: &'a Json, own: &DeclaredNames<'a>, called: bool) {
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
            self.found.push(Use { path, called, open, location: location(node) });
        }
    }
}

#[cfg(test)]
mod tests;
