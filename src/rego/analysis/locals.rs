//! Names for parts of the input inside one rule: `some c in input.request.object.spec.containers`, `o := input.request.object`.
//!
//! What such a name reads is what stands after it: `c.image` reads the images of the containers and nothing else of them.
//! It is followed only where nothing can be lost: the name stands for a reference and nothing else, and every place in
//! the rule where it is written counts, whatever it means there. Written alone (passed on, compared, returned) it is all
//! of what it stands for.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::super::safety::terms::{declared, is_declaration, pattern, variables, word};
use super::super::tree::{Step, chain, span};

/// Names of names that are followed; what is longer is read whole.
const DEPTH_MAX: usize = 4;
/// Names of one rule that are followed; with more of them none is.
const NAMES_MAX: usize = 64;

/// The names of one rule.
#[derive(Debug, Default)]
pub(super) struct Locals {
    followed: Vec<Local>,
    /// Names that are bound in one place of the rule and no other.
    once: BTreeSet<String>,
}

#[derive(Debug)]
struct Local {
    name: String,
    root: String,
    path: Vec<Step>,
    /// Whether it stands for the elements of what the path before its last step leads to.
    element: bool,
    used: Cell<bool>,
}

/// A name as it is bound.
pub(super) struct Binding<'a> {
    name: String,
    /// What to.
    pub(super) value: &'a Json,
    /// Whether to each element of it.
    element: bool,
    /// What else stands beside it.
    pub(super) rest: Option<&'a Json>,
}

impl Locals {
    /// Those of a rule, as far as `known` says that their root leads to the input.
    pub(super) fn of(rule: &Json, text: &str, known: &dyn Fn(&str) -> bool) -> Self {
        let mut bindings = Vec::new();
        collect(rule, text, &mut bindings);
        let mut locals: Vec<Local> = bindings
            .into_iter()
            .filter(|binding| !["input", "data"].contains(&binding.name.as_str()))
            .filter_map(|binding| {
                let (root, mut path, _) = chain(binding.value);
                path.extend(binding.element.then_some(Step::Any));
                Some(Local {
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
        // A name that leads nowhere, or back to itself, is followed no further, nor is one that stands on it.
        while let Some(at) = locals.iter().position(|local| !leads(&locals, local, known, DEPTH_MAX)) {
            locals.swap_remove(at);
        }
        let mut bound = BTreeMap::new();
        binders(rule, text, &mut bound);
        let once =
            bound.into_iter().filter(|(_, times)| *times == 1).map(|(name, _)| name.to_owned()).collect();
        Self { followed: locals, once }
    }

    /// What `name`, followed by `steps`, is for sure; `None` where it is no such name or could be several things.
    pub(super) fn surely(&self, name: &str, steps: &[Step]) -> Option<(String, Vec<Step>)> {
        let local = self.followed.iter().find(|local| local.name == name && self.once.contains(name))?;
        let path: Vec<Step> = local.path.iter().chain(steps).cloned().collect();
        let is_local = self.followed.iter().any(|other| other.name == local.root);
        if is_local { self.surely(&local.root, &path) } else { Some((local.root.clone(), path)) }
    }

    /// The binding that an object of the tree is, if it is followed: then what it is bound to is no read by itself.
    pub(super) fn followed<'a>(&self, map: &'a Map<String, Json>, text: &str) -> Option<Binding<'a>> {
        let binding = binding(map, text)?;
        let (root, mut path, _) = chain(binding.value);
        path.extend(binding.element.then_some(Step::Any));
        let same = |local: &&Local| {
            local.name == binding.name && Some(local.root.as_str()) == root && local.path == path
        };
        self.followed.iter().any(|local| same(&local)).then_some(binding)
    }

    /// Roots and paths that `name`, followed by `steps`, reads.
    pub(super) fn reads(&self, name: &str, steps: &[Step]) -> Vec<(String, Vec<Step>)> {
        let mut found = Vec::new();
        for local in self.followed.iter().filter(|local| local.name == name) {
            local.used.set(true);
            let mut path: Vec<Step> = local.path.iter().chain(steps).cloned().collect();
            if local.element && steps.is_empty() {
                // All of each element is all of what they are elements of.
                path.pop();
            }
            let below = self.reads(&local.root, &path);
            if below.is_empty() { found.push((local.root.clone(), path)) } else { found.extend(below) }
        }
        found
    }

    /// Names that stand nowhere but where they are bound. That they are bound at all depends on what they stand for.
    pub(super) fn unused(&self) -> Vec<String> {
        self.followed.iter().filter(|local| !local.used.get()).map(|local| local.name.clone()).collect()
    }
}

/// Whether a name ends at the input, by way of other names or not.
fn leads(locals: &[Local], local: &Local, known: &dyn Fn(&str) -> bool, depth: usize) -> bool {
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

/// What an object of the tree binds: `some x in …`, `every x in …`, `x := …`.
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
