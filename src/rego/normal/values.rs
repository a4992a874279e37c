//! One value for a complete rule, and one for each key of an object, on the register machine (regorus 0.14.1): a rule whose
//! body goes over several keeps the last, an object the last of a key, and `else` is not looked at behind a loop that
//! goes no times. The interpreter has it right.

use super::tree::{Comprehension, Expr, Kind, Line, LineKind, Name, Place, Rule};

/// Makes the loops of a rule gather what they give.
pub(super) fn single(rule: &mut Rule) {
    let mut values = Values { locals: std::mem::take(&mut rule.locals) };
    let complete = rule.key.is_none() && matches!(rule.name.kind, Kind::Name(_));
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

/// Makes an object of the pairs of a comprehension, on both engines, so that keys that meet are one error.
pub(super) fn objects(rule: &mut Rule) {
    let mut values = Values { locals: Vec::new() };
    rule.branches.iter_mut().for_each(|branch| values.objects(&mut branch.body));
}

struct Values {
    locals: Vec<String>,
}

impl Values {
    fn fresh(&mut self, place: Place) -> Expr {
        self.locals.push(String::new());
        Expr::local(place, self.locals.len() - 1)
    }

    /// `found = {value | body}; found != set()`, and the one that it holds.
    fn gathered(
        &mut self,
        value: Option<Expr>,
        constant: bool,
        body: Vec<Line>,
        lines: &mut Vec<Line>,
    ) -> Option<Expr> {
        let place = body.first().map_or((0, 0), |line| line.place);
        let at = |kind| Expr { place, kind };
        let line = |kind| Line { place, text: false, with: Vec::new(), kind };
        let shown = if constant { at(Kind::Scalar("true".to_owned())) } else { value.clone()? };
        let set = Comprehension { array: false, key: None, value: shown, body };
        let found = self.fresh(place);
        lines.push(line(LineKind::Assign(found.clone(), at(Kind::Comprehension(Box::new(set))))));
        let some = Kind::Infix("!=", Box::new((found.clone(), at(Kind::Set(Vec::new())))));
        lines.push(line(LineKind::Term(at(some))));
        if constant {
            return value;
        }
        let one = self.fresh(place);
        lines.push(line(LineKind::Assign(one.clone(), Expr::operators(place, "one", [found]))));
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

    /// `{key: value | body}` as the object of `{[key, value] | body}`, unless each turn has a key of its own.
    fn object(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            Kind::Comprehension(inner) => {
                self.objects(&mut inner.body);
                if let Some(key) = inner.key.clone().filter(|key| !has_own_keys(key, &inner.body)) {
                    let place = expr.place;
                    let pair = Expr { place, kind: Kind::Array(vec![key, inner.value.clone()]) };
                    let body = std::mem::take(&mut inner.body);
                    let pairs = Comprehension { array: false, key: None, value: pair, body };
                    let pairs = Expr { place, kind: Kind::Comprehension(Box::new(pairs)) };
                    *expr = Expr::operators(place, "object", [pairs]);
                }
            }
            Kind::Array(items) | Kind::Set(items) | Kind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.object(item));
            }
            Kind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.object(key);
                self.object(value);
            }),
            _ => {}
        }
    }
}

/// Whether the key is that of the only loop.
fn has_own_keys(key: &Expr, body: &[Line]) -> bool {
    let mut loops = body.iter().filter(|line| is_loop(line));
    let (Some(only), None) = (loops.next(), loops.next()) else { return false };
    match &only.kind {
        LineKind::SomeIn(Some(own), ..) => own.as_local().is_some() && own.as_local() == key.as_local(),
        _ => false,
    }
}

/// A line that holds several times.
fn is_loop(line: &Line) -> bool {
    matches!(line.kind, LineKind::SomeIn(..))
}

pub(super) fn is_constant(value: &Expr) -> bool {
    let mut constant = true;
    value.walk(&mut |inner| {
        constant &=
            !matches!(inner.kind, Kind::Name(Name::Local(_)) | Kind::Comprehension(_) | Kind::Call(..));
    });
    constant
}
