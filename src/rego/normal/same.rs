//! Puts one variable in the place of another.

use super::tree::{Comprehension, Expr, Kind, Line, LineKind, Local, Name, Rule, Step};

/// Replaces every mention in a rule.
pub(super) fn replace(rule: &mut Rule, to: &dyn Fn(Local) -> Local) {
    let same = Same { to };
    same.expr(&mut rule.name);
    rule.args.iter_mut().flatten().for_each(|arg| same.expr(arg));
    rule.key.iter_mut().for_each(|key| same.expr(key));
    for branch in &mut rule.branches {
        branch.value.iter_mut().for_each(|value| same.expr(value));
        same.body(&mut branch.body);
    }
}

struct Same<'t> {
    to: &'t dyn Fn(Local) -> Local,
}

impl Same<'_> {
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
            Kind::Scalar(_) => {}
            Kind::Name(Name::Local(local)) => *local = (self.to)(*local),
            Kind::Name(_) => {}
            Kind::Array(items) | Kind::Set(items) | Kind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.expr(item));
            }
            Kind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
            Kind::Comprehension(inner) => {
                let Comprehension { key, value, body, .. } = inner.as_mut();
                key.iter_mut().chain([value]).for_each(|expr| self.expr(expr));
                self.body(body);
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
                for step in steps {
                    if let Step::Index(index) = step {
                        self.expr(index);
                    }
                }
            }
        }
    }
}
