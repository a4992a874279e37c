//! A statement: what it needs before it can be evaluated, and what has a value after it.

use serde_json::Value as Json;

use super::scope::Scope;
use super::terms::{Name, Terms, pattern, variable};
use super::{Known, statements};
use crate::tree::called;

/// A statement of a body, or what a head says, taken apart.
#[derive(Debug, Default)]
pub(super) struct Statement<'a> {
    pub(super) terms: Terms<'a>,
    /// Patterns that are held against what has a value then: of `some … in`, and what a call answers.
    pub(super) takes: Vec<Name<'a>>,
    /// Two sides that are made equal.
    pub(super) equal: Option<(&'a Json, &'a Json)>,
    /// `not …`, which gives nothing.
    pub(super) negated: bool,
    /// `every`, whose body is one of its own.
    pub(super) every: Option<&'a Json>,
}

impl<'a> Statement<'a> {
    /// Of a body.
    pub(super) fn of(stmt: &'a Json, outer: &Scope<'a>, known: &Known<'_>) -> Self {
        let mut this = Self::default();
        let literal = stmt.get("literal").unwrap_or(&Json::Null);
        if let Some(some) = literal.get("SomeIn") {
            this.some_in(some, outer);
        } else if let Some(every) = literal.get("Every") {
            every.get("domain").into_iter().for_each(|domain| this.terms.read(domain));
            this.every = Some(every);
        } else if let Some(expr) = literal.pointer("/NotExpr/expr") {
            this.terms.read(expr);
            let keys = std::mem::take(&mut this.terms.keys);
            this.terms.needs.extend(keys.into_iter().chain(wildcards(expr)));
            this.negated = true;
        } else if let Some(expr) = literal.pointer("/Expr/expr") {
            this.expression(expr, known);
        }
        for with in stmt.get("with_mods").and_then(Json::as_array).into_iter().flatten() {
            with.get("as").into_iter().for_each(|value| this.terms.read(value));
        }
        this
    }

    /// Of a head or the term of a comprehension, which are looked at after the body.
    pub(super) fn output(node: &'a Json, gives: bool) -> Self {
        let mut this = Self::default();
        this.terms.read(node);
        if !gives {
            let mut keys = std::mem::take(&mut this.terms.keys);
            this.terms.needs.append(&mut keys);
        }
        this
    }

    fn some_in(&mut self, some: &'a Json, outer: &Scope<'a>) {
        for part in ["key", "value"].iter().filter_map(|part| some.get(part)) {
            let mut rest = Vec::new();
            pattern(part, &mut self.takes, &mut rest);
            rest.into_iter().for_each(|node| self.terms.read(node));
        }
        some.get("collection").into_iter().for_each(|collection| self.terms.read(collection));
        // `some c in c.parts`: the second is the one outside.
        let takes = &self.takes;
        let outside =
            |name: &Name<'_>| takes.iter().any(|own| own.text == name.text) && outer.gave(name.text);
        self.terms.needs.retain(|name| !outside(name));
    }

    fn expression(&mut self, expr: &'a Json, known: &Known<'_>) {
        if let Some(assign) = expr.get("AssignExpr") {
            let sides = (assign.get("lhs").unwrap_or(&Json::Null), assign.get("rhs").unwrap_or(&Json::Null));
            for side in [sides.0, sides.1] {
                let (mut names, mut rest) = (Vec::new(), Vec::new());
                pattern(side, &mut names, &mut rest);
                self.terms.needs.extend(names.into_iter().filter(|name| name.text != "_"));
                rest.into_iter().for_each(|node| self.terms.read(node));
            }
            self.equal = Some(sides);
            return;
        }
        let call = expr.get("Call");
        let params = call.and_then(|call| call.get("params")).and_then(Json::as_array);
        let arity = call.and_then(called).and_then(|name| (known.arity)(&name));
        match (params.and_then(|params| params.split_last()), arity) {
            // One argument more than it takes is what it answers.
            (Some((last, before)), Some(arity)) if before.len() == arity => {
                before.iter().for_each(|param| self.terms.read(param));
                let mut rest = Vec::new();
                pattern(last, &mut self.takes, &mut rest);
                rest.into_iter().for_each(|node| self.terms.read(node));
            }
            _ => self.terms.read(expr),
        }
    }

    /// What it would give, whether or not it has all that it needs.
    pub(super) fn names(&self) -> Vec<Name<'a>> {
        let mut names: Vec<Name<'a>> = self.takes.iter().chain(&self.terms.keys).copied().collect();
        let sides = self.equal.into_iter().flat_map(|(left, right)| [left, right]);
        sides.for_each(|side| pattern(side, &mut names, &mut Vec::new()));
        if self.negated { Vec::new() } else { names }
    }

    /// What has a value after it; with what it lacks, if it cannot be evaluated yet.
    pub(super) fn after(&self, scope: &Scope<'a>, known: &Known<'_>) -> (Scope<'a>, Vec<Name<'a>>) {
        let mut after = scope.clone();
        self.terms.keys.iter().for_each(|name| after.give(name.text));
        if let Some((left, right)) = self.equal {
            unify(left, right, &mut after, known);
        }
        let lacks: Vec<Name<'a>> =
            self.terms.needs.iter().filter(|name| !after.has(name.text, known)).copied().collect();
        self.takes.iter().for_each(|name| after.give(name.text));
        (after, lacks)
    }
}

/// Gives the variables of one side a value where the other side has one.
fn unify<'a>(left: &'a Json, right: &'a Json, scope: &mut Scope<'a>, known: &Known<'_>) {
    let items = |node: &'a Json| node.pointer("/Array/items").and_then(Json::as_array);
    if let (Some(left), Some(right)) = (items(left), items(right))
        && left.len() == right.len()
    {
        // Twice, since what stands later may give a value to what stands before: `[x, x] = [y, 1]`.
        for _ in 0..2 {
            left.iter().zip(right).for_each(|(left, right)| unify(left, right, scope, known));
        }
        return;
    }
    for (from, to) in [(left, right), (right, left)] {
        let mut terms = Terms::default();
        terms.read(from);
        let has = terms.needs.iter().all(|name| name.text == "_" || scope.has(name.text, known));
        if has {
            let mut names = Vec::new();
            pattern(to, &mut names, &mut Vec::new());
            names.iter().for_each(|name| scope.give(name.text));
        }
    }
}

/// `_` in brackets below a negation: whether none or not each is meant, nobody can tell.
fn wildcards(node: &Json) -> Vec<Name<'_>> {
    match node {
        Json::Object(map) => {
            if super::terms::is_comprehension(node) {
                return Vec::new();
            }
            let index = map.get("RefBrack").and_then(|bracket| bracket.get("index")).and_then(variable);
            let own = index.filter(|name| name.text == "_");
            own.into_iter().chain(map.values().flat_map(wildcards)).collect()
        }
        Json::Array(items) => items.iter().flat_map(wildcards).collect(),
        _ => Vec::new(),
    }
}

/// The body of an `every`.
pub(super) fn body(every: &Json) -> &[Json] {
    statements(every.get("query"))
}
