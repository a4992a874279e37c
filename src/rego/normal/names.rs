//! What each name of a rule means: a variable of its own, or a rule, an import, a root (OPA: `rewriteLocalVars`).
//!
//! `:=`, `some`, `every` and arguments declare. Any other name that is no global is a variable of the outermost body
//! that mentions it outside of comprehensions and `every`.

use std::collections::BTreeMap;

use super::tree::{Comprehension, Expr, Kind, Line, LineKind, Local, Name, Place, Rule, Step};

/// What stands for a rule, an import or a root, by its name: the path from `input` or `data` on. The engine would take
/// the name alone for a variable (regorus 0.14.1, `scheduler.rs`).
pub(super) type Globals = BTreeMap<String, Vec<String>>;

/// How many arguments a function or builtin takes, by its path as it is written; `None` for anything else.
pub(super) type Arity<'a> = &'a dyn Fn(&[String]) -> Option<usize>;

/// A name that is declared where it has a meaning already.
pub(super) struct Redeclared {
    pub(super) place: Place,
    pub(super) message: String,
}

/// Looks up every name of a rule.
///
/// # Errors
/// What is declared behind its first mention, or twice.
pub(super) fn resolve(rule: &mut Rule, globals: &Globals, arity: Arity<'_>) -> Result<(), Redeclared> {
    let mut names =
        Names { globals, arity, locals: Vec::new(), scopes: vec![Scope::default()], redeclared: None };
    for arg in rule.args.iter_mut().flatten() {
        names.declare_in(&[arg]);
        names.expr(arg);
    }
    // The first step is the rule's own name.
    if let Kind::Name(Name::Written(name)) = &rule.name.kind {
        rule.name.kind = Kind::Name(Name::Global(name.clone()));
    } else if let Kind::Reference(head, _) = &mut rule.name.kind
        && let Kind::Name(Name::Written(name)) = &head.kind
    {
        head.kind = Kind::Name(Name::Global(name.clone()));
    }
    for (at, branch) in rule.branches.iter_mut().enumerate() {
        let met = names.scopes.first().into_iter().flat_map(|args| args.variables.keys());
        let met = met.map(|name| (name.clone(), "an argument")).collect();
        names.scopes.push(Scope { met, ..Scope::default() });
        let mut ends: Vec<&mut Expr> = branch.value.iter_mut().collect();
        if at == 0 {
            ends.extend(rule.key.as_mut());
            if let Kind::Reference(_, steps) = &mut rule.name.kind {
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

/// The names of one body.
#[derive(Default)]
struct Scope {
    variables: BTreeMap<String, Local>,
    /// Names that have a meaning here, and since when: they cannot be declared any more.
    met: BTreeMap<String, &'static str>,
}

struct Names<'g> {
    globals: &'g Globals,
    arity: Arity<'g>,
    locals: Vec<String>,
    scopes: Vec<Scope>,
    /// The first that was found.
    redeclared: Option<Redeclared>,
}

impl Names<'_> {
    /// A variable that a body has without declaring it.
    fn add(&mut self, name: &str) -> Local {
        let local = self.locals.len();
        self.locals.push(name.to_owned());
        if let Some(scope) = self.scopes.last_mut().filter(|_| name != "_") {
            scope.variables.insert(name.to_owned(), local);
        }
        local
    }

    fn declare(&mut self, name: &str, place: Place) -> Local {
        let scope = self.scopes.last_mut().filter(|_| name != "_");
        if let Some(before) = scope.and_then(|scope| scope.met.insert(name.to_owned(), "declared")) {
            let message =
                format!("`{name}` is declared here and {before} above; give one of the two another name");
            self.redeclared.get_or_insert(Redeclared { place, message });
        }
        self.add(name)
    }

    fn find(&self, name: &str) -> Option<Local> {
        self.scopes.iter().rev().find_map(|scope| scope.variables.get(name).copied())
    }

    /// Declares the variables of a pattern, one that stands twice once. `some input in …` holds the document against
    /// each, as in OPA.
    fn declare_in(&mut self, patterns: &[&Expr]) {
        let mut found = Vec::new();
        patterns.iter().for_each(|pattern| bound(pattern, &mut found));
        let mut seen = Vec::new();
        for (name, place) in found {
            if !matches!(name.as_str(), "_" | "input" | "data") && !seen.contains(&name) {
                self.declare(&name, place);
                seen.push(name);
            }
        }
    }

    /// A body in a scope of its own, and what is made of it.
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
            // What stands in place of a function is the name of one.
            if path(&with.target).and_then(|path| (self.arity)(&path)).is_none() {
                self.expr(&mut with.value);
            }
        }
        match &mut line.kind {
            LineKind::Declare(names) => names.iter().for_each(|name| {
                self.declare(name, line.place);
            }),
            LineKind::SomeIn(key, value, collection) => {
                self.expr(collection);
                let patterns: Vec<&Expr> = key.iter().chain([&*value]).collect();
                self.declare_in(&patterns);
                key.iter_mut().chain([&mut *value]).for_each(|pattern| self.expr(pattern));
                let place = line.place;
                let index = key.take().unwrap_or_else(|| Expr::local(place, self.add("_")));
                let collection = std::mem::replace(collection, Expr::local(place, 0));
                let value = std::mem::replace(value, Expr::local(place, 0));
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
                        *name = Name::Local(self.declare(&text.clone(), line.place));
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

    /// `f(x, answer)` is `answer = f(x)`.
    fn term(&mut self, line: &mut LineKind) {
        let LineKind::Term(expr) = line else { return };
        self.expr(expr);
        let Kind::Call(path, args) = &mut expr.kind else { return };
        if (self.arity)(path).is_none_or(|arity| args.len() != arity + 1) {
            return;
        }
        let Some(answer) = args.pop() else { return };
        // It answers many times, which the register machine does not know: one of a list.
        if path == &["walk"] {
            let place = expr.place;
            let call = Expr::operators(place, "walk", std::mem::take(args));
            let any = Expr::local(place, self.add("_"));
            *line = LineKind::Equal(answer, indexed(call, any));
            return;
        }
        *line = LineKind::Equal(answer, expr.clone());
    }

    fn expr(&mut self, expr: &mut Expr) {
        if let Kind::Call(path, args) = &expr.kind
            && args.is_empty()
            && (self.arity)(path).is_none()
        {
            expr.kind = value_of(path, expr.place);
        }
        match &mut expr.kind {
            Kind::Name(Name::Written(name)) => expr.kind = self.meaning(&name.clone(), expr.place),
            Kind::Name(_) => {}
            Kind::Scalar(_) => {}
            Kind::Array(items) | Kind::Set(items) | Kind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.expr(item));
            }
            Kind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
            Kind::Comprehension(inner) => {
                let Comprehension { key, value, body, .. } = inner.as_mut();
                self.scopes.push(Scope::default());
                self.body(body, key.iter_mut().chain([value]).collect());
                self.scopes.pop();
            }
            Kind::Infix(_, sides) => {
                self.expr(&mut sides.0);
                self.expr(&mut sides.1);
            }
            Kind::In(key, rest) => {
                key.iter_mut().for_each(|key| self.expr(key));
                self.expr(&mut rest.0);
                self.expr(&mut rest.1);
            }
            Kind::Reference(head, steps) => {
                self.expr(head);
                for step in steps.iter_mut() {
                    if let Step::Index(index) = step {
                        self.expr(index);
                    }
                }
                if let Kind::Reference(root, path) = &mut head.kind {
                    path.append(steps);
                    (*steps, *head) = (std::mem::take(path), root.clone());
                }
            }
        }
    }

    fn meaning(&mut self, name: &str, place: Place) -> Kind {
        if let Some(scope) = self.scopes.last_mut() {
            scope.met.entry(name.to_owned()).or_insert("used");
        }
        if let Some(local) = self.find(name).filter(|_| name != "_") {
            return Kind::Name(Name::Local(local));
        }
        match self.globals.get(name).map(Vec::as_slice) {
            Some([root]) => Kind::Name(Name::Global(root.clone())),
            Some([root, path @ ..]) => {
                let root = Expr { place, kind: Kind::Name(Name::Global(root.clone())) };
                Kind::Reference(Box::new(root), path.iter().cloned().map(Step::Field).collect())
            }
            // `_`, or what nothing binds: the check of variables says so before a rule is compiled.
            _ => Kind::Name(Name::Local(self.add(name))),
        }
    }
}

/// The names that a pattern binds.
fn bound(pattern: &Expr, found: &mut Vec<(String, Place)>) {
    match &pattern.kind {
        Kind::Name(Name::Written(name)) => found.push((name.clone(), pattern.place)),
        Kind::Array(items) => items.iter().for_each(|item| bound(item, found)),
        Kind::Object(fields) => fields.iter().for_each(|(_, value)| bound(value, found)),
        _ => {}
    }
}

/// A name and what follows it, as it is written.
/// `f()` as the value of the rule `f`.
fn value_of(path: &[String], place: Place) -> Kind {
    let mut names = path.iter().cloned();
    let first = Kind::Name(Name::Written(names.next().unwrap_or_default()));
    let steps: Vec<Step> = names.map(Step::Field).collect();
    if steps.is_empty() { first } else { Kind::Reference(Box::new(Expr { place, kind: first }), steps) }
}

fn path(expr: &Expr) -> Option<Vec<String>> {
    match &expr.kind {
        Kind::Name(Name::Written(name)) => Some(vec![name.clone()]),
        Kind::Reference(head, steps) => {
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

/// `collection[index]`
fn indexed(collection: Expr, index: Expr) -> Expr {
    let place = collection.place;
    let (head, mut steps) = match collection.kind {
        Kind::Reference(head, steps) => (head, steps),
        kind => (Box::new(Expr { place, kind }), Vec::new()),
    };
    steps.push(Step::Index(index));
    Expr { place, kind: Kind::Reference(head, steps) }
}

/// The names in an expression, bodies of comprehensions left out.
fn written(expr: &Expr, out: &mut Vec<String>) {
    expr.walk(&mut |inner| {
        if let Kind::Name(Name::Written(name)) = &inner.kind {
            out.push(name.clone());
        }
    });
}
