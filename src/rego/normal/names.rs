//! Resolves the names of a rule: its own variables, or rules, imports, `input` and `data` (OPA: `rewriteLocalVars`). Also
//! finds the rules that a rule depends on.
//!
//! `:=`, `some`, `every` and arguments declare. Any other name that is not global is a variable of the outermost body
//! that mentions it outside of comprehensions and `every`.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{
    Comprehension, Expr, ExprKind, Line, LineKind, Local, Location, Name, Rule, Step, name_of, root,
    visit_body, visit_expr,
};

/// The path of each rule, import and root, from `input` or `data` on. The engine would take the name alone for a variable
/// (regorus 0.14.1, `scheduler.rs`).
pub(super) type Globals = BTreeMap<String, Vec<String>>;

/// How many arguments a function or builtin takes, by its path as written; `None` if it is neither.
pub(super) type Arity<'a> = &'a dyn Fn(&[String]) -> Option<usize>;

/// A name that is declared after it was used or declared.
pub(super) struct ResolveError {
    pub(super) location: Location,
    pub(super) message: String,
}

pub(super) fn resolve(rule: &mut Rule, globals: &Globals, arity: Arity<'_>) -> Result<(), ResolveError> {
    let mut names =
        NameResolver { globals, arity, locals: Vec::new(), scopes: vec![Scope::default()], redeclared: None };
    for arg in rule.args.iter_mut().flatten() {
        names.declare_in(&[arg]);
        names.expr(arg);
    }
    // The name of the rule is a global of its package.
    if let ExprKind::Name(Name::Written(name)) = &rule.name.kind {
        rule.name.kind = ExprKind::Name(Name::Global(name.clone()));
    } else if let ExprKind::Reference(head, _) = &mut rule.name.kind
        && let ExprKind::Name(Name::Written(name)) = &head.kind
    {
        head.kind = ExprKind::Name(Name::Global(name.clone()));
    }
    for (at, branch) in rule.branches.iter_mut().enumerate() {
        let met = names.scopes.first().into_iter().flat_map(|args| args.variables.keys());
        let met = met.map(|name| (name.clone(), "an argument")).collect();
        names.scopes.push(Scope { met, ..Scope::default() });
        let mut ends: Vec<&mut Expr> = branch.value.iter_mut().collect();
        if at == 0 {
            ends.extend(rule.key.as_mut());
            if let ExprKind::Reference(_, steps) = &mut rule.name.kind {
                ends.extend(steps.iter_mut().filter_map(|step| match step {
                    Step::Index(index) => Some(index),
                    Step::Field(_) => None,
                }));
            }
        }
        names.body(&mut branch.body, ends);
        names.scopes.pop();
    }
    rule.locals = names.locals;
    names.redeclared.map_or(Ok(()), Err)
}

#[derive(Default)]
struct Scope {
    variables: BTreeMap<String, Local>,
    /// NameResolver that are used or declared already, and how: they cannot be declared again.
    met: BTreeMap<String, &'static str>,
}

struct NameResolver<'g> {
    globals: &'g Globals,
    arity: Arity<'g>,
    locals: Vec<String>,
    scopes: Vec<Scope>,
    redeclared: Option<ResolveError>,
}

impl NameResolver<'_> {
    /// Adds a variable that the body uses without a declaration.
    fn add(&mut self, name: &str) -> Local {
        let local = self.locals.len();
        self.locals.push(name.to_owned());
        if let Some(scope) = self.scopes.last_mut().filter(|_| name != "_") {
            scope.variables.insert(name.to_owned(), local);
        }
        local
    }

    fn declare(&mut self, name: &str, location: Location) -> Local {
        let scope = self.scopes.last_mut().filter(|_| name != "_");
        if let Some(before) = scope.and_then(|scope| scope.met.insert(name.to_owned(), "declared")) {
            let message = format!("`{name}` is declared here and {before} above; rename one");
            self.redeclared.get_or_insert(ResolveError { location, message });
        }
        self.add(name)
    }

    fn find(&self, name: &str) -> Option<Local> {
        self.scopes.iter().rev().find_map(|scope| scope.variables.get(name).copied())
    }

    /// Declares the variables of a pattern, each once. `some input in …` compares with the document, as in OPA.
    fn declare_in(&mut self, patterns: &[&Expr]) {
        let mut found = Vec::new();
        patterns.iter().for_each(|pattern| bound(pattern, &mut found));
        let mut seen = Vec::new();
        for (name, location) in found {
            if !matches!(name.as_str(), "_" | "input" | "data") && !seen.contains(&name) {
                self.declare(&name, location);
                seen.push(name);
            }
        }
    }

    /// Resolves a body in a new scope, and the expressions that are evaluated after it.
    fn body(&mut self, lines: &mut Vec<Line>, ends: Vec<&mut Expr>) {
        let mut mentioned = Vec::new();
        for line in lines.iter() {
            line.expressions().into_iter().for_each(|expr| written(expr, &mut mentioned));
        }
        ends.iter().for_each(|expr| written(expr, &mut mentioned));
        for name in mentioned {
            if name != "_" && !self.globals.contains_key(&name) && self.find(&name).is_none() {
                self.add(&name);
            }
        }
        lines.iter_mut().for_each(|line| self.line(line));
        lines.retain(|line| !matches!(line.kind, LineKind::Declare(_)));
        ends.into_iter().for_each(|expr| self.expr(expr));
    }

    fn line(&mut self, line: &mut Line) {
        for with in &mut line.with {
            // The replacement of a function is the name of a function.
            if path(&with.target).and_then(|path| (self.arity)(&path)).is_none() {
                self.expr(&mut with.value);
            }
        }
        match &mut line.kind {
            LineKind::Declare(names) => names.iter().for_each(|name| {
                self.declare(name, line.location);
            }),
            LineKind::SomeIn(key, value, collection) => {
                self.expr(collection);
                let patterns: Vec<&Expr> = key.iter().chain([&*value]).collect();
                self.declare_in(&patterns);
                key.iter_mut().chain([&mut *value]).for_each(|pattern| self.expr(pattern));
                let location = line.location;
                let index = key.take().unwrap_or_else(|| Expr::local(location, self.add("_")));
                let collection = std::mem::replace(collection, Expr::local(location, 0));
                let value = std::mem::replace(value, Expr::local(location, 0));
                line.kind = LineKind::Equal(value, indexed(collection, index));
            }
            LineKind::Assign(pattern, value) => {
                self.expr(value);
                self.declare_in(&[pattern]);
                self.expr(pattern);
            }
            LineKind::Equal(left, right) => [left, right].into_iter().for_each(|side| self.expr(side)),
            LineKind::Term(_) => self.term(&mut line.kind),
            LineKind::Not(inner) => self.negated(inner),
            LineKind::Every(every) => {
                self.expr(&mut every.domain);
                self.scopes.push(Scope::default());
                for name in every.key.iter_mut().chain([&mut every.value]) {
                    if let Name::Written(text) = name {
                        *name = Name::Local(self.declare(&text.clone(), line.location));
                    }
                }
                self.body(&mut every.body, Vec::new());
                self.scopes.pop();
            }
        }
    }

    fn negated(&mut self, inner: &mut LineKind) {
        match inner {
            LineKind::Equal(left, right) | LineKind::Assign(left, right) => {
                [left, right].into_iter().for_each(|side| self.expr(side));
            }
            LineKind::Term(_) => self.term(inner),
            _ => {}
        }
    }

    /// Rewrites `f(x, result)` to `result = f(x)`.
    fn term(&mut self, line: &mut LineKind) {
        let LineKind::Term(expr) = line else { return };
        self.expr(expr);
        let ExprKind::Call(path, args) = &mut expr.kind else { return };
        if (self.arity)(path).is_none_or(|arity| args.len() != arity + 1) {
            return;
        }
        let Some(answer) = args.pop() else { return };
        // `walk` has many results, which the register machine does not support: iterate over an array of them.
        if path == &["walk"] {
            let location = expr.location;
            let call = Expr::operators(location, "walk", std::mem::take(args));
            let any = Expr::local(location, self.add("_"));
            *line = LineKind::Equal(answer, indexed(call, any));
            return;
        }
        *line = LineKind::Equal(answer, expr.clone());
    }

    fn expr(&mut self, expr: &mut Expr) {
        if let ExprKind::Call(path, args) = &expr.kind
            && args.is_empty()
            && (self.arity)(path).is_none()
        {
            expr.kind = value_of(path, expr.location);
        }
        match &mut expr.kind {
            ExprKind::Name(Name::Written(name)) => expr.kind = self.meaning(&name.clone(), expr.location),
            ExprKind::Name(_) => {}
            ExprKind::Scalar(_) => {}
            ExprKind::Array(items) | ExprKind::Set(items) | ExprKind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.expr(item));
            }
            ExprKind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
            ExprKind::Comprehension(inner) => {
                let Comprehension { key, value, body, .. } = inner.as_mut();
                self.scopes.push(Scope::default());
                self.body(body, key.iter_mut().chain([value]).collect());
                self.scopes.pop();
            }
            ExprKind::Infix(_, sides) => {
                self.expr(&mut sides.0);
                self.expr(&mut sides.1);
            }
            ExprKind::In(key, rest) => {
                key.iter_mut().for_each(|key| self.expr(key));
                self.expr(&mut rest.0);
                self.expr(&mut rest.1);
            }
            ExprKind::Reference(head, steps) => {
                self.expr(head);
                for step in steps.iter_mut() {
                    if let Step::Index(index) = step {
                        self.expr(index);
                    }
                }
                if let ExprKind::Reference(root, path) = &mut head.kind {
                    path.append(steps);
                    (*steps, *head) = (std::mem::take(path), root.clone());
                }
            }
        }
    }

    fn meaning(&mut self, name: &str, location: Location) -> ExprKind {
        if let Some(scope) = self.scopes.last_mut() {
            scope.met.entry(name.to_owned()).or_insert("used");
        }
        if let Some(local) = self.find(name).filter(|_| name != "_") {
            return ExprKind::Name(Name::Local(local));
        }
        match self.globals.get(name).map(Vec::as_slice) {
            Some([root]) => ExprKind::Name(Name::Global(root.clone())),
            Some([root, path @ ..]) => {
                let root = Expr { location, kind: ExprKind::Name(Name::Global(root.clone())) };
                ExprKind::Reference(Box::new(root), path.iter().cloned().map(Step::Field).collect())
            }
            // `_`, or an unbound variable: the check of variables has refused it.
            _ => ExprKind::Name(Name::Local(self.add(name))),
        }
    }
}

fn bound(pattern: &Expr, found: &mut Vec<(String, Location)>) {
    match &pattern.kind {
        ExprKind::Name(Name::Written(name)) => found.push((name.clone(), pattern.location)),
        ExprKind::Array(items) => items.iter().for_each(|item| bound(item, found)),
        ExprKind::Object(fields) => fields.iter().for_each(|(_, value)| bound(value, found)),
        _ => {}
    }
}

/// `f()` as the value of rule `f`.
fn value_of(path: &[String], location: Location) -> ExprKind {
    let mut names = path.iter().cloned();
    let first = ExprKind::Name(Name::Written(names.next().unwrap_or_default()));
    let steps: Vec<Step> = names.map(Step::Field).collect();
    if steps.is_empty() {
        first
    } else {
        ExprKind::Reference(Box::new(Expr { location, kind: first }), steps)
    }
}

fn path(expr: &Expr) -> Option<Vec<String>> {
    match &expr.kind {
        ExprKind::Name(Name::Written(name)) => Some(vec![name.clone()]),
        ExprKind::Reference(head, steps) => {
            let mut path = path(head)?;
            for step in steps {
                let Step::Field(name) = step else { return None };
                path.push(name.clone());
            }
            Some(path)
        }
        _ => None,
    }
}

fn indexed(collection: Expr, index: Expr) -> Expr {
    let location = collection.location;
    let (head, mut steps) = match collection.kind {
        ExprKind::Reference(head, steps) => (head, steps),
        kind => (Box::new(Expr { location, kind }), Vec::new()),
    };
    steps.push(Step::Index(index));
    Expr { location, kind: ExprKind::Reference(head, steps) }
}

/// The names in an expression, except in comprehensions.
fn written(expr: &Expr, out: &mut Vec<String>) {
    expr.walk(&mut |inner| {
        if let ExprKind::Name(Name::Written(name)) = &inner.kind {
            out.push(name.clone());
        }
    });
}

/// The path of a rule below `data`.
type RulePath = Vec<String>;

/// The paths that each rule mentions.
#[derive(Default)]
pub(super) struct Dependencies {
    of: BTreeMap<RulePath, BTreeSet<RulePath>>,
}

impl Dependencies {
    pub(super) fn add(&mut self, package: &[String], rule: &Rule, globals: &Globals) {
        let Some(name) = root(&rule.name) else { return };
        let path: RulePath = package.iter().cloned().chain([name.to_owned()]).collect();
        let found = self.of.entry(path).or_default();
        let mut visit = |expr: &Expr| found.extend(mentioned(expr, globals));
        for branch in &rule.branches {
            visit_body(&branch.body, &mut visit);
            branch.value.iter().for_each(|value| visit_expr(value, &mut visit));
        }
        rule.key.iter().for_each(|key| visit_expr(key, &mut visit));
    }

    /// Whether a rule depends on itself, directly or through others.
    pub(super) fn is_recursive(&self, package: &[String], name: &str) -> bool {
        let own: RulePath = package.iter().cloned().chain([name.to_owned()]).collect();
        let (mut open, mut seen) = (vec![&own], BTreeSet::new());
        while let Some(path) = open.pop() {
            for mentioned in self.of.get(path).into_iter().flatten() {
                let met = |rule: &RulePath| rule.starts_with(mentioned) || mentioned.starts_with(rule);
                for rule in self.of.keys().filter(|rule| met(rule)) {
                    if *rule == own {
                        return true;
                    }
                    if seen.insert(rule) {
                        open.push(rule);
                    }
                }
            }
        }
        false
    }
}

/// The constant path below `data` that an expression mentions.
fn mentioned(expr: &Expr, globals: &Globals) -> Option<RulePath> {
    match &expr.kind {
        ExprKind::Reference(head, steps) if is_data(head) => Some(steps.iter().map_while(name_of).collect()),
        ExprKind::Call(path, _) => {
            let (first, rest) = path.split_first()?;
            Some(globals.get(first)?.iter().chain(rest).skip(1).cloned().collect())
        }
        _ => None,
    }
}

fn is_data(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Name(Name::Global(name)) if name == "data")
}
