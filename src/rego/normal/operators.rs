//! Replaces arithmetic and ordering with our own: the engine computes in doubles, fails for mixed types, and loses that
//! failure at the next rule (regorus 0.14.1, `number.rs`, `rvm/vm/arithmetic.rs`). Ordering of numbers and sums of small
//! integers are the same in both and stay with the engine.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::is_arithmetic;
use super::tree::{Expr, ExprKind, Line, LineKind, Local, Name, Rule};

/// What is known of the type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ValueType {
    Anything,
    Number,
    Integer,
}

/// Builtins whose value is an integer no larger than what they count.
const INTEGERS: &[&str] = &["count", "indexof", "strings.count"];

/// Builtins whose value is a number if it is defined.
const NUMBERS: &[&str] = &[
    "abs",
    "bits.and",
    "bits.or",
    "bits.rsh",
    "bits.xor",
    "ceil",
    "floor",
    "product",
    "round",
    "semver.compare",
    "sum",
    "time.parse_duration_ns",
    "time.parse_ns",
    "time.parse_rfc3339_ns",
    "time.add_date",
    "to_number",
    "units.parse",
    "units.parse_bytes",
];

/// Operators of one term, those of its variables included.
const TERM_MAX: usize = 64;

pub(super) fn replace(rule: &mut Rule) {
    let mut seen = BTreeSet::new();
    rule.args.iter().flatten().for_each(|arg| locals(arg, &mut seen));
    let mut operators = Operators { types: BTreeMap::new(), meant: BTreeMap::new(), seen };
    for branch in &mut rule.branches {
        operators.nested(&mut branch.body);
    }
}

struct Operators {
    types: BTreeMap<Local, ValueType>,
    /// The terms that variables stand for: a double has 53 bits, and OPA keeps 64 from line to line.
    meant: BTreeMap<Local, Expr>,
    /// Variables of earlier lines.
    seen: BTreeSet<Local>,
}

impl Operators {
    /// A nested body; its variables are not visible after it.
    fn nested(&mut self, lines: &mut [Line]) {
        let (seen, meant) = (self.seen.clone(), self.meant.clone());
        self.body(lines);
        (self.seen, self.meant) = (seen, meant);
    }

    fn body(&mut self, lines: &mut [Line]) {
        for line in lines {
            self.line(&mut line.kind);
            line.expressions().into_iter().for_each(|expr| locals(expr, &mut self.seen));
        }
    }

    fn line(&mut self, line: &mut LineKind) {
        match line {
            LineKind::Declare(_) | LineKind::SomeIn(..) => {}
            LineKind::Assign(left, right) | LineKind::Equal(left, right) => {
                let new = left.as_local().filter(|local| !self.seen.contains(local));
                let types = self.of(right);
                let meant = (is_term(right) && types < ValueType::Number).then(|| right.clone());
                if new.is_none()
                    && (self.is_exact(left) || self.is_exact(right))
                    && self.are_terms(left, right)
                {
                    let location = left.location;
                    let sides = Box::new((left.clone(), right.clone()));
                    *line =
                        LineKind::Term(self.compiled(&Expr { location, kind: ExprKind::Infix("==", sides) }));
                    return;
                }
                self.expr(left);
                self.expr(right);
                if let Some(local) = new {
                    self.types.insert(local, types);
                    meant.into_iter().for_each(|term| {
                        self.meant.insert(local, term);
                    });
                }
            }
            LineKind::Term(expr) => self.expr(expr),
            LineKind::Not(inner) => self.line(inner),
            LineKind::Every(every) => {
                let names = every.key.iter().chain([&every.value]);
                let own =
                    names.filter_map(|name| if let Name::Local(local) = name { Some(*local) } else { None });
                self.seen.extend(own);
                self.nested(&mut every.body);
            }
        }
    }

    fn of(&self, expr: &Expr) -> ValueType {
        match &expr.kind {
            ExprKind::Scalar(text) if text.parse::<i32>().is_ok() => ValueType::Integer,
            ExprKind::Scalar(text) if text.parse::<f64>().is_ok() => ValueType::Number,
            ExprKind::Name(_) => expr
                .as_local()
                .and_then(|local| self.types.get(&local).copied())
                .unwrap_or(ValueType::Anything),
            ExprKind::Call(path, _) if INTEGERS.contains(&path.join(".").as_str()) => ValueType::Integer,
            ExprKind::Call(path, _) if NUMBERS.contains(&path.join(".").as_str()) => ValueType::Number,
            ExprKind::Infix("+" | "-", sides) if self.both(sides) == ValueType::Integer => ValueType::Number,
            _ => ValueType::Anything,
        }
    }

    fn both(&self, sides: &(Expr, Expr)) -> ValueType {
        self.of(&sides.0).min(self.of(&sides.1))
    }

    fn is_exact(&self, expr: &Expr) -> bool {
        let of_a_name = expr.as_local().is_some_and(|local| self.meant.contains_key(&local));
        of_a_name || (is_term(expr) && self.of(expr) < ValueType::Number)
    }

    /// Whether both sides have a value: no patterns, and nothing that may be undefined.
    fn are_terms(&self, left: &Expr, right: &Expr) -> bool {
        [left, right].iter().all(|side| {
            is_term(side)
                || matches!(&side.kind, ExprKind::Scalar(text) if text.parse::<f64>().is_ok())
                || side.as_local().is_some_and(|local| self.seen.contains(&local))
        })
    }

    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Comprehension(inner) => self.nested(&mut inner.body),
            ExprKind::Array(items) | ExprKind::Set(items) | ExprKind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.expr(item));
            }
            ExprKind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
            ExprKind::Infix(operator, sides) => {
                let exact = self.is_exact(&sides.0) || self.is_exact(&sides.1);
                let left_alone = match *operator {
                    "<" | "<=" | ">" | ">=" => self.both(sides) >= ValueType::Number && !exact,
                    "==" | "!=" => !exact || !self.are_terms(&sides.0, &sides.1),
                    // The sum of two counts is exact; longer sums are not examined.
                    "+" | "-" => self.both(sides) == ValueType::Integer,
                    other => !is_arithmetic(other),
                };
                if !left_alone {
                    *expr = self.compiled(expr);
                }
            }
            ExprKind::In(Some(key), rest) => {
                let operands = [key.as_ref().clone(), rest.0.clone(), rest.1.clone()];
                *expr = Expr::operators(expr.location, "in", operands);
            }
            _ => {}
        }
    }

    fn compiled(&self, expr: &Expr) -> Expr {
        let (mut program, mut operands) = (Vec::new(), Vec::new());
        self.compile(expr, &mut program, &mut operands);
        Expr::operators(expr.location, &program.join(" "), operands)
    }

    /// Writes a term in postfix notation.
    fn compile(&self, expr: &Expr, program: &mut Vec<String>, operands: &mut Vec<Expr>) {
        match &expr.kind {
            ExprKind::Infix(operator, sides)
                if is_arithmetic(operator) || self.is_exact(&sides.0) || self.is_exact(&sides.1) =>
            {
                self.compile(&sides.0, program, operands);
                self.compile(&sides.1, program, operands);
                program.push((*operator).to_owned());
            }
            ExprKind::Infix(operator, sides) => {
                operands.extend([sides.0.clone(), sides.1.clone()]);
                program.push((*operator).to_owned());
            }
            _ => {
                let meant = expr.as_local().and_then(|local| self.meant.get(&local));
                if let Some(term) = meant.filter(|_| program.len() < TERM_MAX) {
                    self.compile(term, program, operands);
                    return;
                }
                program.push(operands.len().to_string());
                operands.push(expr.clone());
            }
        }
    }
}

fn is_term(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Infix(operator, _) if is_arithmetic(operator))
}

/// The variables of an expression, except in nested bodies.
fn locals(expr: &Expr, found: &mut BTreeSet<Local>) {
    expr.walk(&mut |inner| found.extend(inner.as_local()));
}
