//! Puts a reference back into the one call that needs it, on the register machine: there a builtin, an operator and a
//! list are undefined where a part of them is, which ends a line that is not negated just as well. It saves three
//! registers of the 255 that a rule has, and their instructions.

use std::collections::BTreeMap;

use super::tree::{Expr, Kind, Line, LineKind, Local, Rule};
use crate::bounds::OPERATORS;

/// Does so in every body of a rule. `builtin` says whether a path is that of a builtin.
pub(super) fn inline(rule: &mut Rule, builtin: &dyn Fn(&[String]) -> bool) {
    let mut uses = BTreeMap::new();
    let ends =
        rule.key.iter().chain([&rule.name]).chain(rule.branches.iter().filter_map(|b| b.value.as_ref()));
    ends.for_each(|end| count(end, &mut uses));
    rule.branches.iter().for_each(|branch| count_lines(&branch.body, &mut uses));
    let inline = Inline { uses, locals: &rule.locals, builtin };
    for branch in &mut rule.branches {
        inline.body(&mut branch.body);
    }
}

struct Inline<'r> {
    uses: BTreeMap<Local, usize>,
    locals: &'r [String],
    builtin: &'r dyn Fn(&[String]) -> bool,
}

impl Inline<'_> {
    fn body(&self, lines: &mut Vec<Line>) {
        let mut done: Vec<Line> = Vec::with_capacity(lines.len());
        for mut line in std::mem::take(lines) {
            self.bodies_inside(&mut line);
            // The lines right before it, from the last: what it needs was taken out of it in this order.
            while let Some((local, value)) = done.last().and_then(|before| self.taken_out(before)) {
                if line.with.is_empty() && self.put(&mut line.kind, local, value) {
                    done.pop();
                } else {
                    break;
                }
            }
            done.push(line);
        }
        *lines = done;
    }

    /// A variable that the normal form added, has one use, and is a reference.
    fn taken_out<'l>(&self, line: &'l Line) -> Option<(Local, &'l Expr)> {
        let LineKind::Assign(name, value) = &line.kind else { return None };
        let local = name.as_local().filter(|_| line.with.is_empty() && value.is_reference())?;
        let own = self.locals.get(local).is_some_and(String::is_empty);
        (own && self.uses.get(&local) == Some(&2)).then_some((local, value))
    }

    fn put(&self, line: &mut LineKind, local: Local, value: &Expr) -> bool {
        match line {
            LineKind::Assign(_, expr) | LineKind::Term(expr) if expr.as_local().is_none() => {
                self.place(expr, local, value)
            }
            LineKind::Equal(left, right) => self.place(left, local, value) || self.place(right, local, value),
            _ => false,
        }
    }

    fn place(&self, expr: &mut Expr, local: Local, value: &Expr) -> bool {
        if expr.as_local() == Some(local) {
            *expr = value.clone();
            return true;
        }
        let mut place = |inner: &mut Expr| self.place(inner, local, value);
        match &mut expr.kind {
            Kind::Call(path, args) if (self.builtin)(path) || path == &[OPERATORS] => {
                args.iter_mut().any(place)
            }
            Kind::Array(items) | Kind::Set(items) => items.iter_mut().any(place),
            Kind::Object(fields) => fields.iter_mut().any(|(key, value)| place(key) || place(value)),
            Kind::Infix(_, sides) => place(&mut sides.0) || place(&mut sides.1),
            Kind::In(key, rest) => {
                key.as_deref_mut().is_some_and(&mut place) || place(&mut rest.0) || place(&mut rest.1)
            }
            _ => false,
        }
    }

    fn bodies_inside(&self, line: &mut Line) {
        match &mut line.kind {
            LineKind::Assign(left, right) | LineKind::Equal(left, right) => {
                self.inside(left);
                self.inside(right);
            }
            LineKind::Term(expr) => self.inside(expr),
            LineKind::Every(every) => self.body(&mut every.body),
            LineKind::Not(_) | LineKind::Declare(_) | LineKind::SomeIn(..) => {}
        }
    }

    fn inside(&self, expr: &mut Expr) {
        match &mut expr.kind {
            Kind::Comprehension(inner) => self.body(&mut inner.body),
            Kind::Array(items) | Kind::Set(items) | Kind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.inside(item));
            }
            _ => {}
        }
    }
}

fn count(expr: &Expr, uses: &mut BTreeMap<Local, usize>) {
    expr.walk(&mut |inner| {
        if let Some(local) = inner.as_local() {
            *uses.entry(local).or_default() += 1;
        }
        if let Kind::Comprehension(comprehension) = &inner.kind {
            comprehension.key.iter().chain([&comprehension.value]).for_each(|end| count(end, uses));
            count_lines(&comprehension.body, uses);
        }
    });
}

fn count_lines(lines: &[Line], uses: &mut BTreeMap<Local, usize>) {
    for line in lines {
        line.expressions().into_iter().for_each(|expr| count(expr, uses));
        if let LineKind::Every(every) = &line.kind {
            count_lines(&every.body, uses);
        }
    }
}
