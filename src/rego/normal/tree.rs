//! The syntax of Rego as the normal form rewrites it: rules, lines and expressions, each with its position.

use crate::bounds::OPERATORS;

/// The engine that a normal form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Machine,
    Interpreter,
    /// The interpreter, with reports of what tests put in place of `input` and `data`.
    Tests,
}

/// Line and column, from 1.
pub(super) type Location = (u32, u32);

/// The number of a variable in its rule.
pub(super) type Local = usize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// Not resolved yet.
    Written(String),
    /// A rule, an import, `input` or `data`.
    Global(String),
    Local(Local),
}

#[derive(Debug, Clone)]
pub(super) struct Expr {
    pub(super) location: Location,
    pub(super) kind: ExprKind,
}

#[derive(Debug, Clone)]
pub(super) enum ExprKind {
    /// A string, number, boolean or null, as written.
    Scalar(String),
    Name(Name),
    Array(Vec<Expr>),
    Set(Vec<Expr>),
    Object(Vec<(Expr, Expr)>),
    Comprehension(Box<Comprehension>),
    /// The path of a function, and its arguments.
    Call(Vec<String>, Vec<Expr>),
    /// An operator and its two sides.
    Infix(&'static str, Box<(Expr, Expr)>),
    /// `value in collection`, `key, value in collection`.
    In(Option<Box<Expr>>, Box<(Expr, Expr)>),
    /// The head of a reference, and its steps.
    Reference(Box<Expr>, Vec<Step>),
}

/// `[value | body]`, `{value | body}`, `{key: value | body}`.
#[derive(Debug, Clone)]
pub(super) struct Comprehension {
    pub(super) array: bool,
    pub(super) key: Option<Expr>,
    pub(super) value: Expr,
    pub(super) body: Vec<Line>,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// `.name`
    Field(String),
    /// `[expression]`
    Index(Expr),
}

/// `with target as value`.
#[derive(Debug, Clone)]
pub(super) struct With {
    pub(super) target: Expr,
    pub(super) value: Expr,
}

#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) location: Location,
    /// It builds only the message of a finding: if it is undefined, the finding must not vanish.
    pub(super) is_message: bool,
    pub(super) with: Vec<With>,
    pub(super) kind: LineKind,
}

#[derive(Debug, Clone)]
pub(super) enum LineKind {
    /// `some a, b`
    Declare(Vec<String>),
    /// `some key, value in collection`
    SomeIn(Option<Expr>, Expr, Expr),
    /// `a := b`
    Assign(Expr, Expr),
    /// `a = b`, `a == b`
    Equal(Expr, Expr),
    /// An expression that must be neither false nor undefined.
    Term(Expr),
    /// `not` before a term or an equality.
    Not(Box<LineKind>),
    Every(Box<Every>),
}

/// `every key, value in domain { body }`
#[derive(Debug, Clone)]
pub(super) struct Every {
    pub(super) key: Option<Name>,
    pub(super) value: Name,
    pub(super) domain: Expr,
    pub(super) body: Vec<Line>,
}

/// One definition of a rule, with its `else` branches.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) location: Location,
    /// Its name, with brackets after it.
    pub(super) name: Expr,
    /// `None` if it is no function.
    pub(super) args: Option<Vec<Expr>>,
    /// `contains key`
    pub(super) key: Option<Expr>,
    pub(super) branches: Vec<Branch>,
    /// The name of each variable in the source; empty for those that the normal form adds.
    pub(super) locals: Vec<String>,
}

/// A value and the body on which it depends.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) value: Option<Expr>,
    pub(super) body: Vec<Line>,
}

impl Expr {
    /// A call of our builtin for operators.
    pub(super) fn operators(
        location: Location,
        operator: &str,
        operands: impl IntoIterator<Item = Self>,
    ) -> Self {
        let operator = Self { location, kind: ExprKind::Scalar(format!("\"{operator}\"")) };
        let given =
            Self { location, kind: ExprKind::Array(std::iter::once(operator).chain(operands).collect()) };
        Self { location, kind: ExprKind::Call(vec![OPERATORS.to_owned()], vec![given]) }
    }

    pub(super) fn local(location: Location, local: Local) -> Self {
        Self { location, kind: ExprKind::Name(Name::Local(local)) }
    }

    pub(super) fn as_local(&self) -> Option<Local> {
        match self.kind {
            ExprKind::Name(Name::Local(local)) => Some(local),
            _ => None,
        }
    }

    /// A reference, or a global name alone.
    pub(super) fn is_reference(&self) -> bool {
        matches!(self.kind, ExprKind::Reference(..) | ExprKind::Name(Name::Global(_)))
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self.kind, ExprKind::Call(..) | ExprKind::Infix(..) | ExprKind::In(..))
    }

    /// The direct subexpressions, except in comprehensions.
    pub(super) fn below(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Scalar(_) | ExprKind::Name(_) | ExprKind::Comprehension(_) => Vec::new(),
            ExprKind::Array(items) | ExprKind::Set(items) | ExprKind::Call(_, items) => {
                items.iter().collect()
            }
            ExprKind::Object(fields) => fields.iter().flat_map(|(key, value)| [key, value]).collect(),
            ExprKind::Infix(_, sides) => vec![&sides.0, &sides.1],
            ExprKind::In(key, rest) => key.as_deref().into_iter().chain([&rest.0, &rest.1]).collect(),
            ExprKind::Reference(head, steps) => {
                let indexes = steps.iter().filter_map(|step| match step {
                    Step::Index(index) => Some(index),
                    Step::Field(_) => None,
                });
                std::iter::once(head.as_ref()).chain(indexes).collect()
            }
        }
    }

    pub(super) fn below_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            ExprKind::Scalar(_) | ExprKind::Name(_) | ExprKind::Comprehension(_) => Vec::new(),
            ExprKind::Array(items) | ExprKind::Set(items) | ExprKind::Call(_, items) => {
                items.iter_mut().collect()
            }
            ExprKind::Object(fields) => fields.iter_mut().flat_map(|(key, value)| [key, value]).collect(),
            ExprKind::Infix(_, sides) => vec![&mut sides.0, &mut sides.1],
            ExprKind::In(key, rest) => {
                key.as_deref_mut().into_iter().chain([&mut rest.0, &mut rest.1]).collect()
            }
            ExprKind::Reference(head, steps) => {
                let indexes = steps.iter_mut().filter_map(|step| match step {
                    Step::Index(index) => Some(index),
                    Step::Field(_) => None,
                });
                std::iter::once(head.as_mut()).chain(indexes).collect()
            }
        }
    }

    /// Visits this expression and all subexpressions, except in comprehensions.
    pub(super) fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        visit(self);
        self.below().into_iter().for_each(|inner| inner.walk(visit));
    }

    /// Whether it holds a reference or a comprehension, which may be undefined.
    pub(super) fn needs_evaluation(&self) -> bool {
        let mut found = false;
        self.walk(&mut |inner| {
            found |= inner.is_reference() || matches!(inner.kind, ExprKind::Comprehension(_));
        });
        found
    }
}

impl LineKind {
    /// The expressions of a line, except in nested bodies.
    pub(super) fn expressions(&self) -> Vec<&Expr> {
        match self {
            Self::Declare(_) => Vec::new(),
            Self::SomeIn(key, value, collection) => key.iter().chain([value, collection]).collect(),
            Self::Assign(left, right) | Self::Equal(left, right) => vec![left, right],
            Self::Term(expr) => vec![expr],
            Self::Not(inner) => inner.expressions(),
            Self::Every(every) => vec![&every.domain],
        }
    }
}

impl Line {
    /// `some _ in [0]`, a loop of one iteration.
    pub(super) fn once(location: Location, local: Local) -> Self {
        let zero = Expr { location, kind: ExprKind::Scalar("0".to_owned()) };
        let list = Expr { location, kind: ExprKind::Array(vec![zero]) };
        let kind = LineKind::SomeIn(None, Expr::local(location, local), list);
        Self { location, is_message: false, with: Vec::new(), kind }
    }

    /// The expressions of a line and the values of its `with`.
    pub(super) fn expressions(&self) -> Vec<&Expr> {
        let mut all = self.kind.expressions();
        all.extend(self.with.iter().map(|with| &with.value));
        all
    }
}

/// Visits every expression of a body, nested bodies included.
pub(super) fn visit_body<'l>(lines: &'l [Line], visit: &mut dyn FnMut(&'l Expr)) {
    for line in lines {
        line.expressions().into_iter().for_each(|expr| visit_expr(expr, visit));
        if let LineKind::Every(every) = &line.kind {
            visit_body(&every.body, visit);
        }
    }
}

/// Visits every subexpression, nested bodies included.
pub(super) fn visit_expr<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Expr)) {
    visit(expr);
    expr.below().into_iter().for_each(|inner| visit_expr(inner, visit));
    if let ExprKind::Comprehension(comprehension) = &expr.kind {
        comprehension.key.iter().chain([&comprehension.value]).for_each(|end| visit_expr(end, visit));
        visit_body(&comprehension.body, visit);
    }
}

/// The first part of the name of a rule.
pub(super) fn root(name: &Expr) -> Option<&str> {
    match &name.kind {
        ExprKind::Name(Name::Written(name) | Name::Global(name)) => Some(name),
        ExprKind::Reference(head, _) => root(head),
        _ => None,
    }
}

pub(super) fn name_of(step: &Step) -> Option<String> {
    match step {
        Step::Field(name) => Some(name.clone()),
        Step::Index(Expr { kind: ExprKind::Scalar(text), .. }) => serde_json::from_str(text).ok(),
        Step::Index(_) => None,
    }
}

/// Replaces every variable of a rule.
pub(super) fn rename_locals(rule: &mut Rule, to: &dyn Fn(Local) -> Local) {
    let renamer = LocalRenamer { to };
    renamer.expr(&mut rule.name);
    rule.args.iter_mut().flatten().for_each(|arg| renamer.expr(arg));
    rule.key.iter_mut().for_each(|key| renamer.expr(key));
    for branch in &mut rule.branches {
        branch.value.iter_mut().for_each(|value| renamer.expr(value));
        renamer.body(&mut branch.body);
    }
}

struct LocalRenamer<'t> {
    to: &'t dyn Fn(Local) -> Local,
}

impl LocalRenamer<'_> {
    fn body(&self, lines: &mut [Line]) {
        for line in lines {
            line.with.iter_mut().for_each(|with| self.expr(&mut with.value));
            self.line(&mut line.kind);
        }
    }

    fn line(&self, line: &mut LineKind) {
        match line {
            LineKind::Declare(_) => {}
            LineKind::SomeIn(key, value, collection) => {
                key.iter_mut().chain([value, collection]).for_each(|expr| self.expr(expr));
            }
            LineKind::Assign(left, right) | LineKind::Equal(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            LineKind::Term(expr) => self.expr(expr),
            LineKind::Not(inner) => self.line(inner),
            LineKind::Every(every) => {
                for name in every.key.iter_mut().chain([&mut every.value]) {
                    if let Name::Local(local) = name {
                        *local = (self.to)(*local);
                    }
                }
                self.expr(&mut every.domain);
                self.body(&mut every.body);
            }
        }
    }

    fn expr(&self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Scalar(_) => {}
            ExprKind::Name(Name::Local(local)) => *local = (self.to)(*local),
            ExprKind::Name(_) => {}
            ExprKind::Array(items) | ExprKind::Set(items) | ExprKind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.expr(item));
            }
            ExprKind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
            ExprKind::Comprehension(inner) => {
                let Comprehension { key, value, body, .. } = inner.as_mut();
                key.iter_mut().chain([value]).for_each(|expr| self.expr(expr));
                self.body(body);
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
                for step in steps {
                    if let Step::Index(index) = step {
                        self.expr(index);
                    }
                }
            }
        }
    }
}
