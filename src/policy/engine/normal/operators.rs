//! Puts our own arithmetic and ordering in place of the engine's, which computes in doubles, fails where kinds differ,
//! and loses that failure at the next rule (regorus 0.14.1, `number.rs`, `rvm/vm/arithmetic.rs`). Left to the engine is
//! what cannot differ: ordering of numbers and sums of small integers.

use std::collections::BTreeMap;

use super::calls::is_arithmetic;
use super::tree::{Expr, Kind, Line, LineKind, Local, Rule};

/// What is known of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Anything,
    Number,
    Integer,
}

/// Builtins whose value is an integer that is no larger than what they count.
const INTEGERS: &[&str] = &["count", "indexof", "strings.count"];

/// Builtins whose value is a number wherever there is one.
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

/// Replaces the operators of a rule.
pub(super) fn replace(rule: &mut Rule) {
    let mut operators = Operators { known: BTreeMap::new() };
    for branch in &mut rule.branches {
        operators.body(&mut branch.body);
    }
}

struct Operators {
    known: BTreeMap<Local, Known>,
}

impl Operators {
    fn body(&mut self, lines: &mut [Line]) {
        for line in lines {
            self.line(&mut line.kind);
        }
    }

    fn line(&mut self, line: &mut LineKind) {
        match line {
            LineKind::Declare(_) | LineKind::SomeIn(..) => {}
            LineKind::Assign(left, right) => {
                let known = self.of(right);
                self.expr(right);
                if let Some(local) = left.as_local() {
                    self.known.insert(local, known);
                }
            }
            LineKind::Equal(left, right) => {
                self.expr(left);
                self.expr(right);
            }
            LineKind::Term(expr) => self.expr(expr),
            LineKind::Not(inner) => self.line(inner),
            LineKind::Every(every) => self.body(&mut every.body),
        }
    }

    fn of(&self, expr: &Expr) -> Known {
        match &expr.kind {
            Kind::Scalar(text) if text.parse::<i32>().is_ok() => Known::Integer,
            Kind::Scalar(text) if text.parse::<f64>().is_ok() => Known::Number,
            Kind::Name(_) => {
                expr.as_local().and_then(|local| self.known.get(&local).copied()).unwrap_or(Known::Anything)
            }
            Kind::Call(path, _) if INTEGERS.contains(&path.join(".").as_str()) => Known::Integer,
            Kind::Call(path, _) if NUMBERS.contains(&path.join(".").as_str()) => Known::Number,
            Kind::Infix("+" | "-", sides) if self.both(sides) == Known::Integer => Known::Number,
            _ => Known::Anything,
        }
    }

    fn both(&self, sides: &(Expr, Expr)) -> Known {
        self.of(&sides.0).min(self.of(&sides.1))
    }

    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            Kind::Comprehension(inner) => self.body(&mut inner.body),
            Kind::Array(items) | Kind::Set(items) | Kind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.expr(item));
            }
            Kind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
            Kind::Infix(operator, sides) => {
                let left_alone = match *operator {
                    "<" | "<=" | ">" | ">=" => self.both(sides) >= Known::Number,
                    // The sum of two that are counted is exact; of more it is not looked at.
                    "+" | "-" => self.both(sides) == Known::Integer,
                    other => !is_arithmetic(other),
                };
                if !left_alone {
                    let (mut program, mut operands) = (Vec::new(), Vec::new());
                    compile(expr, &mut program, &mut operands);
                    *expr = Expr::operators(expr.place, &program.join(" "), operands);
                }
            }
            Kind::In(Some(key), rest) => {
                let operands = [key.as_ref().clone(), rest.0.clone(), rest.1.clone()];
                *expr = Expr::operators(expr.place, "in", operands);
            }
            _ => {}
        }
    }
}

/// The operators of a term behind their operands.
fn compile(expr: &Expr, program: &mut Vec<String>, operands: &mut Vec<Expr>) {
    match &expr.kind {
        Kind::Infix(operator, sides) if is_arithmetic(operator) => {
            compile(&sides.0, program, operands);
            compile(&sides.1, program, operands);
            program.push((*operator).to_owned());
        }
        Kind::Infix(operator, sides) => {
            operands.extend([sides.0.clone(), sides.1.clone()]);
            program.push((*operator).to_owned());
        }
        _ => {
            program.push(operands.len().to_string());
            operands.push(expr.clone());
        }
    }
}
