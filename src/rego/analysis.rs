//! What a module says, read from its syntax tree: package, imports, rules, calls, and what it reads.
//!
//! The tree is the engine's own, as JSON. The walk is closed: whatever node it meets, a use of `input` or `data`
//! below it is a variable of that name, and a chain of constants after it is the longest thing it may claim to
//! have understood.

mod compared;
mod found;
mod locals;

use serde_json::Value as Json;

pub use self::found::{Analysis, Call, Compared, Form, Reference, Rule};
use self::locals::Locals;
use super::literals::{self, Given};
use super::safety::{self, Flaw, Known};
pub use super::tree::Step;
use super::tree::{called, chain, names, place, span};
use super::uses;
use super::{appends, builtins, constants, findings, heads, imports};
use crate::module::Module;
use crate::problem::Problem;

/// Parses and walks a module.
///
/// # Errors
/// A syntax error at its place.
pub fn analyse(module: &Module) -> Result<Analysis, Problem> {
    let ast = &tree(module)?;
    let mut walk = Walk { text: &module.text, found: Analysis::default(), locals: Locals::default() };
    walk.found.package = names(ast.pointer("/package/refr").unwrap_or(&Json::Null)).unwrap_or_default();
    walk.imports(ast.get("imports").unwrap_or(&Json::Null));
    for rule in ast.get("rules").and_then(Json::as_array).into_iter().flatten() {
        walk.rule(rule);
    }
    let mut found = walk.found;
    let arity = |name: &str| {
        let own = found.rules.iter().find(|rule| rule.form == Form::Function && rule.path == [name]);
        own.map(|rule| rule.arity).or_else(|| builtins::arity(name))
    };
    found.flaws = literals::check(&found.calls);
    found.flaws.extend(constants::check(ast, &found));
    found.flaws.extend(findings::check(ast));
    found.flaws.extend(heads::check(ast));
    let refers = |rule: &Json| !uses::of(rule, &module.text, &found.package, &found.imports).is_empty();
    found.appends = appends::check(ast, &refers);
    found.unbound = safety::check(ast, &module.text, &Known { names: &found.names(), arity: &arity });
    Ok(found)
}

/// Variables without a value, for whoever knows the names of the whole package and every function.
///
/// # Errors
/// A syntax error at its place.
pub fn unbound(module: &Module, known: &Known<'_>) -> Result<Vec<Flaw>, Problem> {
    Ok(safety::check(&tree(module)?, &module.text, known))
}

pub(super) fn tree(module: &Module) -> Result<Json, Problem> {
    let mut engine = super::load(&[module]).map_err(|problem| problem.settled(&module.text))?;
    let read = engine.get_modules().first().ok_or_else(|| Problem::of(&module.path, "is no module"))?;
    // Not by way of the text that the engine would write: of a long module it is megabytes.
    let mut ast =
        serde_json::to_value(read.as_ref()).map_err(|error| Problem::of(&module.path, error.to_string()))?;
    let (_, places) = heads::completed(&module.text);
    if !places.is_empty() {
        heads::as_before(&mut ast, &places);
    }
    imports::check(module, &ast).map_err(|problem| problem.settled(&module.text))?;
    Ok(ast)
}

struct Walk<'a> {
    text: &'a str,
    found: Analysis,
    /// Of the rule that is walked.
    locals: Locals,
}

impl Walk<'_> {
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
                uses: uses::of(rule, self.text, &self.found.package, &self.found.imports),
                place: place(rule),
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
                self.compared(map);
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

    fn compared(&mut self, map: &serde_json::Map<String, Json>) {
        for (reference, text) in compared::of(map) {
            let (Some(root), steps, _) = chain(reference) else { continue };
            let (root, steps) = self.locals.surely(root, &steps).unwrap_or_else(|| (root.to_owned(), steps));
            if let Some(path) = self.below_input(&root, steps) {
                self.found.compared.push(Compared { path, text, place: place(reference) });
            }
        }
    }

    /// The path below `input` of a root and its steps, if that is where it leads.
    fn below_input(&self, root: &str, steps: Vec<Step>) -> Option<Vec<Step>> {
        let imported = self.found.imports.iter().find(|(alias, _)| alias == root);
        let before = match imported {
            Some((_, path)) => path.split_first().filter(|(first, _)| *first == "input")?.1,
            None => (root == "input").then_some(&[][..])?,
        };
        Some(before.iter().cloned().map(Step::Name).chain(steps).collect())
    }

    /// What a local name reads when it is followed by `steps`.
    fn through(&mut self, name: &str, steps: &[Step]) {
        for (root, path) in self.locals.reads(name, steps) {
            let imported = self.found.imports.iter().find(|(alias, _)| *alias == root);
            let before = imported.map_or(&[][..], |(_, path)| path.get(1..).unwrap_or_default());
            self.found.through.push(before.iter().cloned().map(Step::Name).chain(path).collect());
        }
    }

    fn call(&mut self, call: &Json, statement: bool) {
        let empty = Vec::new();
        let params = call.get("params").and_then(Json::as_array).unwrap_or(&empty);
        let function = call.get("fcn").unwrap_or(&Json::Null);
        self.found.calls.push(Call {
            name: called(call).unwrap_or_default(),
            statement,
            given: params.iter().map(Given::of).collect(),
            constant: params
                .iter()
                .map(|param| ["Number", "String", "RawString"].iter().any(|kind| param.get(*kind).is_some()))
                .collect(),
            place: place(call),
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
            self.found.certain.push(Reference { path, place: place(node) });
        }
        let imported =
            self.found.imports.iter().find(|(alias, _)| alias == root).map(|(_, path)| path.clone());
        let mut path = imported.unwrap_or_else(|| vec![root.to_owned()]).into_iter();
        let first = path.next();
        let steps: Vec<Step> = path.map(Step::Name).chain(steps).collect();
        match first.as_deref() {
            Some("input") => self.found.input.push(Reference { path: steps, place: place(node) }),
            Some("data") => {
                let constant = steps
                    .into_iter()
                    .map_while(|step| if let Step::Name(name) = step { Some(name) } else { None });
                self.found.data.push(Reference { path: constant.collect(), place: place(node) });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
