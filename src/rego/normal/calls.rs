//! Takes calls out of where they stand, each into a line before (OPA: `rewriteExprTerms`, `rewriteComprehensionTerms`,
//! `rewriteRefsInHead`, `rewriteRuleHeadRefs`).
//!
//! Then an argument that is undefined makes the line undefined, be there `not` before it or not, and a value that is
//! undefined ends the body it is made of.

use super::texts;
use super::tree::{Branch, Comprehension, Every, Expr, Kind, Line, LineKind, Local, Place, Rule, Step, With};

/// Takes the calls out of a rule.
pub(super) fn take_out(rule: &mut Rule, own_scope: bool) {
    let mut calls = Calls { locals: std::mem::take(&mut rule.locals), text: false, own_scope };
    for (at, branch) in rule.branches.iter_mut().enumerate() {
        let mut lines = calls.body(std::mem::take(&mut branch.body));
        if at == 0 {
            calls.steps(&mut rule.name, &mut lines);
            if let Some(key) = rule.key.as_mut() {
                calls.text = texts::is_finding(&rule.name) && texts::makes_text(key);
                calls.end(key, &mut lines);
                calls.text = false;
            }
        }
        if let Branch { value: Some(value), .. } = branch {
            calls.end(value, &mut lines);
        }
        branch.body = lines;
    }
    rule.locals = calls.locals;
}

struct Calls {
    locals: Vec<String>,
    /// Whether what is taken out makes a text.
    text: bool,
    /// Whether `not` keeps what is taken out below it (`import future.keywords.not`).
    own_scope: bool,
}

impl Calls {
    fn fresh(&mut self) -> Local {
        self.locals.push(String::new());
        self.locals.len() - 1
    }

    /// `variable = expr` as a line; the variable.
    fn name(&mut self, expr: Expr, with: &[With], lines: &mut Vec<Line>) -> Expr {
        let place = expr.place;
        let local = Expr::local(place, self.fresh());
        lines.push(Line { text: self.text, ..equal(place, with, local.clone(), expr) });
        local
    }

    fn body(&mut self, body: Vec<Line>) -> Vec<Line> {
        let mut lines = Vec::new();
        for line in body {
            self.line(line, &mut lines);
        }
        lines
    }

    /// What is made of a body: as a variable, where it could be undefined.
    fn end(&mut self, expr: &mut Expr, lines: &mut Vec<Line>) {
        self.expr(expr, &[], lines);
        self.defined(expr, lines);
    }

    /// What could be undefined, as a variable.
    fn defined(&mut self, expr: &mut Expr, lines: &mut Vec<Line>) {
        if expr.needs_evaluation() {
            *expr = self.name(expr.clone(), &[], lines);
        }
    }

    /// What stands in brackets in the name of a rule.
    fn steps(&mut self, name: &mut Expr, lines: &mut Vec<Line>) {
        let Kind::Reference(_, steps) = &mut name.kind else { return };
        for step in steps {
            if let Step::Index(index) = step {
                self.expr(index, &[], lines);
                if index.as_local().is_none() && !matches!(index.kind, Kind::Scalar(_)) {
                    *index = self.name(index.clone(), &[], lines);
                }
            }
        }
    }

    fn line(&mut self, mut line: Line, lines: &mut Vec<Line>) {
        let outer = std::mem::replace(&mut self.text, line.text);
        for with in &mut line.with {
            self.expr(&mut with.value, &[], lines);
            if with.value.needs_evaluation() {
                with.value = self.name(with.value.clone(), &[], lines);
            }
        }
        let with = line.with.clone();
        match &mut line.kind {
            LineKind::Declare(_) | LineKind::SomeIn(..) => {}
            // What a call answers is the variable itself: no need for one more.
            LineKind::Assign(left, right) | LineKind::Equal(left, right)
                if left.as_local().is_some() && right.is_call() =>
            {
                self.operands(right, &with, lines);
            }
            LineKind::Assign(left, right) | LineKind::Equal(left, right) => {
                self.expr(left, &with, lines);
                self.expr(right, &with, lines);
            }
            LineKind::Term(expr) => self.operands(expr, &with, lines),
            LineKind::Not(inner) if self.own_scope => {
                let positive =
                    Line { text: false, with: Vec::new(), place: line.place, kind: inner.as_ref().clone() };
                line.kind = self.none_of(positive, lines, &with);
            }
            LineKind::Not(inner) => match inner.as_mut() {
                LineKind::Equal(left, right) | LineKind::Assign(left, right) => {
                    self.expr(left, &with, lines);
                    self.expr(right, &with, lines);
                }
                LineKind::Term(expr) => self.operands(expr, &with, lines),
                _ => {}
            },
            LineKind::Every(every) => {
                let Every { domain, body, .. } = every.as_mut();
                self.expr(domain, &with, lines);
                if domain.as_local().is_none() {
                    *domain = self.name(domain.clone(), &with, lines);
                }
                *body = self.body(std::mem::take(body));
            }
        }
        lines.push(line);
        self.text = outer;
    }

    /// A line that holds where another, with all that is taken out of it, does not: `[true | line] == []`.
    fn none_of(&mut self, line: Line, lines: &mut Vec<Line>, with: &[With]) -> LineKind {
        let place = line.place;
        let at = |kind| Expr { place, kind };
        let body = self.body(vec![line]);
        let value = at(Kind::Scalar("true".to_owned()));
        let found = at(Kind::Comprehension(Box::new(Comprehension { array: true, key: None, value, body })));
        LineKind::Equal(self.name(found, with, lines), at(Kind::Array(Vec::new())))
    }

    /// A call stays, and what stands in its arguments is taken out.
    fn operands(&mut self, expr: &mut Expr, with: &[With], lines: &mut Vec<Line>) {
        match &mut expr.kind {
            // It says what is undefined.
            Kind::Call(path, _) if path == &["print"] => {}
            Kind::Call(_, args) => args.iter_mut().for_each(|arg| self.expr(arg, with, lines)),
            Kind::Infix(operator, sides) => {
                let arithmetic = is_arithmetic(operator);
                for side in [&mut sides.0, &mut sides.1] {
                    // One call computes a whole term, since a number between two calls has fewer digits.
                    match &side.kind {
                        Kind::Infix(inner, _) if arithmetic && is_arithmetic(inner) => {
                            self.operands(side, with, lines);
                        }
                        _ => self.expr(side, with, lines),
                    }
                }
            }
            Kind::In(key, rest) => {
                key.iter_mut().for_each(|key| self.expr(key, with, lines));
                self.expr(&mut rest.0, with, lines);
                self.expr(&mut rest.1, with, lines);
            }
            _ => self.expr(expr, with, lines),
        }
    }

    fn expr(&mut self, expr: &mut Expr, with: &[With], lines: &mut Vec<Line>) {
        if expr.is_call() {
            self.operands(expr, with, lines);
            *expr = self.name(expr.clone(), with, lines);
            return;
        }
        match &mut expr.kind {
            Kind::Array(items) | Kind::Set(items) => {
                items.iter_mut().for_each(|item| self.expr(item, with, lines));
            }
            Kind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.expr(key, with, lines);
                self.expr(value, with, lines);
            }),
            Kind::Reference(head, steps) => {
                self.expr(head, with, lines);
                for step in steps.iter_mut() {
                    if let Step::Index(index) = step {
                        self.expr(index, with, lines);
                    }
                }
                if !matches!(head.kind, Kind::Name(_)) {
                    **head = self.name(head.as_ref().clone(), with, lines);
                }
            }
            Kind::Comprehension(inner) => {
                let Comprehension { key, value, body, .. } = inner.as_mut();
                let outer = std::mem::take(&mut self.text);
                let mut inside = self.body(std::mem::take(body));
                // The calls of both first, as OPA does.
                key.iter_mut().for_each(|key| self.expr(key, &[], &mut inside));
                self.expr(value, &[], &mut inside);
                key.iter_mut().for_each(|key| self.defined(key, &mut inside));
                self.defined(value, &mut inside);
                self.text = outer;
                *body = inside;
            }
            _ => {}
        }
    }
}

/// Whether an operator is one of arithmetic, or the difference of sets.
pub(super) fn is_arithmetic(operator: &str) -> bool {
    matches!(operator, "+" | "-" | "*" | "/" | "%")
}

/// `left = right`
pub(super) fn equal(place: Place, with: &[With], left: Expr, right: Expr) -> Line {
    Line { place, text: false, with: with.to_vec(), kind: LineKind::Equal(left, right) }
}
