//! Rewrites for the register machine alone: fewer registers, and `input` loaded before the first nested body.

use std::collections::BTreeMap;

use super::tree::{Expr, ExprKind, Line, LineKind, Local, Name, Rule};
use crate::bounds::OPERATORS;

/// Puts a reference back into the one builtin call that uses it: on the register machine a builtin, an operator and an
/// array are undefined if an operand is, which ends the line as well. It saves three of a rule's 255 registers.
pub(super) fn inline(rule: &mut Rule, builtin: &dyn Fn(&[String]) -> bool) {
    let mut uses = BTreeMap::new();
    let ends =
        rule.key.iter().chain([&rule.name]).chain(rule.branches.iter().filter_map(|b| b.value.as_ref()));
    ends.for_each(|end| count(end, &mut uses));
    rule.branches.iter().for_each(|branch| count_lines(&branch.body, &mut uses));
    let inline = Inliner { uses, locals: &rule.locals, builtin };
    for branch in &mut rule.branches {
        inline.body(&mut branch.body);
    }
}

struct Inliner<'r> {
    uses: BTreeMap<Local, usize>,
    locals: &'r [String],
    builtin: &'r dyn Fn(&[String]) -> bool,
}

impl Inliner<'_> {
    fn body(&self, lines: &mut Vec<Line>) {
        let mut done: Vec<Line> = Vec::with_capacity(lines.len());
        for mut line in std::mem::take(lines) {
            self.bodies_inside(&mut line);
            // The lines before it, last first: operands were taken out of it in this order.
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
                self.substitute(expr, local, value)
            }
            LineKind::Equal(left, right) => {
                self.substitute(left, local, value) || self.substitute(right, local, value)
            }
            _ => false,
        }
    }

    fn substitute(&self, expr: &mut Expr, local: Local, value: &Expr) -> bool {
        if expr.as_local() == Some(local) {
            *expr = value.clone();
            return true;
        }
        let mut substitute = |inner: &mut Expr| self.substitute(inner, local, value);
        match &mut expr.kind {
            ExprKind::Call(path, args) if (self.builtin)(path) || path == &[OPERATORS] => {
                args.iter_mut().any(substitute)
            }
            ExprKind::Array(items) | ExprKind::Set(items) => items.iter_mut().any(substitute),
            ExprKind::Object(fields) => {
                fields.iter_mut().any(|(key, value)| substitute(key) || substitute(value))
            }
            ExprKind::Infix(_, sides) => substitute(&mut sides.0) || substitute(&mut sides.1),
            ExprKind::In(key, rest) => {
                key.as_deref_mut().is_some_and(&mut substitute)
                    || substitute(&mut rest.0)
                    || substitute(&mut rest.1)
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
            ExprKind::Comprehension(inner) => self.body(&mut inner.body),
            ExprKind::Array(items) | ExprKind::Set(items) | ExprKind::Call(_, items) => {
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
        if let ExprKind::Comprehension(comprehension) = &inner.kind {
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

const ROOT: &str = "input";

/// Adds `not input == 0` if a nested body is the first to read `input`: the compiler loads `input` at its first use, and
/// takes it for loaded even after a loop without iterations (regorus 0.14.1, `compiler/core.rs`, `resolve_variable`).
pub(super) fn load_input(rule: &mut Rule) {
    for branch in &mut rule.branches {
        let first = branch.body.iter().find_map(|line| first(line, ROOT));
        if let (Some(true), Some(location)) = (first, branch.body.first().map(|line| line.location)) {
            // It always holds: the input is an object, or undefined.
            let zero = Expr { location, kind: ExprKind::Scalar("0".to_owned()) };
            let whole = Expr { location, kind: ExprKind::Name(Name::Global(ROOT.to_owned())) };
            let kind = LineKind::Not(Box::new(LineKind::Equal(whole, zero)));
            branch.body.insert(0, Line { location, is_message: false, with: Vec::new(), kind });
        }
    }
}

/// Whether the first mention in a line is in a nested body; `None` without a mention.
fn first(line: &Line, root: &str) -> Option<bool> {
    if in_bodies(line, root) {
        return Some(true);
    }
    mentioned(line, root).then_some(false)
}

fn mentioned(line: &Line, root: &str) -> bool {
    line.expressions().into_iter().any(|expr| mentions(expr, root))
}

fn mentions(expr: &Expr, root: &str) -> bool {
    let mut found = false;
    expr.walk(&mut |inner| {
        found |= matches!(&inner.kind, ExprKind::Name(Name::Global(name)) if name == root)
    });
    found
}

fn in_bodies(line: &Line, root: &str) -> bool {
    let body = |lines: &[Line]| lines.iter().any(|line| mentioned(line, root) || in_bodies(line, root));
    let mut found = false;
    for expr in line.expressions() {
        expr.walk(&mut |inner| {
            if let ExprKind::Comprehension(comprehension) = &inner.kind {
                found |= body(&comprehension.body);
            }
        });
    }
    if let LineKind::Every(every) = &line.kind {
        found |= body(&every.body);
    }
    found
}
