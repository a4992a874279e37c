//! Hoists calls into lines of their own (OPA: `rewriteExprTerms`, `rewriteComprehensionTerms`, `rewriteRefsInHead`,
//! `rewriteRuleHeadRefs`).
//!
//! So an undefined argument makes the line undefined, with `not` or without, and an undefined value ends its body.

use super::messages;
use super::tree::{
    Branch, Comprehension, Every, Expr, ExprKind, Line, LineKind, Local, Location, Rule, Step, With,
};

pub(super) fn hoist(rule: &mut Rule, own_scope: bool) {
    let mut hoister = CallHoister { locals: std::mem::take(&mut rule.locals), is_message: false, own_scope };
    for (at, branch) in rule.branches.iter_mut().enumerate() {
        let mut lines = hoister.body(std::mem::take(&mut branch.body));
        if at == 0 {
            hoister.steps(&mut rule.name, &mut lines);
            if let Some(key) = rule.key.as_mut() {
                hoister.is_message = messages::is_finding(&rule.name) && messages::builds_message(key);
                hoister.end(key, &mut lines);
                hoister.is_message = false;
            }
        }
        if let Branch { value: Some(value), .. } = branch {
            hoister.end(value, &mut lines);
        }
        branch.body = lines;
    }
    rule.locals = hoister.locals;
}

struct CallHoister {
    locals: Vec<String>,
    /// Whether the hoisted lines build a message.
    is_message: bool,
    /// Whether hoisted lines stay below `not` (`import future.keywords.not`).
    own_scope: bool,
}

impl CallHoister {
    fn fresh(&mut self) -> Local {
        self.locals.push(String::new());
        self.locals.len() - 1
    }

    /// Adds the line `variable = expr` and returns the variable.
    fn name(&mut self, expr: Expr, with: &[With], lines: &mut Vec<Line>) -> Expr {
        let location = expr.location;
        let local = Expr::local(location, self.fresh());
        lines.push(Line { is_message: self.is_message, ..equal(location, with, local.clone(), expr) });
        local
    }

    fn body(&mut self, body: Vec<Line>) -> Vec<Line> {
        let mut lines = Vec::new();
        for line in body {
            self.line(line, &mut lines);
        }
        lines
    }

    /// An expression evaluated after a body: a variable if it may be undefined.
    fn end(&mut self, expr: &mut Expr, lines: &mut Vec<Line>) {
        self.expr(expr, &[], lines);
        self.defined(expr, lines);
    }

    /// Replaces what may be undefined by a variable.
    fn defined(&mut self, expr: &mut Expr, lines: &mut Vec<Line>) {
        if expr.needs_evaluation() {
            *expr = self.name(expr.clone(), &[], lines);
        }
    }

    /// The expressions in brackets in the name of a rule.
    fn steps(&mut self, name: &mut Expr, lines: &mut Vec<Line>) {
        let ExprKind::Reference(_, steps) = &mut name.kind else { return };
        for step in steps {
            if let Step::Index(index) = step {
                self.expr(index, &[], lines);
                if index.as_local().is_none() && !matches!(index.kind, ExprKind::Scalar(_)) {
                    *index = self.name(index.clone(), &[], lines);
                }
            }
        }
    }

    fn line(&mut self, mut line: Line, lines: &mut Vec<Line>) {
        let outer = std::mem::replace(&mut self.is_message, line.is_message);
        for with in &mut line.with {
            self.expr(&mut with.value, &[], lines);
            if with.value.needs_evaluation() {
                with.value = self.name(with.value.clone(), &[], lines);
            }
        }
        let with = line.with.clone();
        match &mut line.kind {
            LineKind::Declare(_) | LineKind::SomeIn(..) => {}
            // The result of the call is the variable itself.
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
                let positive = Line {
                    is_message: false,
                    with: Vec::new(),
                    location: line.location,
                    kind: inner.as_ref().clone(),
                };
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
        self.is_message = outer;
    }

    /// A line that holds if another, with all that is hoisted from it, does not: `[true | line] == []`.
    fn none_of(&mut self, line: Line, lines: &mut Vec<Line>, with: &[With]) -> LineKind {
        let location = line.location;
        let at = |kind| Expr { location, kind };
        let body = self.body(vec![line]);
        let value = at(ExprKind::Scalar("true".to_owned()));
        let found =
            at(ExprKind::Comprehension(Box::new(Comprehension { array: true, key: None, value, body })));
        LineKind::Equal(self.name(found, with, lines), at(ExprKind::Array(Vec::new())))
    }

    /// Hoists the arguments of a call, but not the call.
    fn operands(&mut self, expr: &mut Expr, with: &[With], lines: &mut Vec<Line>) {
        match &mut expr.kind {
            // `print` shows undefined arguments.
            ExprKind::Call(path, _) if path == &["print"] => {}
            ExprKind::Call(_, args) => args.iter_mut().for_each(|arg| self.expr(arg, with, lines)),
            ExprKind::Infix(operator, sides) => {
                let arithmetic = is_arithmetic(operator);
                for side in [&mut sides.0, &mut sides.1] {
                    // One call computes a whole term, because a number loses digits between two calls.
                    match &side.kind {
                        ExprKind::Infix(inner, _) if arithmetic && is_arithmetic(inner) => {
                            self.operands(side, with, lines);
                        }
                        _ => self.expr(side, with, lines),
                    }
                }
            }
            ExprKind::In(key, rest) => {
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
            ExprKind::Array(items) | ExprKind::Set(items) => {
                items.iter_mut().for_each(|item| self.expr(item, with, lines));
            }
            ExprKind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.expr(key, with, lines);
                self.expr(value, with, lines);
            }),
            ExprKind::Reference(head, steps) => {
                self.expr(head, with, lines);
                for step in steps.iter_mut() {
                    if let Step::Index(index) = step {
                        self.expr(index, with, lines);
                    }
                }
                if !matches!(head.kind, ExprKind::Name(_)) {
                    **head = self.name(head.as_ref().clone(), with, lines);
                }
            }
            ExprKind::Comprehension(inner) => {
                let Comprehension { key, value, body, .. } = inner.as_mut();
                let outer = std::mem::take(&mut self.is_message);
                let mut inside = self.body(std::mem::take(body));
                // The calls of key and value come first, as in OPA.
                key.iter_mut().for_each(|key| self.expr(key, &[], &mut inside));
                self.expr(value, &[], &mut inside);
                key.iter_mut().for_each(|key| self.defined(key, &mut inside));
                self.defined(value, &mut inside);
                self.is_message = outer;
                *body = inside;
            }
            _ => {}
        }
    }
}

/// Whether an operator is arithmetic, or the difference of sets.
pub(super) fn is_arithmetic(operator: &str) -> bool {
    matches!(operator, "+" | "-" | "*" | "/" | "%")
}

pub(super) fn equal(location: Location, with: &[With], left: Expr, right: Expr) -> Line {
    Line { location, is_message: false, with: with.to_vec(), kind: LineKind::Equal(left, right) }
}
