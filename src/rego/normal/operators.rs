//! Puts our own arithmetic and ordering in place of the engine's, which computes in doubles, fails where kinds differ,
//! and loses that failure at the next rule (regorus 0.14.1, `number.rs`, `rvm/vm/arithmetic.rs`). Left to the engine is
//! what cannot differ: ordering of numbers and sums of small integers.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::is_arithmetic;
use super::tree::{Expr, Kind, Line, LineKind, Local, Name, Rule};

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

/// Operators of one term, with those of the variables in it.
const TERM_MAX: usize = 64;

/// Replaces the operators of a rule.
pub(super) fn replace(rule: &mut Rule) {
    let mut seen = BTreeSet::new();
    rule.args.iter().flatten().for_each(|arg| locals(arg, &mut seen));
    let mut operators = Operators { known: BTreeMap::new(), meant: BTreeMap::new(), seen };
    for branch in &mut rule.branches {
        operators.nested(&mut branch.body);
    }
}

struct Operators {
    known: BTreeMap<Local, Known>,
    /// The terms that variables stand for: a double keeps 53 bits, and OPA 64 from line to line.
    meant: BTreeMap<Local, Expr>,
    /// Variables of earlier lines.
    seen: BTreeSet<Local>,
}

impl Operators {
    /// A nested body: its variables are not visible behind it.
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
                let known = self.of(right);
                let meant = (is_term(right) && known < Known::Number).then(|| right.clone());
                if new.is_none()
                    && (self.is_exact(left) || self.is_exact(right))
                    && self.are_terms(left, right)
                {
                    let place = left.place;
                    let sides = Box::new((left.clone(), right.clone()));
                    *line = LineKind::Term(self.compiled(&Expr { place, kind: Kind::Infix("==", sides) }));
                    return;
                }
                self.expr(left);
                self.expr(right);
                if let Some(local) = new {
                    self.known.insert(local, known);
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

    /// Whether a value has bits that a double would lose.
    fn is_exact(&self, expr: &Expr) -> bool {
        let of_a_name = expr.as_local().is_some_and(|local| self.meant.contains_key(&local));
        of_a_name || (is_term(expr) && self.of(expr) < Known::Number)
    }

    /// Whether both sides are values that are there: no pattern, and nothing that may be undefined.
    fn are_terms(&self, left: &Expr, right: &Expr) -> bool {
        [left, right].iter().all(|side| {
            is_term(side)
                || matches!(&side.kind, Kind::Scalar(text) if text.parse::<f64>().is_ok())
                || side.as_local().is_some_and(|local| self.seen.contains(&local))
        })
    }

    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            Kind::Comprehension(inner) => self.nested(&mut inner.body),
            Kind::Array(items) | Kind::Set(items) | Kind::Call(_, items) => {
                items.iter_mut().for_each(|item| self.expr(item));
            }
            Kind::Object(fields) => fields.iter_mut().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
            Kind::Infix(operator, sides) => {
                let exact = self.is_exact(&sides.0) || self.is_exact(&sides.1);
                let left_alone = match *operator {
                    "<" | "<=" | ">" | ">=" => self.both(sides) >= Known::Number && !exact,
                    "==" | "!=" => !exact || !self.are_terms(&sides.0, &sides.1),
                    // The sum of two that are counted is exact; of more it is not looked at.
                    "+" | "-" => self.both(sides) == Known::Integer,
                    other => !is_arithmetic(other),
                };
                if !left_alone {
                    *expr = self.compiled(expr);
                }
            }
            Kind::In(Some(key), rest) => {
                let operands = [key.as_ref().clone(), rest.0.clone(), rest.1.clone()];
                *expr = Expr::operators(expr.place, "in", operands);
            }
            _ => {}
        }
    }

    fn compiled(&self, expr: &Expr) -> Expr {
        let (mut program, mut operands) = (Vec::new(), Vec::new());
        self.compile(expr, &mut program, &mut operands);
        Expr::operators(expr.place, &program.join(" "), operands)
    }

    /// The operators of a term behind their operands.
    fn compile(&self, expr: &Expr, program: &mut Vec<String>, operands: &mut Vec<Expr>) {
        match &expr.kind {
            Kind::Infix(operator, sides)
                if is_arithmetic(operator) || self.is_exact(&sides.0) || self.is_exact(&sides.1) =>
            {
                self.compile(&sides.0, program, operands);
                self.compile(&sides.1, program, operands);
                program.push((*operator).to_owned());
            }
            Kind::Infix(operator, sides) => {
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
    matches!(&expr.kind, Kind::Infix(operator, _) if is_arithmetic(operator))
}

/// The variables of an expression, those of bodies inside it left out.
fn locals(expr: &Expr, found: &mut BTreeSet<Local>) {
    expr.walk(&mut |inner| found.extend(inner.as_local()));
}
