//! LocalName names for parts of the input in one rule: `some c in input.request.object.spec.containers`,
//! `o := input.request.object`.
//!
//! Such a name reads what follows it: `c.image` reads the images of the containers alone. A name is followed only if it
//! stands for references alone, and every mention in the rule counts. A mention without steps (passed on, compared,
//! returned) reads all that the name stands for.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::syntax::{Step, chain, declared, is_declaration, pattern, span, variables, word};

/// How many names may stand for one another; a longer chain is read as a whole.
const DEPTH_MAX: usize = 4;
/// Names per rule; if there are more, none is followed.
const NAMES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Locals {
    followed: Vec<LocalName>,
    /// Names that are bound exactly once in the rule.
    once: BTreeSet<String>,
}

#[derive(Debug)]
struct LocalName {
    name: String,
    root: String,
    path: Vec<Step>,
    /// Whether it stands for the elements of the collection at the path.
    element: bool,
    used: Cell<bool>,
}

pub(super) struct Binding<'a> {
    name: String,
    pub(super) value: &'a Json,
    /// Whether it is bound to each element of the value.
    element: bool,
    /// The key of `some`, or the body of `every`.
    pub(super) rest: Option<&'a Json>,
}

impl Locals {
    /// The names of a rule whose root leads to the input, which `known` decides.
    pub(super) fn of(rule: &Json, text: &str, known: &dyn Fn(&str) -> bool) -> Self {
        let mut bindings = Vec::new();
        collect(rule, text, &mut bindings);
        let mut locals: Vec<LocalName> = bindings
            .into_iter()
            .filter(|binding| !["input", "data"].contains(&binding.name.as_str()))
            .filter_map(|binding| {
                let (root, mut path, _) = chain(binding.value);
                path.extend(binding.element.then_some(Step::Any));
                Some(LocalName {
                    root: root?.to_owned(),
                    name: binding.name,
                    path,
                    element: binding.element,
                    used: Cell::new(false),
                })
            })
            .collect();
        if locals.len() > NAMES_MAX {
            locals.clear();
        }
        // A name that leads elsewhere or back to itself is not followed, nor one that depends on it.
        while let Some(at) = locals.iter().position(|local| !leads(&locals, local, known, DEPTH_MAX)) {
            locals.swap_remove(at);
        }
        let mut bound = BTreeMap::new();
        binders(rule, text, &mut bound);
        let once =
            bound.into_iter().filter(|(_, times)| *times == 1).map(|(name, _)| name.to_owned()).collect();
        Self { followed: locals, once }
    }

    /// The only path that `name` followed by `steps` can be; `None` if there may be others.
    pub(super) fn surely(&self, name: &str, steps: &[Step]) -> Option<(String, Vec<Step>)> {
        let local = self.followed.iter().find(|local| local.name == name && self.once.contains(name))?;
        let path: Vec<Step> = local.path.iter().chain(steps).cloned().collect();
        let is_local = self.followed.iter().any(|other| other.name == local.root);
        if is_local { self.surely(&local.root, &path) } else { Some((local.root.clone(), path)) }
    }

    /// The binding of a node, if it is followed: then its value is not a read by itself.
    pub(super) fn followed<'a>(&self, map: &'a Map<String, Json>, text: &str) -> Option<Binding<'a>> {
        let binding = binding(map, text)?;
        let (root, mut path, _) = chain(binding.value);
        path.extend(binding.element.then_some(Step::Any));
        let same = |local: &&LocalName| {
            local.name == binding.name && Some(local.root.as_str()) == root && local.path == path
        };
        self.followed.iter().any(|local| same(&local)).then_some(binding)
    }

    pub(super) fn reads(&self, name: &str, steps: &[Step]) -> Vec<(String, Vec<Step>)> {
        let mut found = Vec::new();
        for local in self.followed.iter().filter(|local| local.name == name) {
            local.used.set(true);
            let mut path: Vec<Step> = local.path.iter().chain(steps).cloned().collect();
            if local.element && steps.is_empty() {
                // All of each element is all of the collection.
                path.pop();
            }
            let below = self.reads(&local.root, &path);
            if below.is_empty() { found.push((local.root.clone(), path)) } else { found.extend(below) }
        }
        found
    }

    /// Names that are bound and not mentioned. Whether they are bound depends on their value.
    pub(super) fn unused(&self) -> Vec<String> {
        self.followed.iter().filter(|local| !local.used.get()).map(|local| local.name.clone()).collect()
    }
}

/// Whether a name leads to the input, directly or through other names.
fn leads(locals: &[LocalName], local: &LocalName, known: &dyn Fn(&str) -> bool, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let mut next = locals.iter().filter(|other| other.name == local.root).peekable();
    if next.peek().is_none() {
        return known(&local.root);
    }
    next.all(|other| leads(locals, other, known, depth))
}

/// How often each name is bound in a rule: as an argument, by `some`, `every`, `:=` or `=`.
fn binders<'a>(node: &'a Json, text: &'a str, found: &mut BTreeMap<&'a str, usize>) {
    let mut add = |name: &'a str| *found.entry(name).or_default() += 1;
    match node {
        Json::Array(items) => items.iter().for_each(|item| binders(item, text, found)),
        Json::Object(map) => {
            map.get("args").into_iter().flat_map(variables).for_each(|name| add(name.text));
            if let Some(stmts) = map.get("stmts").and_then(Json::as_array) {
                declared(stmts, text).iter().for_each(|name| add(name.text));
            }
            if let Some(every) = map.get("Every") {
                ["key", "value"].iter().filter_map(|part| word(text, every.get(part)?)).for_each(&mut add);
            }
            if let Some(assign) = map.get("AssignExpr").filter(|assign| !is_declaration(assign)) {
                let mut names = Vec::new();
                ["lhs", "rhs"]
                    .iter()
                    .filter_map(|side| assign.get(side))
                    .for_each(|side| pattern(side, &mut names, &mut Vec::new()));
                names.iter().for_each(|name| add(name.text));
            }
            map.values().for_each(|value| binders(value, text, found));
        }
        _ => {}
    }
}

fn collect<'a>(node: &'a Json, text: &str, found: &mut Vec<Binding<'a>>) {
    match node {
        Json::Array(items) => items.iter().for_each(|item| collect(item, text, found)),
        Json::Object(map) => {
            found.extend(binding(map, text));
            map.values().for_each(|value| collect(value, text, found));
        }
        _ => {}
    }
}

/// The binding of a node: `some x in …`, `every x in …`, `x := …`.
fn binding<'a>(map: &'a Map<String, Json>, text: &str) -> Option<Binding<'a>> {
    let name = |node: &Json| node.pointer("/Var/value").and_then(Json::as_str).map(str::to_owned);
    if let Some(some) = map.get("SomeIn") {
        let (name, value) = (name(some.get("value")?)?, some.get("collection")?);
        return Some(Binding { name, value, element: true, rest: some.get("key") });
    }
    if let Some(every) = map.get("Every") {
        let name = span(text, every.get("value")?)?;
        return Some(Binding { name, value: every.get("domain")?, element: true, rest: every.get("query") });
    }
    let assign = map.get("AssignExpr")?;
    assign.get("op").and_then(Json::as_str).filter(|op| *op == "ColEq")?;
    let (name, value) = (name(assign.get("lhs")?)?, assign.get("rhs")?);
    Some(Binding { name, value, element: false, rest: None })
}
