//! One value for a complete rule, and one for each key of an object. On the register machine (regorus 0.14.1), a rule with
//! a loop keeps the last value, an object the last value of a key, and `else` is ignored after a loop without iterations.
//! The interpreter is right.

use super::tree::{Comprehension, Expr, ExprKind, Line, LineKind, Location, Name, Rule};

/// Collects the values of loops of a rule.
pub(super) fn single(rule: &mut Rule) {
    let mut values = ValueCollector { locals: std::mem::take(&mut rule.locals) };
    let complete = rule.key.is_none() && matches!(rule.name.kind, ExprKind::Name(_));
    let last = rule.branches.len().saturating_sub(1);
    for (at, branch) in rule.branches.iter_mut().enumerate() {
        let constant = branch.value.as_ref().is_none_or(is_constant);
        let first = branch.body.iter().position(is_loop).filter(|_| complete && (!constant || at < last));
        if let Some(first) = first {
            let body = branch.body.split_off(first);
            let value = branch.value.take();
            branch.value = values.gathered(value, constant, body, &mut branch.body);
        }
    }
    rule.locals = values.locals;
}

/// Makes an object comprehension from pairs, on both engines, so that conflicting keys are the same error.
pub(super) fn objects(rule: &mut Rule) {
    let mut values = ValueCollector { locals: Vec::new() };
    rule.branches.iter_mut().for_each(|branch| values.objects(&mut branch.body));
}

struct ValueCollector {
    locals: Vec<String>,
}

impl ValueCollector {
    fn fresh(&mut self, location: Location) -> Expr {
        self.locals.push(String::new());
        Expr::local(location, self.locals.len() - 1)
    }

    /// `found = {value | body}; found != set()`, and the one value in it.
    fn gathered(
        &mut self,
        value: Option<Expr>,
        constant: bool,
        body: Vec<Line>,
        lines: &mut Vec<Line>,
    ) -> Option<Expr> {
        let location = body.first().map_or((0, 0), |line| line.location);
        let at = |kind| Expr { location, kind };
        let line = |kind| Line { location, is_message: false, with: Vec::new(), kind };
        let shown = if constant { at(ExprKind::Scalar("true".to_owned())) } else { value.clone()? };
        let set = Comprehension { array: false, key: None, value: shown, body };
        let found = self.fresh(location);
        lines.push(line(LineKind::Assign(found.clone(), at(ExprKind::Comprehension(Box::new(set))))));
        let some = ExprKind::Infix("!=", Box::new((found.clone(), at(ExprKind::Set(Vec::new())))));
        lines.push(line(LineKind::Term(at(some))));
        if constant {
            return value;
        }
        let one = self.fresh(location);
        lines.push(line(LineKind::Assign(one.clone(), Expr::operators(location, "one", [found]))));
        Some(one)
    }

    fn objects(&mut self, lines: &mut Vec<Line>) {
        for line in lines {
            match &mut line.kind {
                LineKind::Assign(left, right) | LineKind::Equal(left, right) => {
                    self.object(left);
                    self.object(right);
                }
                LineKind::Term(expr) => self.object(expr),
                LineKind::Not(inner) => match inner.as_mut() {
                    LineKind::Assign(left, right) | LineKind::Equal(left, right) => {
                        self.object(left);
                        self.object(right);
                    }
                    LineKind::Term(expr) => self.object(expr),
                    _ => {}
                },
                LineKind::Every(every) => self.objects(&mut every.body),
                LineKind::Declare(_) | LineKind::SomeIn(..) => {}
            }
        }
    }

    /// `{key: value | body}` as the object of `{[key, value] | body}`, unless every iteration has a different key.
    fn object(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Comprehension(inner) => {
                self.objects(&mut inner.body);
                if let Some(key) = inner.key.clone().filter(|key| !has_own_keys(key, &inner.body)) {
                    let location = expr.location;
                    let pair = Expr { location, kind: ExprKind::Array(vec![key, inner.value.clone()]) };
                    let body = std::mem::take(&mut inner.body);
                    let pairs = Comprehension { array: false, key: None, value: pair, body };
                    let pairs = Expr { location, kind: ExprKind::Comprehension(Box::new(pairs)) };
                    *expr = Expr::operators(location, "object", [pairs]);
                }
            }
            ExprKind::Array(items) | ExprKind::Set(items) | ExprKind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.object(item));
            }
            ExprKind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.object(key);
                self.object(value);
            }),
            _ => {}
        }
    }
}

/// Whether the key is the key of the only loop.
fn has_own_keys(key: &Expr, body: &[Line]) -> bool {
    let mut loops = body.iter().filter(|line| is_loop(line));
    let (Some(only), None) = (loops.next(), loops.next()) else { return false };
    match &only.kind {
        LineKind::SomeIn(Some(own), ..) => own.as_local().is_some() && own.as_local() == key.as_local(),
        _ => false,
    }
}

fn is_loop(line: &Line) -> bool {
    matches!(line.kind, LineKind::SomeIn(..))
}

pub(super) fn is_constant(value: &Expr) -> bool {
    let mut constant = true;
    value.walk(&mut |inner| {
        constant &= !matches!(
            inner.kind,
            ExprKind::Name(Name::Local(_)) | ExprKind::Comprehension(_) | ExprKind::Call(..)
        );
    });
    constant
}
