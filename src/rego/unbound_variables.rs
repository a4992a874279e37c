//! Variables that nothing binds. OPA calls them unsafe and refuses them; in the engine they are undefined when the rule
//! runs, so the rule would never fire.
//!
//! Statements of a body have no order: each is evaluated once all that it needs has a value, and may then bind more
//! variables. A statement that is left over can never be evaluated. A nested body (comprehension, `every`) sees the
//! variables around it and waits for them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::did_you_mean::nearest;
use crate::syntax::{
    Flaw, Terms, Variable, called, declared, free, indexes, is_comprehension, pattern, statements, variable,
    variables, word,
};

/// Names from outside a rule.
pub struct KnownNames<'k> {
    /// Rules of the package, and imports of the module.
    pub names: &'k BTreeSet<String>,
    /// How many arguments a function or builtin takes, by its name as written; `None` if unknown.
    pub arity: &'k dyn Fn(&str) -> Option<usize>,
}

/// Finds unbound variables in a module's syntax tree; `text` is its source. More known names never give more flaws.
pub(crate) fn check(ast: &Json, text: &str, known: &KnownNames<'_>) -> Vec<Flaw> {
    let mut checker = Checker { text, known, found: Vec::new() };
    for rule in ast.get("rules").and_then(Json::as_array).into_iter().flatten() {
        checker.rule(rule);
    }
    checker.found.sort();
    checker.found.dedup();
    checker.found
}

struct Checker<'a, 'k> {
    text: &'a str,
    known: &'k KnownNames<'k>,
    found: Vec<Flaw>,
}

impl<'a> Checker<'a, '_> {
    fn rule(&mut self, rule: &'a Json) {
        if let Some(default) = rule.get("Default") {
            return self.default(default.get("value").unwrap_or(&Json::Null));
        }
        let head = rule.pointer("/Spec/head").and_then(Json::as_object).and_then(|head| head.values().next());
        let head = head.unwrap_or(&Json::Null);
        let mut outer = Scope::default();
        for name in head.get("args").into_iter().flat_map(variables) {
            if matches!(name.text, "input" | "data") {
                let message = format!("an argument hides `{}`; rename it", name.text);
                self.found.push(Flaw::at(name.node, message));
            }
            outer.declare(name.text);
            outer.bind(name.text);
        }
        let own = Outputs {
            needs: indexes(head.get("refr").unwrap_or(&Json::Null)),
            gives: [head.get("key"), head.pointer("/assign/value")].into_iter().flatten().collect(),
        };
        let bodies = rule.pointer("/Spec/bodies").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        if bodies.is_empty() {
            self.query(&[], &own, &outer);
        }
        for (index, body) in bodies.iter().enumerate() {
            let other =
                Outputs { needs: Vec::new(), gives: body.pointer("/assign/value").into_iter().collect() };
            let outputs =
                if index == 0 || body.get("is_else") != Some(&Json::Bool(true)) { &own } else { &other };
            self.query(statements(body.get("query")), outputs, &outer);
        }
    }

    /// A default must be a constant; the engine would fail only when the rule is evaluated.
    fn default(&mut self, value: &Json) {
        let wrong = if !variables(value).is_empty() {
            "a variable or reference"
        } else if holds(value, "Call") {
            "a call"
        } else {
            return;
        };
        let message = format!("the value of a default must be a constant, but this has {wrong}");
        self.found.push(Flaw::at(value, message));
    }
}

fn holds(node: &Json, kind: &str) -> bool {
    match node {
        Json::Object(map) => map.contains_key(kind) || map.values().any(|value| holds(value, kind)),
        Json::Array(items) => items.iter().any(|item| holds(item, kind)),
        _ => false,
    }
}

/// The names that have a value at a position of a body.
#[derive(Debug, Clone, Default)]
struct Scope<'a> {
    /// Declared by `some`, `:=`, `every` or as an argument: they hide rules and imports.
    declared: BTreeSet<&'a str>,
    valued: BTreeSet<&'a str>,
}

impl<'a> Scope<'a> {
    /// Declares a name, without a value yet.
    fn declare(&mut self, name: &'a str) {
        self.declared.insert(name);
        self.valued.remove(name);
    }

    /// Gives a name a value. `_` never gets one, because each `_` is another variable.
    fn bind(&mut self, name: &'a str) {
        if name != "_" {
            self.valued.insert(name);
        }
    }

    fn has(&self, name: &str, known: &KnownNames<'_>) -> bool {
        self.valued.contains(name) || (!self.declared.contains(name) && is_global(name, known))
    }

    fn is_bound(&self, name: &str) -> bool {
        self.valued.contains(name)
    }

    /// Candidates for a misspelt name.
    fn names<'s>(&'s self, known: &'s KnownNames<'_>) -> impl Iterator<Item = &'s str> {
        self.valued.iter().copied().chain(known.names.iter().map(String::as_str)).chain(["input", "data"])
    }
}

fn is_global(name: &str, known: &KnownNames<'_>) -> bool {
    matches!(name, "input" | "data") || known.names.contains(name)
}

/// What a statement, or an expression of a head, needs and binds.
#[derive(Debug, Default)]
struct Statement<'a> {
    terms: Terms<'a>,
    /// Variables bound by `some … in` and by the result of a call.
    takes: Vec<Variable<'a>>,
    /// The two sides of `=` or `:=`.
    equal: Option<(&'a Json, &'a Json)>,
    /// `not …` binds nothing.
    negated: bool,
    every: Option<&'a Json>,
}

impl<'a> Statement<'a> {
    fn of(stmt: &'a Json, outer: &Scope<'a>, known: &KnownNames<'_>) -> Self {
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

    /// An expression of a head or of a comprehension, which is evaluated after the body.
    fn output(node: &'a Json, gives: bool) -> Self {
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
        // In `some c in c.parts` the second `c` is the outer one.
        let takes = &self.takes;
        let outside =
            |name: &Variable<'_>| takes.iter().any(|own| own.text == name.text) && outer.is_bound(name.text);
        self.terms.needs.retain(|name| !outside(name));
    }

    fn expression(&mut self, expr: &'a Json, known: &KnownNames<'_>) {
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
            // An extra argument takes the result.
            (Some((last, before)), Some(arity)) if before.len() == arity => {
                before.iter().for_each(|param| self.terms.read(param));
                let mut rest = Vec::new();
                pattern(last, &mut self.takes, &mut rest);
                rest.into_iter().for_each(|node| self.terms.read(node));
            }
            _ => self.terms.read(expr),
        }
    }

    /// The variables that it would bind once it has all that it needs.
    fn names(&self) -> Vec<Variable<'a>> {
        let mut names: Vec<Variable<'a>> = self.takes.iter().chain(&self.terms.keys).copied().collect();
        let sides = self.equal.into_iter().flat_map(|(left, right)| [left, right]);
        sides.for_each(|side| pattern(side, &mut names, &mut Vec::new()));
        if self.negated { Vec::new() } else { names }
    }

    /// The scope after it, and the variables that it lacks.
    fn after(&self, scope: &Scope<'a>, known: &KnownNames<'_>) -> (Scope<'a>, Vec<Variable<'a>>) {
        let mut after = scope.clone();
        self.terms.keys.iter().for_each(|name| after.bind(name.text));
        if let Some((left, right)) = self.equal {
            unify(left, right, &mut after, known);
        }
        let lacks: Vec<Variable<'a>> =
            self.terms.needs.iter().filter(|name| !after.has(name.text, known)).copied().collect();
        self.takes.iter().for_each(|name| after.bind(name.text));
        (after, lacks)
    }
}

/// Binds the variables of one side if the other side has a value.
fn unify<'a>(left: &'a Json, right: &'a Json, scope: &mut Scope<'a>, known: &KnownNames<'_>) {
    let items = |node: &'a Json| node.pointer("/Array/items").and_then(Json::as_array);
    if let (Some(left), Some(right)) = (items(left), items(right))
        && left.len() == right.len()
    {
        // Twice, because a later pair may bind a variable of an earlier one: `[x, x] = [y, 1]`.
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
            names.iter().for_each(|name| scope.bind(name.text));
        }
    }
}

/// `_` in brackets under `not`: whether `not` applies to all or to any of the keys is ambiguous.
fn wildcards(node: &Json) -> Vec<Variable<'_>> {
    match node {
        Json::Object(map) => {
            if is_comprehension(node) {
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

fn body(every: &Json) -> &[Json] {
    statements(every.get("query"))
}

/// The expressions that are evaluated after a body.
struct Outputs<'a> {
    /// Must not bind variables.
    needs: Vec<&'a Json>,
    /// May bind variables by iterating over keys.
    gives: Vec<&'a Json>,
}

impl<'a> Checker<'a, '_> {
    /// Checks the statements of one body, nested bodies, and the expressions evaluated after it.
    fn query(&mut self, stmts: &'a [Json], outputs: &Outputs<'a>, outer: &Scope<'a>) {
        let own = declared(stmts, self.text);
        self.declarations(stmts, outputs, &own);
        let mut scope = outer.clone();
        own.iter().for_each(|name| scope.declare(name.text));
        let all: Vec<Statement<'a>> =
            stmts.iter().map(|stmt| Statement::of(stmt, outer, self.known)).collect();
        let ends: Vec<Statement<'a>> = (outputs.needs.iter().map(|node| Statement::output(node, false)))
            .chain(outputs.gives.iter().map(|node| Statement::output(node, true)))
            .collect();
        // Names of this body; nested bodies wait for them.
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
        self.report_left_over(&open, &mut scope, &here);
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

    /// The variables that a statement lacks, those of nested bodies included.
    fn lacks(
        &self,
        statement: &Statement<'a>,
        scope: &Scope<'a>,
        here: &BTreeSet<&'a str>,
    ) -> Vec<Variable<'a>> {
        let mut lacks = statement.after(scope, self.known).1;
        let mut around = scope.clone();
        statement.terms.keys.iter().for_each(|name| around.bind(name.text));
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

    fn free_in_every(&self, statement: &Statement<'a>) -> Vec<Variable<'a>> {
        let mut found = Vec::new();
        if let Some(every) = statement.every {
            let own = ["key", "value"].iter().filter_map(|part| word(self.text, every.get(part)?)).collect();
            every.get("query").into_iter().for_each(|query| free(query, self.text, &own, &mut found));
        }
        found
    }

    /// Reports what the left-over statements lack, unless another of them would bind it.
    fn report_left_over(&mut self, open: &[&Statement<'a>], scope: &mut Scope<'a>, here: &BTreeSet<&'a str>) {
        let given: BTreeSet<&str> = open.iter().flat_map(|one| one.names()).map(|name| name.text).collect();
        let lacks: Vec<Variable<'a>> = open.iter().flat_map(|one| self.lacks(one, scope, here)).collect();
        let mut reported: Vec<Variable<'a>> =
            lacks.iter().filter(|name| !given.contains(name.text)).copied().collect();
        if reported.is_empty() {
            // A cycle: each waits for another.
            reported = lacks;
        }
        reported.into_iter().for_each(|name| self.unbound(name, scope));
        open.iter().flat_map(|one| one.names()).for_each(|name| scope.bind(name.text));
    }

    /// Checks the nested bodies of a statement.
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
                inner.bind(name);
            }
            self.query(body(every), &Outputs { needs: Vec::new(), gives: Vec::new() }, &inner);
        }
    }

    fn unbound(&mut self, name: Variable<'a>, scope: &Scope<'a>) {
        let text = name.text;
        let message = if text == "_" {
            "`_` has no value here: under `not` and as an argument it is not a wildcard; bind a variable in an earlier line, or count a comprehension".to_owned()
        } else {
            let meant =
                nearest(text, scope.names(self.known)).map(|near| format!(": did you mean `{near}`?"));
            format!(
                "`{text}` never has a value: it is not a rule, import or argument, and no line of this body binds it; write `{text} := …` or `some {text} in …`{}",
                meant.unwrap_or_default()
            )
        };
        self.found.push(Flaw::at(name.node, message));
    }

    /// Reports variables that are declared twice or not used.
    fn declarations(&mut self, stmts: &'a [Json], outputs: &Outputs<'a>, own: &[Variable<'a>]) {
        let mut seen = BTreeSet::new();
        for stmt in stmts {
            let names = declared(std::slice::from_ref(stmt), self.text);
            for name in names.iter().filter(|name| seen.contains(name.text)) {
                let message = format!("`{}` is declared twice in this body; rename one", name.text);
                self.found.push(Flaw::at(name.node, message));
            }
            seen.extend(names.iter().map(|name| name.text));
        }
        let mut used = Vec::new();
        let nodes = stmts.iter().chain(outputs.needs.iter().copied()).chain(outputs.gives.iter().copied());
        nodes.for_each(|node| mentions(node, &mut used));
        // The syntax tree has a span for the declaration in `some x`, and a node for each use.
        for name in own.iter().filter(|name| name.node.get("Var").is_none() && !used.contains(&name.text)) {
            let message = format!("`some {}` is not used in this body", name.text);
            self.found.push(Flaw::at(name.node, message));
        }
    }
}

fn mentions<'a>(node: &'a Json, found: &mut Vec<&'a str>) {
    match node {
        Json::Object(map) => {
            found.extend(variable(node).map(|name| name.text));
            map.values().for_each(|value| mentions(value, found));
        }
        Json::Array(items) => items.iter().for_each(|item| mentions(item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::analysis::analyse;
    use crate::source::Module;

    /// Checks the flaws of a body, as `line:column: message`; each expectation is a prefix.
    fn check(body: &str, expected: &[&str]) {
        let module = Module { path: "p.rego".to_owned(), text: format!("package portcullis.p\n{body}\n") };
        let found = analyse(&module).unwrap_or_else(|problem| panic!("{body}: {problem}")).unbound;
        let reported: Vec<String> = found
            .iter()
            .map(|flaw| format!("{}:{}: {}", flaw.location.0, flaw.location.1, flaw.message))
            .collect();
        let fits = reported.len() == expected.len()
            && reported.iter().zip(expected).all(|(reported, expected)| reported.starts_with(expected));
        assert!(fits, "{body}: {reported:#?}");
    }

    #[test]
    fn unbound_variable_is_reported_once_at_its_location() {
        check("x contains y", &["2:12: `y` never has a value"]);
        check(
            "x := y if {\n\tinput.now == z\n}",
            &["2:6: `y` never has a value", "3:18: `z` never has a value"],
        );
        check("x contains msg if { msg := sprintf(\"%v\", [name]) }", &["2:43: `name` never has a value"]);
    }

    #[test]
    fn similar_name_is_suggested() {
        let reported = |body: &str| {
            let module =
                Module { path: "p.rego".to_owned(), text: format!("package portcullis.p\n{body}\n") };
            analyse(&module).unwrap().unbound.into_iter().map(|flaw| flaw.message).collect::<String>()
        };
        assert!(reported("x contains mesage if { message := \"a\" }").ends_with(": did you mean `message`?"));
        assert!(reported("x if alowed\nallowed if input.now").ends_with(": did you mean `allowed`?"));
        assert!(reported("x if inptu.request").ends_with(": did you mean `input`?"));
        assert!(!reported("x if unheard").contains("did you mean"));
    }
}
