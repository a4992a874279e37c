//! A query: statements in whatever order, then what is made of them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::scope::Scope;
use super::statement::{Statement, body};
use super::terms::{Name, declared, free, word};
use super::{Checker, Flaw, statements};
use crate::did_you_mean::nearest;

/// What is made of a query.
pub(super) struct Outputs<'a> {
    /// Only looked at.
    pub(super) needs: Vec<&'a Json>,
    /// May go over keys, as a statement may.
    pub(super) gives: Vec<&'a Json>,
}

impl<'a> Checker<'a, '_> {
    /// Judges the statements of one body, the bodies in it, and what is made of it.
    pub(super) fn query(&mut self, stmts: &'a [Json], outputs: &Outputs<'a>, outer: &Scope<'a>) {
        let own = declared(stmts, self.text);
        self.declarations(stmts, outputs, &own);
        let mut scope = outer.clone();
        own.iter().for_each(|name| scope.declare(name.text));
        let all: Vec<Statement<'a>> =
            stmts.iter().map(|stmt| Statement::of(stmt, outer, self.known)).collect();
        let ends: Vec<Statement<'a>> = (outputs.needs.iter().map(|node| Statement::output(node, false)))
            .chain(outputs.gives.iter().map(|node| Statement::output(node, true)))
            .collect();
        // Names of this body, for which bodies inside it wait.
        let mut here: BTreeSet<&'a str> = own.iter().map(|name| name.text).collect();
        for statement in all.iter().chain(&ends) {
            here.extend(statement.names().iter().chain(&statement.terms.needs).map(|name| name.text));
        }
        let mut open: Vec<&Statement<'a>> = all.iter().collect();
        loop {
            let before = open.len();
            open.retain(|statement| {
                let done = self.lacks(statement, &scope, &here).is_empty();
                if done {
                    scope = statement.after(&scope, self.known).0;
                }
                !done
            });
            if open.len() == before {
                break;
            }
        }
        self.left_over(&open, &mut scope, &here);
        for end in &ends {
            let lacks = self.lacks(end, &scope, &here);
            lacks.into_iter().for_each(|name| self.unbound(name, &scope));
            scope = end.after(&scope, self.known).0;
        }
        for statement in
            all.iter().chain(&ends).filter(|one| !open.iter().any(|left| std::ptr::eq(*left, *one)))
        {
            self.inside(statement, &scope);
        }
    }

    /// What a statement lacks, and what the bodies inside it wait for.
    fn lacks(&self, statement: &Statement<'a>, scope: &Scope<'a>, here: &BTreeSet<&'a str>) -> Vec<Name<'a>> {
        let mut lacks = statement.after(scope, self.known).1;
        let mut around = scope.clone();
        statement.terms.keys.iter().for_each(|name| around.give(name.text));
        let mut waits = Vec::new();
        for closure in &statement.terms.closures {
            free(closure, self.text, &BTreeSet::new(), &mut waits);
        }
        waits.extend(self.free_in_every(statement));
        waits.retain(|name| {
            here.contains(name.text) && name.text != "_" && !around.has(name.text, self.known)
        });
        lacks.append(&mut waits);
        lacks
    }

    fn free_in_every(&self, statement: &Statement<'a>) -> Vec<Name<'a>> {
        let mut found = Vec::new();
        if let Some(every) = statement.every {
            let own = ["key", "value"].iter().filter_map(|part| word(self.text, every.get(part)?)).collect();
            every.get("query").into_iter().for_each(|query| free(query, self.text, &own, &mut found));
        }
        found
    }

    /// Statements that nobody can evaluate: says what they lack, unless another of them would give it.
    fn left_over(&mut self, open: &[&Statement<'a>], scope: &mut Scope<'a>, here: &BTreeSet<&'a str>) {
        let given: BTreeSet<&str> = open.iter().flat_map(|one| one.names()).map(|name| name.text).collect();
        let lacks: Vec<Name<'a>> = open.iter().flat_map(|one| self.lacks(one, scope, here)).collect();
        let mut said: Vec<Name<'a>> =
            lacks.iter().filter(|name| !given.contains(name.text)).copied().collect();
        if said.is_empty() {
            // Round and round: each waits for the other.
            said = lacks;
        }
        said.into_iter().for_each(|name| self.unbound(name, scope));
        open.iter().flat_map(|one| one.names()).for_each(|name| scope.give(name.text));
    }

    /// The bodies inside a statement, with all that has a value around them.
    fn inside(&mut self, statement: &Statement<'a>, scope: &Scope<'a>) {
        for closure in &statement.terms.closures {
            let Some(parts) = closure.as_object().and_then(|kind| kind.values().next()) else { continue };
            let gives = ["term", "key", "value"].iter().filter_map(|part| parts.get(part)).collect();
            self.query(statements(parts.get("query")), &Outputs { needs: Vec::new(), gives }, scope);
        }
        if let Some(every) = statement.every {
            let mut inner = scope.clone();
            for name in ["key", "value"].iter().filter_map(|part| word(self.text, every.get(part)?)) {
                inner.declare(name);
                inner.give(name);
            }
            self.query(body(every), &Outputs { needs: Vec::new(), gives: Vec::new() }, &inner);
        }
    }

    fn unbound(&mut self, name: Name<'a>, scope: &Scope<'a>) {
        let text = name.text;
        let message = if text == "_" {
            "`_` has no value here: below `not` and as an argument it is no wildcard; bind a variable in a line before, or count a comprehension".to_owned()
        } else {
            let meant =
                nearest(text, scope.names(self.known)).map(|near| format!(": did you mean `{near}`?"));
            format!(
                "`{text}` never has a value: it is no rule, import or argument, and no line of this body binds it; write `{text} := …` or `some {text} in …`{}",
                meant.unwrap_or_default()
            )
        };
        self.found.push(Flaw::at(name.node, message));
    }

    /// What is declared twice, or for nothing.
    fn declarations(&mut self, stmts: &'a [Json], outputs: &Outputs<'a>, own: &[Name<'a>]) {
        let mut seen = BTreeSet::new();
        for stmt in stmts {
            let names = declared(std::slice::from_ref(stmt), self.text);
            for name in names.iter().filter(|name| seen.contains(name.text)) {
                let message = format!(
                    "`{}` is declared twice in this body; give one of the two another name",
                    name.text
                );
                self.found.push(Flaw::at(name.node, message));
            }
            seen.extend(names.iter().map(|name| name.text));
        }
        let mut used = Vec::new();
        let nodes = stmts.iter().chain(outputs.needs.iter().copied()).chain(outputs.gives.iter().copied());
        nodes.for_each(|node| mentions(node, &mut used));
        // A variable of `some x` stands in the tree as a span; every use of it as a node.
        for name in own.iter().filter(|name| name.node.get("Var").is_none() && !used.contains(&name.text)) {
            let message = format!("`some {}` is used nowhere in this body", name.text);
            self.found.push(Flaw::at(name.node, message));
        }
    }
}

fn mentions<'a>(node: &'a Json, found: &mut Vec<&'a str>) {
    match node {
        Json::Object(map) => {
            found.extend(super::terms::variable(node).map(|name| name.text));
            map.values().for_each(|value| mentions(value, found));
        }
        Json::Array(items) => items.iter().for_each(|item| mentions(item, found)),
        _ => {}
    }
}
