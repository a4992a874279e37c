//! Rego as the normal form takes it apart: rules, lines, expressions, each with its place in the source.

use crate::bounds::OPERATORS;

/// Line and column, from 1.
pub(super) type Place = (u32, u32);

/// A variable of one rule, by its number.
pub(super) type Local = usize;

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// Not looked up yet.
    Written(String),
    /// A rule, an import, `input` or `data`.
    Global(String),
    /// A variable.
    Local(Local),
}

/// An expression and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Expr {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// The kinds of expressions.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A text, number, boolean or null, as it is written.
    Scalar(String),
    Name(Name),
    Array(Vec<Expr>),
    Set(Vec<Expr>),
    Object(Vec<(Expr, Expr)>),
    Comprehension(Box<Comprehension>),
    /// A function by its path, and its arguments.
    Call(Vec<String>, Vec<Expr>),
    /// An operator as it is written, and its two sides.
    Infix(&'static str, Box<(Expr, Expr)>),
    /// `value in collection`, `key, value in collection`.
    In(Option<Box<Expr>>, Box<(Expr, Expr)>),
    /// What a reference begins with, and its steps.
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

/// One step of a reference.
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

/// A line of a body.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) place: Place,
    /// It makes the text of a finding and nothing else: where that is undefined, the finding must not vanish.
    pub(super) text: bool,
    pub(super) with: Vec<With>,
    pub(super) kind: LineKind,
}

/// The kinds of lines.
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

/// One definition, with what `else` adds to it.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) place: Place,
    /// Its name, with what stands in brackets behind it.
    pub(super) name: Expr,
    /// `None` for what is no function.
    pub(super) args: Option<Vec<Expr>>,
    /// `contains key`
    pub(super) key: Option<Expr>,
    pub(super) branches: Vec<Branch>,
    /// What each variable is called in the source; empty for those that the normal form adds.
    pub(super) locals: Vec<String>,
}

/// A value and the body that it needs.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) value: Option<Expr>,
    pub(super) body: Vec<Line>,
}

impl Expr {
    /// A call of the gate's own builtin.
    pub(super) fn operators(place: Place, operator: &str, operands: impl IntoIterator<Item = Self>) -> Self {
        let operator = Self { place, kind: Kind::Scalar(format!("\"{operator}\"")) };
        let given = Self { place, kind: Kind::Array(std::iter::once(operator).chain(operands).collect()) };
        Self { place, kind: Kind::Call(vec![OPERATORS.to_owned()], vec![given]) }
    }

    pub(super) fn local(place: Place, local: Local) -> Self {
        Self { place, kind: Kind::Name(Name::Local(local)) }
    }

    pub(super) fn as_local(&self) -> Option<Local> {
        match self.kind {
            Kind::Name(Name::Local(local)) => Some(local),
            _ => None,
        }
    }

    /// A reference, be it a name alone.
    pub(super) fn is_reference(&self) -> bool {
        matches!(self.kind, Kind::Reference(..) | Kind::Name(Name::Global(_)))
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self.kind, Kind::Call(..) | Kind::Infix(..) | Kind::In(..))
    }

    /// The expressions directly below, bodies of comprehensions left out.
    pub(super) fn below(&self) -> Vec<&Expr> {
        match &self.kind {
            Kind::Scalar(_) | Kind::Name(_) | Kind::Comprehension(_) => Vec::new(),
            Kind::Array(items) | Kind::Set(items) | Kind::Call(_, items) => items.iter().collect(),
            Kind::Object(fields) => fields.iter().flat_map(|(key, value)| [key, value]).collect(),
            Kind::Infix(_, sides) => vec![&sides.0, &sides.1],
            Kind::In(key, rest) => key.as_deref().into_iter().chain([&rest.0, &rest.1]).collect(),
            Kind::Reference(head, steps) => {
                let indexes = steps.iter().filter_map(|step| match step {
                    Step::Index(index) => Some(index),
                    Step::Field(_) => None,
                });
                std::iter::once(head.as_ref()).chain(indexes).collect()
            }
        }
    }

    /// The same as [`Expr::below`], to change.
    pub(super) fn below_mut(&mut self) -> Vec<&mut Expr> {
        match &mut self.kind {
            Kind::Scalar(_) | Kind::Name(_) | Kind::Comprehension(_) => Vec::new(),
            Kind::Array(items) | Kind::Set(items) | Kind::Call(_, items) => items.iter_mut().collect(),
            Kind::Object(fields) => fields.iter_mut().flat_map(|(key, value)| [key, value]).collect(),
            Kind::Infix(_, sides) => vec![&mut sides.0, &mut sides.1],
            Kind::In(key, rest) => key.as_deref_mut().into_iter().chain([&mut rest.0, &mut rest.1]).collect(),
            Kind::Reference(head, steps) => {
                let indexes = steps.iter_mut().filter_map(|step| match step {
                    Step::Index(index) => Some(index),
                    Step::Field(_) => None,
                });
                std::iter::once(head.as_mut()).chain(indexes).collect()
            }
        }
    }

    /// Sees this expression and all below it, bodies of comprehensions left out.
    pub(super) fn walk<'e>(&'e self, see: &mut dyn FnMut(&'e Expr)) {
        see(self);
        self.below().into_iter().for_each(|inner| inner.walk(see));
    }

    /// Whether it holds a reference or a comprehension: something that may be undefined.
    pub(super) fn needs_evaluation(&self) -> bool {
        let mut found = false;
        self.walk(&mut |inner| {
            found |= inner.is_reference() || matches!(inner.kind, Kind::Comprehension(_));
        });
        found
    }
}

impl LineKind {
    /// The expressions of a line, bodies below it left out.
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
    /// `some _ in [0]`: holds once.
    pub(super) fn once(place: Place, local: Local) -> Self {
        let zero = Expr { place, kind: Kind::Scalar("0".to_owned()) };
        let list = Expr { place, kind: Kind::Array(vec![zero]) };
        let kind = LineKind::SomeIn(None, Expr::local(place, local), list);
        Self { place, text: false, with: Vec::new(), kind }
    }

    /// The expressions of a line and of what stands behind `with`.
    pub(super) fn expressions(&self) -> Vec<&Expr> {
        let mut all = self.kind.expressions();
        all.extend(self.with.iter().map(|with| &with.value));
        all
    }
}

/// Sees every expression of a body, bodies below it included.
pub(super) fn see_all<'l>(lines: &'l [Line], see: &mut dyn FnMut(&'l Expr)) {
    for line in lines {
        line.expressions().into_iter().for_each(|expr| see_inside(expr, see));
        if let LineKind::Every(every) = &line.kind {
            see_all(&every.body, see);
        }
    }
}

/// Sees every expression of one, bodies below it included.
pub(super) fn see_inside<'e>(expr: &'e Expr, see: &mut dyn FnMut(&'e Expr)) {
    see(expr);
    expr.below().into_iter().for_each(|inner| see_inside(inner, see));
    if let Kind::Comprehension(comprehension) = &expr.kind {
        comprehension.key.iter().chain([&comprehension.value]).for_each(|end| see_inside(end, see));
        see_all(&comprehension.body, see);
    }
}
